# A closure trained over distributed grids: any layout of the ranks, restarts on other numbers of ranks, bad input.
set(out ${ESPALIER_TEST_DIR}/gray_scott)
set(smoke -options_file petsc_options/gray_scott/smoke.opts -data_dir ${out}/data)
espalier_add_app_test(NAME gray_scott.smoke LABELS unit distributed FAIL_REGEX "WARNING!" "nan"
  PASS_REGEX "without the network: held-out error" "trained 4 epochs" "held-out trajectories: relative L2 error"
  COMMAND gray_scott ${smoke} -output ${out}/one -report ${out}/one.json -train_overwrite)
# The data file, too, is the one that one rank wrote.
foreach(ranks IN ITEMS 2 3 4 6)
  espalier_add_app_test(NAME gray_scott.np${ranks} NP ${ranks} LABELS unit distributed DEPENDS gray_scott.smoke
    FAIL_REGEX "Generating" COMMAND gray_scott ${smoke} -report ${out}/np${ranks}.json)
  espalier_add_app_test(NAME gray_scott.np${ranks}_equals_np1 LABELS unit distributed DEPENDS gray_scott.np${ranks}
    COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${out}/one.json
            ${out}/np${ranks}.json --metrics rollout_error held_out_error error_without_closure
            rollout_error_without_closure)
endforeach()
espalier_add_app_test(NAME gray_scott.groups NP 4 LABELS unit distributed DEPENDS gray_scott.smoke
  PASS_REGEX "2 groups of 2 x 1 x 1 ranks"
  COMMAND gray_scott ${smoke} -groups 2 -train_shard_optimizer -deterministic -network_halo once
          -report ${out}/groups.json)
espalier_add_app_test(NAME gray_scott.groups_equal_np1 LABELS unit distributed DEPENDS gray_scott.groups
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${out}/one.json ${out}/groups.json
          --metrics rollout_error held_out_error)
# Begun by two ranks, ended by four.
espalier_add_app_test(NAME gray_scott.half NP 2 LABELS unit distributed DEPENDS gray_scott.smoke
  COMMAND gray_scott ${smoke} -train_epochs 2 -output ${out}/half -train_overwrite)
espalier_add_app_test(NAME gray_scott.resume NP 4 LABELS unit distributed DEPENDS gray_scott.half
  PASS_REGEX "resumed from .* after 2 epochs"
  COMMAND gray_scott ${smoke} -output ${out}/half -report ${out}/resumed.json -train_resume ${out}/half/restart.h5)
espalier_add_app_test(NAME gray_scott.resume_on_others LABELS unit distributed DEPENDS gray_scott.resume
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${out}/one.json ${out}/resumed.json
          --metrics rollout_error held_out_error)
# A network within implicit steps: the matrix of the diffusion and the reaction is the preconditioner.
foreach(ranks IN ITEMS 1 2)
  espalier_add_app_test(NAME gray_scott.cn.np${ranks} NP ${ranks} LABELS unit distributed DEPENDS gray_scott.smoke
    COMMAND gray_scott ${smoke} -method cn -report ${out}/cn${ranks}.json)
endforeach()
espalier_add_app_test(NAME gray_scott.cn_of_two_equals_one LABELS unit distributed
  DEPENDS gray_scott.cn.np1 gray_scott.cn.np2
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 --any-work ${out}/cn1.json
          ${out}/cn2.json --metrics rollout_error held_out_error error_without_closure)
# Data made by other numbers of ranks are the same, byte for byte.
espalier_add_app_test(NAME gray_scott.clean LABELS unit distributed COMMAND ${CMAKE_COMMAND} -E rm -rf ${out}/data3)
espalier_add_app_test(NAME gray_scott.data_of_three NP 3 LABELS unit distributed DEPENDS gray_scott.clean
  PASS_REGEX "Generating"
  COMMAND gray_scott -options_file petsc_options/gray_scott/smoke.opts -data_dir ${out}/data3 -train_epochs 1)
espalier_add_app_test(NAME gray_scott.data_are_the_same LABELS unit distributed
  DEPENDS gray_scott.data_of_three gray_scott.smoke
  COMMAND ${CMAKE_COMMAND} -E compare_files ${out}/data/gray_scott_12_seed0.h5 ${out}/data3/gray_scott_12_seed0.h5)
