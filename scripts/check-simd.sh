#!/usr/bin/env bash
# Runs the tests of whole models, and the demo, pinned to every SIMD target of this machine; then the
# demo, and the kernels' tests, on emulated processors that have no AVX; as many at once as there are
# cores. Needs a release build.
#   scripts/check-simd.sh           takes minutes: SCALAR is slow
#   scripts/check-simd.sh --quick   SCALAR and the emulated processors by the demo only
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

bin=build/release/bin
[ -x $bin/spark-tests ] || die "no $bin/spark-tests: run scripts/test.sh"
export OMP_NUM_THREADS=1
whole_models='[oracle]~[smollm2]~[gemma3]~[twins],[session],[transformer]'

check_target() {
  check_demo "$1" $bin/spark-generate --simd-target "$1"
  if [ "$quick" = yes ] && [ "$1" = SCALAR ]; then return; fi
  SPARK_SIMD_TARGET=$1 check_tests "$1" $bin/spark-tests "$whole_models"
}

# An instruction that such a processor lacks ends the program, before dispatch or after it.
check_processor() {
  local emulator=(qemu-x86_64 -cpu "$1") targets
  targets=$("${emulator[@]}" $bin/spark-generate --list-simd-targets | paste -sd ' ')
  check_demo "$1 ($targets)" "${emulator[@]}" $bin/spark-generate
  if [ "$quick" = yes ]; then return; fi
  check_tests "$1" "${emulator[@]}" $bin/spark-tests "[backend],$whole_models"
}

case ${1:-} in
  target)
    check_target "$2"
    exit
    ;;
  processor)
    check_processor "$2"
    exit
    ;;
  --quick) export quick=yes ;;
  *) export quick=no ;;
esac

demo_expected=$(demo_texts $bin/spark-generate --backend reference)
export demo_expected # for check_demo
{
  if [ "$(uname -m)" = x86_64 ] && command -v qemu-x86_64 >/dev/null; then
    printf 'processor %s\n' core2duo Nehalem Westmere
  elif [ "$(uname -m)" = x86_64 ]; then
    say "no qemu-x86_64 (package qemu-user): processors without AVX were not tried"
  fi
  $bin/spark-generate --list-simd-targets | sed 's/^/target /'
} | xargs -L 1 -P "$(cores)" scripts/check-simd.sh
