#!/usr/bin/env bash
# Sets up, builds the release preset and runs its tests. Arguments go to ctest:
#   scripts/test.sh -R gguf    only the tests whose name matches
#   scripts/test.sh -LE model  all but those that need a downloaded model (scripts/get-model.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

scripts/setup.sh
cmake --preset release
cmake --build --preset release
ctest --preset release -j "$(cores)" "$@"
