#!/usr/bin/env bash
# Writes the tiny models of tests/data/models as GGUF into .cache/gguf-twins/, for the tests that
# compare the two. The first run downloads the Python package `gguf` into .cache/gguf-venv/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

gguf=gguf==0.19.0
venv=.cache/gguf-venv
if ! "$venv/bin/python3" -c 'import gguf' 2>/dev/null; then
  if command -v apt-get >/dev/null && ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
    apt_update
    apt_install python3-venv
  fi
  say "installing $gguf into $venv/"
  rm -rf "$venv"
  python3 -m venv "$venv" || die "this needs python3 with venv"
  "$venv/bin/python3" -m pip --disable-pip-version-check install --quiet --only-binary :all: \
    --timeout 30 --retries 2 "$gguf" >&2 ||
    die "could not install $gguf (is the network reachable? pip's own words are above)"
fi
"$venv/bin/python3" tests/data/models/make_gguf.py .cache/gguf-twins
say "wrote .cache/gguf-twins/"
