#!/usr/bin/env bash
# Runs the tests of whole models, and the demo, pinned to every SIMD target of this machine; then the
# demo, and the kernels' tests, on emulated processors that have no AVX. Needs a release build.
#   scripts/check-simd.sh           takes minutes: SCALAR is slow
#   scripts/check-simd.sh --quick   SCALAR and the emulated processors by the demo only
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

bin=build/release/bin
[ -x $bin/spark-tests ] || die "no $bin/spark-tests: run scripts/test.sh"
quick=false
if [ "${1:-}" = --quick ]; then quick=true; fi
whole_models='[oracle]~[smollm2]~[gemma3]~[twins],[session],[transformer]'

for target in $($bin/spark-generate --list-simd-targets); do
  check_demo "$target" $bin/spark-generate --simd-target "$target"
  if $quick && [ "$target" = SCALAR ]; then continue; fi
  result=$(SPARK_SIMD_TARGET=$target $bin/spark-tests "$whole_models") || die "$target: $result"
  echo "$target: $(grep -m 1 'test cases' <<<"$result")"
done

# An instruction that such a processor lacks ends the program, before dispatch or after it.
if [ "$(uname -m)" != x86_64 ]; then exit 0; fi
if ! command -v qemu-x86_64 >/dev/null; then
  say "no qemu-x86_64 (package qemu-user): processors without AVX were not tried"
  exit 0
fi
for processor in core2duo Nehalem Westmere; do
  emulator=(qemu-x86_64 -cpu "$processor")
  targets=$("${emulator[@]}" $bin/spark-generate --list-simd-targets | paste -sd ' ')
  check_demo "$processor ($targets)" "${emulator[@]}" $bin/spark-generate
  if $quick; then continue; fi
  result=$("${emulator[@]}" $bin/spark-tests "[backend],$whole_models") ||
    die "$processor: $result"
  echo "$processor: $(grep -m 1 'test cases' <<<"$result")"
done
