#!/usr/bin/env bash
# Cross-builds for aarch64 and runs what was built under qemu: the demo's texts against those of this
# machine's release build, and tests, on NEON and on SVE of several vector lengths.
#   scripts/check-aarch64.sh           all tests but the real models', on NEON; some on SVE: an hour
#   scripts/check-aarch64.sh --quick   kernels and whole models
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

quick=false
if [ "${1:-}" = --quick ]; then quick=true; fi
[ -x build/release/bin/spark-generate ] || die "no release build to compare with: run scripts/test.sh"
scripts/setup.sh --cross
cmake --preset aarch64 >/dev/null
cmake --build --preset aarch64

# Threads that wait for each other are slow to emulate.
export OMP_NUM_THREADS=1
root=$PWD/.deps/aarch64
bin=build/aarch64/bin

# run_tests NAME PROCESSOR SIMD-TARGET FILTER
run_tests() {
  export SPARK_EMULATOR="qemu-aarch64 -cpu $2 -L $root"
  # shellcheck disable=SC2086 # a command of several words
  SPARK_SIMD_TARGET=$3 check_tests "$1" $SPARK_EMULATOR $bin/spark-tests "$4"
}
generate() { qemu-aarch64 -cpu "$1" -L "$root" $bin/spark-generate "${@:2}"; }

# qemu's own sizes of SVE vectors: 16, 32, 64, … bytes.
neon=max,sve=off
sve() { echo "max,sve-default-vector-length=$1"; }
whole_models='[oracle]~[smollm2]~[gemma3]~[twins],[session],[transformer]'
few='~[smollm2]~[gemma3]'

check_demo "NEON" generate $neon
check_demo "SVE2_128" generate "$(sve 16)"
if $quick; then
  run_tests "NEON" $neon NEON "[simd],$whole_models"
  export SPARK_FEWER_SIZES=1
  run_tests "NEON, kernels" $neon NEON "[backend]"
  run_tests "SVE2_128, kernels" "$(sve 16)" SVE2_128 "[backend]"
  exit 0
fi
run_tests "NEON" $neon NEON "$few"
run_tests "NEON_WITHOUT_AES" $neon NEON_WITHOUT_AES "[backend],$whole_models"
run_tests "SVE2_128" "$(sve 16)" SVE2_128 "[backend],$whole_models"
export SPARK_FEWER_SIZES=1  # longer vectors are emulated at a sixth of the speed
run_tests "SVE_256" "$(sve 32)" SVE_256 "[backend]"
for length in 16 32 64 256; do
  run_tests "SVE, vectors of $length bytes" "$(sve $length)" SVE "[backend]"
  run_tests "SVE2, vectors of $length bytes" "$(sve $length)" SVE2 "[backend]"
done
