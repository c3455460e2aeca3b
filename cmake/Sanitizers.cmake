# Global, so that fetched dependencies are instrumented too: containers that cross a boundary between
# instrumented and plain code raise false alarms.
if(SPARK_SANITIZE)
  # Not looked for: null pointers, as following one ends the program anyway, and wrong casts to derived
  # classes, as there are none. It takes the compiler a quarter of its time.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=null,vptr -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
  # Between the sanitizers' checks g++ loses sight of what has been set (std::optional, most often).
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  # Instrumented kernels take the compiler minutes a target. One x86 target of each kind: without
  # vectors, with 32-byte ones, with 64-byte ones that expand in one instruction if they can run here.
  set(disabled HWY_SSE2|HWY_SSSE3|HWY_SSE4|HWY_AVX3|HWY_AVX3_ZEN4|HWY_AVX3_SPR)
  if(EXISTS /proc/cpuinfo AND NOT CMAKE_CROSSCOMPILING)
    file(STRINGS /proc/cpuinfo avx512 REGEX "avx512_vbmi2" LIMIT_COUNT 1)
    if(NOT avx512)
      string(APPEND disabled "|HWY_AVX3_DL")
    endif()
  endif()
  add_compile_definitions("HWY_DISABLED_TARGETS=(${disabled})")
endif()
