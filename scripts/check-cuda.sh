#!/usr/bin/env bash
# Where nvcc is: builds spark-generate with the CUDA backend, compares what the kernels take with
# tests/data/cuda/ptxas.tsv, and looks at what the program says on a machine without a GPU. What the
# host compiles comes out of ccache if the release preset has been built before.
#   scripts/check-cuda.sh           for 8.0, for 9.0 and as PTX
#   scripts/check-cuda.sh --quick   for 9.0: half the time
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

if ! command -v nvcc >/dev/null; then
  for folder in "${CUDA_PATH:-}" /usr/local/cuda; do
    [ -x "$folder/bin/nvcc" ] && PATH=$folder/bin:$PATH
  done
fi
if ! command -v nvcc >/dev/null; then
  echo "no nvcc here: the CUDA backend is not built by it"
  exit 0
fi

architectures=() of=()
folder=build/cuda
if [ "${1:-}" = --quick ]; then
  architectures=(-DCMAKE_CUDA_ARCHITECTURES=90-real)
  of=(--architecture 90)
  folder=build/cuda-check # the preset's own would keep that
fi
cmake --preset cuda -B $folder "${architectures[@]}"
# Of all kernels, also in a folder that has been built before.
rm -f $folder/src/CMakeFiles/spark.dir/backend/cuda/*.cu.o
log=$folder/build.log
cmake --build $folder --target spark-generate >"$log" 2>&1 || {
  grep -v '^ptxas info' "$log" || true
  die "the CUDA backend does not build"
}
scripts/check_ptxas.py "${of[@]}" "$log"

if [ -e /dev/nvidiactl ]; then
  echo "there is a GPU here: scripts/bench-gpu.sh tests on it"
  exit 0
fi
status=0
said=$($folder/bin/spark-generate --backend cuda -p x -n 1 2>&1) || status=$?
echo "$said"
if [ "$status" -ne 1 ] || [ "$(wc -l <<<"$said")" -ne 1 ] || [[ $said != *"no GPU"* ]]; then
  die "one line that says that there is no GPU, and exit 1, were expected (it was $status)"
fi
