# The library, from every source file under src/.
file(GLOB_RECURSE espalier_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.cpp)
if(NOT espalier_sources)
  message(FATAL_ERROR "There is no source file under src/: this copy of the sources is incomplete.")
endif()

add_library(espalier SHARED ${espalier_sources})
add_library(Espalier::espalier ALIAS espalier)
set_target_properties(espalier PROPERTIES
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  DEFINE_SYMBOL "")
target_compile_features(espalier PUBLIC cxx_std_17)
target_include_directories(espalier PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_definitions(espalier PUBLIC
  # The C++ bindings of MPI are neither used nor linked.
  OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX
  # Eigen derives these from -march: fixed, so that a program built without it can exchange matrices with the library.
  EIGEN_MAX_ALIGN_BYTES=64 EIGEN_MAX_STATIC_ALIGN_BYTES=16
  ${espalier_petsc_definitions})
target_link_libraries(espalier
  PUBLIC PkgConfig::PETSC ${espalier_hdf5} MPI::MPI_C Eigen3::Eigen nlohmann_json::nlohmann_json ${TORCH_LIBRARIES}
  PRIVATE PkgConfig::FFTW ${CMAKE_DL_LIBS})

# The headers of torch and PETSc take seconds a file: they are compiled once, with exactly the flags of the library. Not
# <torch/torch.h>, which brings torch's modules: each file would instantiate their templates again, for twice the time.
file(WRITE ${PROJECT_BINARY_DIR}/generated/precompiled.cpp "// Exists to own the precompiled header.\n")
add_library(espalier_pch OBJECT ${PROJECT_BINARY_DIR}/generated/precompiled.cpp)
target_link_libraries(espalier_pch PRIVATE $<TARGET_PROPERTY:espalier,INTERFACE_LINK_LIBRARIES>)
target_compile_definitions(espalier_pch PRIVATE $<TARGET_PROPERTY:espalier,INTERFACE_COMPILE_DEFINITIONS>)
target_precompile_headers(espalier_pch PRIVATE
  <torch/autograd.h> <torch/types.h> <torch/utils.h>
  <petsc.h> <hdf5.h> <algorithm> <functional> <memory> <string> <vector>)
target_precompile_headers(espalier REUSE_FROM espalier_pch)

# With ESPALIER_UNITY several sources are compiled as one, at most one of each folder: names that two files both use for
# themselves stand in different namespaces there.
if(ESPALIER_UNITY)
  set_target_properties(espalier PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # Types that a source has for itself look like those of a header.
  target_compile_options(espalier PRIVATE -Wno-subobject-linkage)
  set(unity_groups 0)
  foreach(source IN LISTS espalier_sources)
    get_filename_component(folder ${source} DIRECTORY)
    string(MAKE_C_IDENTIFIER ${folder} folder)
    math(EXPR count_${folder} "0${count_${folder}} + 1")
    if(count_${folder} GREATER unity_groups)
      set(unity_groups ${count_${folder}})
    endif()
  endforeach()
  # Consecutive numbers, so that groups have the same number of sources.
  set(number 0)
  foreach(source IN LISTS espalier_sources)
    math(EXPR group "${number} % ${unity_groups}")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP group${group})
    math(EXPR number "${number} + 1")
  endforeach()
endif()

# ATen's parallel_for is a loop unless the file that calls it is compiled for OpenMP.
find_package(OpenMP REQUIRED COMPONENTS CXX)
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/nn/edge_softmax.cpp PROPERTIES
  COMPILE_OPTIONS "${OpenMP_CXX_FLAGS}" SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
target_link_libraries(espalier PRIVATE ${OpenMP_CXX_LIBRARIES})
