#!/usr/bin/env bash
# For a machine with a GPU: builds the CUDA backend, tests it, compares its tokens with the CPU's and
# measures decoding at depth. Arguments are models; without any, the embedded one.
#   scripts/bench-gpu.sh models/smollm2.gguf
#   DEPTHS=1024,32768 DEVICE=1 scripts/bench-gpu.sh models/smollm2.gguf
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

device=${DEVICE:-0}
depths=${DEPTHS:-1024,8192,32768}
plans=${PLANS:-none,spark:0.5,spark:0.8,spark-plus:0.8}

cmake --preset cuda
cmake --build --preset cuda
build/cuda/bin/spark-generate --list-devices
ctest --preset cuda -L cuda -j "$(cores)"

[ $# -gt 0 ] || set -- ""
for model in "$@"; do
  flags=(--device "$device")
  [ -z "$model" ] || flags+=(-m "$model")
  name=$(basename "${model:-embedded}" .gguf)

  echo "=== $name: 64 tokens, greedy, f32: the same on CPU and GPU"
  for backend in cpu cuda; do
    build/cuda/bin/spark-generate "${flags[@]}" --backend "$backend" --compute f32 --stats none \
      --kv spark:0.5 -f data/demo/needle_context.txt -n 64 >"build/cuda/$name-$backend.txt"
  done
  cmp "build/cuda/$name-cpu.txt" "build/cuda/$name-cuda.txt" && echo "the same"

  echo "=== $name: tokens a second at depth"
  build/cuda/bin/spark-sweep "${flags[@]}" --backend cuda --task speed --depth "$depths" \
    --depth-read 1024 --kv "$plans" --format md -o "build/cuda/speed-$name"
done
