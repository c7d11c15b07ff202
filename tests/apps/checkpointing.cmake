# Checkpoints in programs: one that was written without Espalier, and the benchmark's.
set(checkpointing_labels LABELS checkpoint checkpointing)
set(checkpointing_out ${ESPALIER_TEST_DIR}/checkpointing)
file(MAKE_DIRECTORY ${checkpointing_out})

# A program that only loads the library: what it prints is the same for every budget, and for PETSc's own trajectory.
foreach(np IN ITEMS 1 2)
  espalier_add_app_test(NAME checkpointing.plain_program_np${np} ${checkpointing_labels}
    COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/apps/plain_ts.py ${checkpointing_out}/plain_np${np} $<TARGET_FILE:espalier>
      ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${np} ${espalier_launch_flags} $<TARGET_FILE:plain_ts>)
endforeach()

set(small_bench bench_checkpointing -bench_points 4000 -bench_steps 100)
espalier_add_app_test(NAME checkpointing.plan ${checkpointing_labels}
  PASS_REGEX "checkpoints: 100 steps, schedule binomial, 10 units of 32 kB in memory, 222 steps repeated"
  COMMAND ${small_bench} -checkpoint_ram 320kB -checkpoint_schedule binomial)
espalier_add_app_test(NAME checkpointing.least ${checkpointing_labels} WILL_FAIL
  PASS_REGEX "-checkpoint_ram 30 kB holds 0 states of 32 kB: give at least 32 kB"
  COMMAND ${small_bench} -checkpoint_ram 30kB)
espalier_add_app_test(NAME checkpointing.no_such_folder ${checkpointing_labels} WILL_FAIL
  PASS_REGEX "-checkpoint_dir"
  COMMAND ${small_bench} -checkpoint_ram 64kB -checkpoint_disk 1MB -checkpoint_schedule disk -checkpoint_dir /proc/nowhere)
espalier_add_app_test(NAME checkpointing.no_such_folder_np2 ${checkpointing_labels} WILL_FAIL NP 2
  PASS_REGEX "-checkpoint_dir"
  COMMAND ${small_bench} -checkpoint_ram 64kB -checkpoint_disk 1MB -checkpoint_schedule disk -checkpoint_dir /proc/nowhere)
# Stopped in the middle, it leaves nothing behind.
foreach(np IN ITEMS 1 2)
  espalier_add_app_test(NAME checkpointing.terminated_np${np} ${checkpointing_labels}
    COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/apps/terminate.py ${checkpointing_out}/terminated_np${np}
      ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${np} ${espalier_launch_flags} $<TARGET_FILE:bench_checkpointing>
      -bench_points 100000 -bench_steps 2000 -checkpoint_ram 8MB -checkpoint_disk 40MB -checkpoint_schedule disk)
endforeach()