espalier_add_app_test(NAME gray_scott.grad_check NP 2 LABELS gradient distributed DEPENDS gray_scott.smoke
  PASS_REGEX "gradient check: passed" COMMAND gray_scott ${smoke} -grad_check)
foreach(file IN ITEMS reference unet reaction)
  espalier_add_app_test(NAME gray_scott.options.${file} NP 2 LABELS unit distributed DEPENDS gray_scott.smoke
    PASS_REGEX "trained 1 epochs"
    COMMAND gray_scott -options_file petsc_options/gray_scott/${file}.opts -closure_cells 24
            -closure_refinement 1 -closure_snapshots 4 -data_dir ${out}/data24.${file} -train_epochs 1)
endforeach()

# Bad input: one message on all ranks, no hang.
set(refuse LABELS unit distributed WILL_FAIL TIMEOUT 60)
espalier_add_app_test(NAME gray_scott.refuses.groups NP 3 ${refuse}
  PASS_REGEX "-groups 2 does not divide 3 ranks" COMMAND gray_scott ${smoke} -groups 2)
espalier_add_app_test(NAME gray_scott.refuses.few_samples NP 4 ${refuse} DEPENDS gray_scott.smoke
  PASS_REGEX "-groups 4 share batches of 3 samples" COMMAND gray_scott ${smoke} -groups 4)
espalier_add_app_test(NAME gray_scott.refuses.halo NP 6 ${refuse}
  PASS_REGEX "needs 8 cells along axis x on every rank, but with 3 ranks along it one of them has 4"
  COMMAND gray_scott ${smoke} -network_halo once -network_blocks 4)
espalier_add_app_test(NAME gray_scott.refuses.alignment NP 2 ${refuse}
  PASS_REGEX "must have a multiple of 8" COMMAND gray_scott ${smoke} -network_type unet -network_levels 3)
espalier_add_app_test(NAME gray_scott.refuses.too_many_ranks NP 4 ${refuse}
  PASS_REGEX "cannot give each of 4 ranks" COMMAND gray_scott ${smoke} -network_type unet -network_levels 2
          -closure_cells 4)
espalier_add_app_test(NAME gray_scott.refuses.misspelt ${refuse}
  PASS_REGEX "-closure_cell" COMMAND gray_scott ${smoke} -closure_cell 4)
# The same course for Burgers' equation.
set(out ${ESPALIER_TEST_DIR}/burgers_closure)
set(smoke -options_file petsc_options/burgers_closure/smoke.opts -data_dir ${out}/data)
espalier_add_app_test(NAME burgers_closure.smoke LABELS unit distributed FAIL_REGEX "WARNING!" "nan"
  PASS_REGEX "trained 3 epochs" COMMAND burgers_closure ${smoke} -report ${out}/one.json)
espalier_add_app_test(NAME burgers_closure.np4 NP 4 LABELS unit distributed DEPENDS burgers_closure.smoke
  COMMAND burgers_closure ${smoke} -groups 2 -report ${out}/np4.json)
espalier_add_app_test(NAME burgers_closure.np4_equals_np1 LABELS unit distributed DEPENDS burgers_closure.np4
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${out}/one.json ${out}/np4.json
          --metrics rollout_error held_out_error)
espalier_add_app_test(NAME burgers_closure.grad_check NP 2 LABELS gradient distributed DEPENDS burgers_closure.smoke
  PASS_REGEX "gradient check: passed" COMMAND burgers_closure ${smoke} -grad_check)
espalier_add_app_test(NAME burgers_closure.options.reference NP 2 LABELS unit distributed DEPENDS burgers_closure.smoke
  PASS_REGEX "trained 1 epochs"
  COMMAND burgers_closure -options_file petsc_options/burgers_closure/reference.opts -closure_cells 16
          -closure_refinement 1 -closure_snapshots 4 -data_dir ${out}/data16 -train_epochs 1)

espalier_add_app_test(NAME grid_training.smoke NP 2 LABELS unit distributed
  PASS_REGEX "2 ranks in 1 groups, resnet 16x16 .* halo [1-9][0-9]* bytes"
  COMMAND bench_grid_training -cells 16,16 -samples 1 -steps 1 -network_hidden 2 -network_blocks 1 -repetitions 1)
