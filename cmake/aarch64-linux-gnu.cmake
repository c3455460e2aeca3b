# Toolchain file of the preset `aarch64`: Debian's cross compiler, arm64 libraries in .deps/aarch64
# (scripts/setup.sh --cross), and qemu-user to run what was built.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
if(NOT CMAKE_SYSROOT)
  get_filename_component(CMAKE_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../.deps/aarch64 ABSOLUTE)
endif()
if(NOT EXISTS ${CMAKE_SYSROOT}/usr/include)
  message(FATAL_ERROR "No arm64 libraries in ${CMAKE_SYSROOT}: run scripts/setup.sh --cross")
endif()
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

# Programs come from this machine, everything else from the sysroot.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
    ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)

# `max` has every extension that qemu knows, SVE2 with vectors of up to 256 bytes among them;
# SPARK_QEMU_CPU=max,sve-default-vector-length=16 and the like choose others.
set(SPARK_QEMU_CPU "max" CACHE STRING "The processor that qemu-aarch64 plays")
find_program(SPARK_QEMU qemu-aarch64)
if(SPARK_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${SPARK_QEMU} -cpu ${SPARK_QEMU_CPU} -L ${CMAKE_SYSROOT})
endif()
