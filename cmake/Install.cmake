# `cmake --install` gives other projects `find_package(spark)` and the target spark::spark.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS spark EXPORT spark-targets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/spark DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT spark-targets NAMESPACE spark:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/spark)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/spark-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/spark-config.cmake.in
                              ${PROJECT_BINARY_DIR}/spark-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/spark)
install(FILES ${PROJECT_BINARY_DIR}/spark-config.cmake
              ${PROJECT_BINARY_DIR}/spark-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/spark)
