# Where every dependency comes from. Packages first; Highway (>= 1.2) and Catch2 (>= 3) are newer than
# what Debian 12 carries, so scripts/setup.sh unpacks their sources into .deps/ when there is no package.
include(FetchContent)
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(CLI11 2.1 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

# A dependency built from source: a folder of scripts/setup.sh if there is one, else a release archive.
macro(spark_source_dependency name folder_glob url sha256)
  file(GLOB _folders ${PROJECT_SOURCE_DIR}/.deps/${folder_glob})
  if(_folders AND NOT DEFINED FETCHCONTENT_SOURCE_DIR_${name})
    list(GET _folders 0 FETCHCONTENT_SOURCE_DIR_${name})
  endif()
  string(TOLOWER ${name} _lower)
  FetchContent_Declare(${_lower} URL ${url} URL_HASH SHA256=${sha256} SYSTEM)
endmacro()

find_package(hwy 1.2 QUIET)
if(NOT hwy_FOUND)
  set(HWY_ENABLE_TESTS OFF CACHE BOOL "" FORCE)
  set(HWY_ENABLE_EXAMPLES OFF CACHE BOOL "" FORCE)
  set(HWY_ENABLE_CONTRIB OFF CACHE BOOL "" FORCE)
  set(HWY_ENABLE_INSTALL OFF CACHE BOOL "" FORCE)
  set(HWY_FORCE_STATIC_LIBS ON CACHE BOOL "" FORCE)
  spark_source_dependency(HIGHWAY "highway-*"
    https://github.com/google/highway/releases/download/1.2.0/highway-1.2.0.tar.gz
    7e0be78b8318e8bdbf6fa545d2ecb4c90f947df03f7aadc42c1967f019e63343)
  FetchContent_MakeAvailable(highway)
  set_target_properties(hwy PROPERTIES UNITY_BUILD OFF)
  add_library(hwy::hwy ALIAS hwy)
endif()

if(SPARK_BUILD_TESTS)
  find_package(Catch2 3.4 QUIET)
  if(NOT Catch2_FOUND)
    spark_source_dependency(CATCH2 "Catch2-*"
      https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz
      c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c)
    FetchContent_MakeAvailable(catch2)
    # A hundred small files that read the same headers: together in a third of the time.
    set_target_properties(Catch2 PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 27)
    if(SPARK_SANITIZE)
      target_compile_options(Catch2 PRIVATE -fno-sanitize=undefined)
    endif()
    list(APPEND CMAKE_MODULE_PATH ${catch2_SOURCE_DIR}/extras)
  endif()
  include(Catch)
endif()
