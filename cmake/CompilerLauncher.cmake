# ccache makes rebuilds quick where it is installed; nothing requires it.
find_program(SPARK_CCACHE ccache)
if(SPARK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SPARK_CCACHE})
endif()
