# ccache makes rebuilds quick where it is installed; nothing requires it.
find_program(SPARK_CCACHE ccache)
if(SPARK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers (those of the tests) are out of its reach unless it may take them on trust.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${SPARK_CCACHE})
endif()
