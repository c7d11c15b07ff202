# Flags of every target. They are set for the whole directory tree because one precompiled header serves the library,
# the programs and the tests, and a compiler accepts it only where the flags are the same.
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)

# Installed programs find the library beside them, and PETSc where it was found now.
set(CMAKE_INSTALL_RPATH $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

# Not CMAKE_POSITION_INDEPENDENT_CODE: that gives -fPIE to programs and -fPIC to libraries, two precompiled headers.
add_compile_options(-fPIC)

set(espalier_cxx_warnings -Wnon-virtual-dtor -Woverloaded-virtual -Wsuggest-override -Wextra-semi)
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow "$<$<COMPILE_LANGUAGE:CXX>:${espalier_cxx_warnings}>"
  -Wcast-align -Wformat=2 -Wimplicit-fallthrough -Wdouble-promotion -Wvla)
# GCC 12 takes the deliberately undefined operands inside its own AVX-512 intrinsics for mistakes (its bug 105593).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  add_compile_options(-Wno-uninitialized -Wno-maybe-uninitialized)
endif()
if(ESPALIER_WERROR)
  add_compile_options(-Werror)
endif()

if(ESPALIER_NATIVE)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-march=native ESPALIER_HAVE_MARCH_NATIVE)
  if(ESPALIER_HAVE_MARCH_NATIVE)
    add_compile_options(-march=native)
  else()
    message(WARNING "The compiler does not know -march=native: building for its default processor.")
  endif()
endif()

if(ESPALIER_SANITIZE)
  add_compile_options(-fsanitize=${ESPALIER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ESPALIER_SANITIZE})
endif()
