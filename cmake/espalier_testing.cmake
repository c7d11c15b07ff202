# How tests start: without MPI launcher on one rank, through it on several, always with one thread per rank and with
# the BLAS kernels of this processor.
# Tests of Python tools need a Python with these modules: the first on PATH may be a foreign one without them.
if(NOT ESPALIER_PYTHON)
  find_program(python_on_path python3 NO_CACHE)
  foreach(candidate /usr/bin/python3 ${python_on_path})
    execute_process(COMMAND ${candidate} -c "import h5py, matplotlib" RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
    if(status EQUAL 0)
      set(ESPALIER_PYTHON ${candidate} CACHE FILEPATH "Python with h5py and matplotlib")
      break()
    endif()
  endforeach()
endif()
if(NOT ESPALIER_PYTHON)
  set(ESPALIER_PYTHON python3)
  message(WARNING "No python3 can import h5py and matplotlib: the tests of the Python tools will fail. "
    "Install python3-h5py and python3-matplotlib, or set ESPALIER_PYTHON.")
endif()

# Tests have more ranks than many a machine has cores: no advice about that.
set(espalier_test_environment OMP_NUM_THREADS=1 ESPALIER_BINDING_ADVICE=0 BOOST_TEST_COLOR_OUTPUT=no)
execute_process(COMMAND ${PROJECT_SOURCE_DIR}/cmake/blas_coretype
  OUTPUT_VARIABLE blas_coretype OUTPUT_STRIP_TRAILING_WHITESPACE)
if(blas_coretype)
  message(STATUS "Tests run with OPENBLAS_CORETYPE=${blas_coretype}")
  list(APPEND espalier_test_environment OPENBLAS_CORETYPE=${blas_coretype})
endif()
if(ESPALIER_SANITIZE)
  # MPI and PETSc keep memory until the process ends.
  list(APPEND espalier_test_environment
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1)
endif()

set(espalier_launch_flags)
execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE launcher_version ERROR_QUIET)
if(launcher_version MATCHES "Open ?MPI|OpenRTE")
  # Several tests at once: bound ranks would all end up on the first core.
  set(espalier_launch_flags --oversubscribe --bind-to none)
  # Tests have more ranks than there are cores: those that wait make room.
  list(APPEND espalier_test_environment OMPI_MCA_mpi_yield_when_idle=1)
  execute_process(COMMAND id -u OUTPUT_VARIABLE user_id OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(user_id STREQUAL "0")
    list(APPEND espalier_test_environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
  endif()
endif()

option(ESPALIER_TEST_PER_CASE "One ctest entry per test case instead of one per suite" OFF)
set(ESPALIER_TEST_TIMEOUT 120 CACHE STRING "Seconds after which a test has failed")
if(ESPALIER_SANITIZE)
  math(EXPR espalier_test_timeout "5 * ${ESPALIER_TEST_TIMEOUT}")
else()
  set(espalier_test_timeout ${ESPALIER_TEST_TIMEOUT})
endif()

# Where tests of programs may write: -output ${ESPALIER_TEST_DIR}/<test>.
set(ESPALIER_TEST_DIR ${PROJECT_BINARY_DIR}/tests/output)
file(MAKE_DIRECTORY ${ESPALIER_TEST_DIR})

# The Boost.Test cases in `target` become ctest entries, found after every build by asking the program.
function(espalier_discover_tests target)
  set(found ${CMAKE_CURRENT_BINARY_DIR}/${target}_cases.cmake)
  set(include_file ${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake)
  set(setup ${CMAKE_CURRENT_BINARY_DIR}/${target}_setup.cmake)
  list(JOIN espalier_launch_flags " " flags)
  file(CONFIGURE OUTPUT ${setup} @ONLY CONTENT [[
set(launch @MPIEXEC_EXECUTABLE@ @MPIEXEC_NUMPROC_FLAG@)
set(launch_flags @flags@)
set(test_environment "@espalier_test_environment@")
set(timeout @espalier_test_timeout@)
set(directory [==[@PROJECT_SOURCE_DIR@]==])
]])
  file(CONFIGURE OUTPUT ${include_file} @ONLY CONTENT [[
if(EXISTS [==[@found@]==])
  include([==[@found@]==])
else()
  add_test(@target@_NOT_BUILT @target@_NOT_BUILT)
endif()
]])
  add_custom_command(TARGET ${target} POST_BUILD
    BYPRODUCTS ${found}
    COMMAND ${CMAKE_COMMAND} -D program=$<TARGET_FILE:${target}> -D setup=${setup} -D output=${found}
            -D per_case=$<BOOL:${ESPALIER_TEST_PER_CASE}>
            -P ${PROJECT_SOURCE_DIR}/cmake/discover_tests.cmake
    COMMENT "Listing the cases of ${target}" VERBATIM)
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include_file})
endfunction()

# espalier_add_app_test(NAME <name> COMMAND <program> [argument...] [NP <ranks>] [LABELS <label>...] [WILL_FAIL]
#                       [PASS_REGEX <regex>...] [FAIL_REGEX <regex>...] [TIMEOUT <seconds>] [DEPENDS <test>...]
#                       [ENVIRONMENT <name=value>...])
# Runs a program from the top of the sources. It passes when the exit status is zero (with WILL_FAIL: an error, but not
# a crash), every PASS_REGEX occurs in what it prints and no FAIL_REGEX does. The first word of COMMAND may be a
# program of this project; with DEPENDS a test runs after others and only if they passed.
function(espalier_add_app_test)
  cmake_parse_arguments(test "WILL_FAIL" "NAME;NP;TIMEOUT" "COMMAND;LABELS;PASS_REGEX;FAIL_REGEX;DEPENDS;ENVIRONMENT"
    ${ARGN})
  if(NOT test_NAME OR NOT test_COMMAND OR test_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "espalier_add_app_test needs NAME and COMMAND, and does not know: ${test_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT test_NP)
    set(test_NP 1)
  endif()
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT ${espalier_test_timeout})
  endif()

  list(POP_FRONT test_COMMAND program)
  if(TARGET ${program})
    set(program $<TARGET_FILE:${program}>)
  endif()
  set(command ${program} ${test_COMMAND})
  if(test_NP GREATER 1)
    set(command ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${test_NP} ${espalier_launch_flags} ${command})
    list(APPEND test_LABELS mpi)
  endif()
  if(test_WILL_FAIL OR test_PASS_REGEX OR test_FAIL_REGEX)
    list(JOIN test_PASS_REGEX "\t" pass_regex)
    list(JOIN test_FAIL_REGEX "\t" fail_regex)
    set(command ${CMAKE_COMMAND} -D will_fail=${test_WILL_FAIL} -D "pass_regex=${pass_regex}"
      -D "fail_regex=${fail_regex}" -P ${PROJECT_SOURCE_DIR}/cmake/run_app_test.cmake -- ${command})
  endif()

  add_test(NAME ${test_NAME} COMMAND ${command} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${test_NAME} PROPERTIES
    LABELS "app;${test_LABELS}" PROCESSORS ${test_NP} TIMEOUT ${test_TIMEOUT}
    ENVIRONMENT "${espalier_test_environment};${test_ENVIRONMENT}"
    SKIP_REGULAR_EXPRESSION "\\[espalier skip\\]")
  if(test_DEPENDS)
    foreach(needed IN LISTS test_DEPENDS)
      set_property(TEST ${needed} APPEND PROPERTY FIXTURES_SETUP ${needed})
    endforeach()
    set_tests_properties(${test_NAME} PROPERTIES FIXTURES_REQUIRED "${test_DEPENDS}")
  endif()
endfunction()
