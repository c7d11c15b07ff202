# The tests of the apps run every options file there is: a misspelt option shows nowhere else.
espalier_add_app_test(NAME options_files LABELS unit sinode
  COMMAND ${ESPALIER_PYTHON} tests/apps/options_files.py ${CMAKE_CTEST_COMMAND} ${CMAKE_BINARY_DIR})
