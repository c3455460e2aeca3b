# Warnings of our own code. Linked with PRIVATE, so neither dependencies nor users inherit them.
add_library(spark_warnings INTERFACE)
target_compile_options(spark_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow>
  # g++ 12 sees strings overlap with themselves where enough is inlined (GCC bug 105651).
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${SPARK_WERROR}>>:-Werror>)
