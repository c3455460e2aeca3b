# Warnings of our own code. Linked with PRIVATE, so neither dependencies nor users inherit them.
add_library(spark_warnings INTERFACE)
target_compile_options(spark_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${SPARK_WERROR}>>:-Werror>)
