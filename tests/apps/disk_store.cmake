# States on disk leave nothing behind, however the program that keeps them ends.
add_executable(disk_store_holder ${CMAKE_CURRENT_SOURCE_DIR}/checkpoint/disk_store_holder.cpp)
target_link_libraries(disk_store_holder PRIVATE espalier)
set_target_properties(disk_store_holder PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

set(disk_store_out ${ESPALIER_TEST_DIR}/disk_store)
espalier_add_app_test(NAME disk_store.ends LABELS unit checkpoint checkpointing TIMEOUT 300
  COMMAND ${ESPALIER_PYTHON} tests/apps/disk_store_ends.py $<TARGET_FILE:disk_store_holder> ${disk_store_out}/one)
espalier_add_app_test(NAME disk_store.ends_of_two_ranks LABELS unit mpi checkpoint checkpointing TIMEOUT 300
  COMMAND ${ESPALIER_PYTHON} tests/apps/disk_store_ends.py $<TARGET_FILE:disk_store_holder> ${disk_store_out}/two
          ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} 2 ${espalier_launch_flags})
set_tests_properties(disk_store.ends_of_two_ranks PROPERTIES PROCESSORS 2)
