# The scaling kit: the tool with made-up runs, whose times are known, and with a program of PETSc's kind on one and two
# ranks; the performance model with made-up measurements; job scripts.
set(scaling_out ${CMAKE_BINARY_DIR}/tests/scaling)
espalier_add_app_test(NAME scaling.figures LABELS distributed
  PASS_REGEX "tables, resuming and messages of made-up runs are right"
  COMMAND ${ESPALIER_PYTHON} tests/apps/scaling_test.py bench/scaling ${scaling_out}/made_up)
espalier_add_app_test(NAME scaling.model LABELS distributed PASS_REGEX "the performance model finds what was put in"
  COMMAND ${ESPALIER_PYTHON} tests/apps/scaling_model_test.py bench)

# mpirun binds runs of several tests at once to the same core, and refuses two ranks on a machine with one.
list(JOIN espalier_launch_flags " " scaling_flags)
set(scaling ${ESPALIER_PYTHON} bench/scaling tests/apps/scaling.json --programs ${CMAKE_BINARY_DIR}/bin
  --output ${scaling_out}/runs --launcher "${MPIEXEC_EXECUTABLE} ${scaling_flags} ${MPIEXEC_NUMPROC_FLAG} {ranks}")
espalier_add_app_test(NAME scaling.clean LABELS distributed COMMAND ${CMAKE_COMMAND} -E rm -rf ${scaling_out}/runs)
espalier_add_app_test(NAME scaling.runs LABELS distributed DEPENDS scaling.clean
  PASS_REGEX "strong, 2 rank.s., run 1 of 1: [0-9.]+ s" "Training *.* EspReduction *. *2 " "Grid grows .weak."
             "halo *. *reductions *. *solves" "runs/scaling.png" "runs/parts_weak.png"
  FAIL_REGEX "done before" COMMAND ${scaling})
espalier_add_app_test(NAME scaling.continues LABELS distributed DEPENDS scaling.runs
  PASS_REGEX "strong, 2 rank.s., run 1 of 1: done before" "100.0 %" FAIL_REGEX "[0-9] of 1: [0-9.]+ s"
  COMMAND ${scaling})
espalier_add_app_test(NAME scaling.complains LABELS distributed WILL_FAIL DEPENDS scaling.clean
  PASS_REGEX "ranks must be a list of different numbers from 1 up, not .0."
  FAIL_REGEX "Traceback" COMMAND ${scaling} --ranks 0)
# The measurement of messages, short; and what it says on one rank.
espalier_add_app_test(NAME scaling.messages NP 2 LABELS distributed PASS_REGEX "one way +exchange +allreduce" " 4096 "
  COMMAND bench_messages -bench_largest 4096 -bench_repetitions 1 -bench_seconds 1e-3)
espalier_add_app_test(NAME scaling.messages_alone LABELS distributed WILL_FAIL PASS_REGEX "start it with mpirun -n 2"
  COMMAND bench_messages)
# Threads that crowd are told of, unless the environment says no; the option comes before the environment.
set(crowded ${ESPALIER_PYTHON} tests/apps/on_one_core.py ${CMAKE_BINARY_DIR}/bin/bench_messages -help -threads 2)
espalier_add_app_test(NAME scaling.advice LABELS distributed PASS_REGEX "note: on node [^ ]+ .*2 threads.* on 1 core"
  COMMAND ${crowded} -binding_advice)
espalier_add_app_test(NAME scaling.no_advice LABELS distributed FAIL_REGEX "note: on node" COMMAND ${crowded})
foreach(system slurm pbs)
  espalier_add_app_test(NAME scaling.template_${system} LABELS distributed
    COMMAND bash -n bench/templates/scaling.${system})
endforeach()
# The study that comes with the sources can be read; it needs no runs to find that there are none.
espalier_add_app_test(NAME scaling.study LABELS distributed WILL_FAIL PASS_REGEX "holds no finished runs yet"
  COMMAND ${ESPALIER_PYTHON} bench/scaling --table --output ${scaling_out}/none)
