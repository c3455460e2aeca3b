#!/usr/bin/env bash
# Sets up, builds the release preset and runs its tests. Arguments go to ctest:
#   scripts/test.sh -R installed    only the tests whose name matches
# Tests that need a downloaded model are skipped where there is none: see scripts/get-model.sh.
# The tests of GGUF twins need a Python package, and are skipped where it can't be downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

scripts/setup.sh
scripts/gguf-twins.sh || echo "no GGUF twins: tests that need them are skipped"
cmake --preset release
cmake --build --preset release
ctest --preset release -j "$(cores)" "$@"
