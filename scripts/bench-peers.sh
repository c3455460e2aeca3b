#!/usr/bin/env bash
# bench-peers.sh [--quick] [--rounds N] [--depths LIST] [--threads N] [--fresh] [--report] MODEL.gguf...
# measures this project, llama.cpp and ik_llama.cpp in turn on the same files, and prints tables in
# Markdown: prefill of 512 and 4096 tokens, decoding at depths 0, 4096, 16384 and 32768 (--quick: 0 and
# 4096), their ratios, KV bytes, peak memory, and how time grows with depth. Takes about 20 minutes a
# model, --quick 5; let nothing else run. Ctrl-C keeps what was measured, and the same command goes on.
#
# llama.cpp is built here, for this machine, from the source archive of the Python package
# llama-cpp-python; ik_llama.cpp comes prebuilt in the wheel of ik-llama-cpp-python, for whatever
# instruction set that was made (the table says which). Both go to build/peers/.
#   SPARK_LLAMA_CPP=DIR   a llama_cpp_python-0.3.36 folder, already built in vendor/llama.cpp/build
#   SPARK_IK=DIR          the unpacked wheel
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

llama_version=0.3.36
ik_version=0.1.5
peers=build/peers

case ${1:-} in
  '' | -h | --help)
    sed -n '2,/^set -/s/^# \{0,1\}//p' scripts/bench-peers.sh
    exit 0
    ;;
esac
if ! python3 -m pip --version >/dev/null 2>&1; then
  if command -v apt-get >/dev/null; then apt_update && apt_install python3-pip; fi
fi

# package VERSION KIND: pip's download of it, into $peers/download.
download() {
  say "downloading $1 $2"
  python3 -m pip --disable-pip-version-check download --quiet --no-deps --timeout 60 --retries 2 \
    "$3" --dest "$peers/download" "$1==$2" >&2 ||
    die "could not download $1 (is the network reachable? pip's own words are above)"
}

mkdir -p "$peers/download"
llama=${SPARK_LLAMA_CPP:-$peers/llama_cpp_python-$llama_version}
if [ ! -d "$llama/llama_cpp" ]; then
  download llama-cpp-python "$llama_version" --no-binary=:all:
  tar -xzf "$peers/download/llama_cpp_python-$llama_version.tar.gz" -C "$peers"
fi
source=$llama/vendor/llama.cpp
if [ ! -e "$source/build/bin/libllama.so" ]; then
  say "building llama.cpp for this machine in $source/build"
  cmake -S "$source" -B "$source/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF >&2
  cmake --build "$source/build" --target llama-bench >&2
fi
ik=${SPARK_IK:-$peers/ik_llama_cpp_python-$ik_version}
if [ ! -d "$ik/ik_llama_cpp" ]; then
  download ik-llama-cpp-python "$ik_version" --only-binary=:all:
  python3 -m zipfile --extract "$peers"/download/ik_llama_cpp_python-"$ik_version"-*.whl "$ik.part"
  mv "$ik.part" "$ik"
fi

if [ -z "${SPARK_BENCH_BIN:-}" ]; then
  scripts/setup.sh
  cmake --preset bench >&2
  cmake --build --preset bench >&2
fi
exec python3 scripts/bench_peers.py --bin "${SPARK_BENCH_BIN:-build/bench/bin}" \
  --llama-bindings "$llama" --llama-library "$source/build/bin" --ik "$ik" --out "$peers" "$@"
