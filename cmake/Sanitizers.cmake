# Global, so that fetched dependencies are instrumented too: containers that cross a boundary between
# instrumented and plain code raise false alarms.
if(SPARK_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
