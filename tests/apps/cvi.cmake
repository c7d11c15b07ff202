# Hidden laws of chemical vapour infiltration: training on one rank and several, restart, prediction, gradient, bad input.
set(cvi_out ${ESPALIER_TEST_DIR}/cvi)
set(cvi_data -data_dir ${cvi_out}/data)
set(cvi_smoke -options_file petsc_options/cvi/smoke.opts ${cvi_data})
set(cvi_metrics state_error state_error_ood operator_error_diffusivity operator_error_surface operator_error_rate
  peak_rss_mb ksp_its_forward ksp_its_adjoint)
espalier_add_app_test(NAME cvi.smoke LABELS unit impindiff
  PASS_REGEX "trained 20 epochs" "relative L1 error of states" "relative L1 error of the surface"
  FAIL_REGEX "WARNING!" "nan"
  COMMAND cvi ${cvi_smoke} -output ${cvi_out}/one -report ${cvi_out}/one.json -train_overwrite)
espalier_add_app_test(NAME cvi.metrics LABELS unit impindiff DEPENDS cvi.smoke
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_metrics.py ${cvi_out}/one.json ${cvi_metrics})
foreach(ranks IN ITEMS 2 4)
  espalier_add_app_test(NAME cvi.np${ranks} NP ${ranks} LABELS unit impindiff DEPENDS cvi.smoke
    COMMAND cvi ${cvi_smoke} -report ${cvi_out}/np${ranks}.json)
  espalier_add_app_test(NAME cvi.np${ranks}_equals_np1 LABELS unit impindiff DEPENDS cvi.np${ranks}
    COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${cvi_out}/one.json
            ${cvi_out}/np${ranks}.json --metrics state_error state_error_ood operator_error_diffusivity)
endforeach()
espalier_add_app_test(NAME cvi.half LABELS unit impindiff DEPENDS cvi.smoke
  COMMAND cvi ${cvi_smoke} -train_epochs 10 -output ${cvi_out}/half -report ${cvi_out}/half.json -train_overwrite)
espalier_add_app_test(NAME cvi.resume LABELS unit impindiff DEPENDS cvi.half
  PASS_REGEX "resumed from .* after 10 epochs"
  COMMAND cvi ${cvi_smoke} -output ${cvi_out}/half -report ${cvi_out}/resumed.json
          -train_resume ${cvi_out}/half/restart.h5)
espalier_add_app_test(NAME cvi.resume_is_exact LABELS unit impindiff DEPENDS cvi.resume
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --bitwise ${cvi_out}/one.json ${cvi_out}/resumed.json
          --metrics state_error state_error_ood)
espalier_add_app_test(NAME cvi.predicts LABELS unit impindiff DEPENDS cvi.smoke
  PASS_REGEX "relative L1 error of states"
  COMMAND cvi ${cvi_smoke} -train_epochs 0 -train_start ${cvi_out}/one/best.h5 -evaluation_times 0.2)
espalier_add_app_test(NAME cvi.plot LABELS unit impindiff DEPENDS cvi.smoke
  PASS_REGEX "fields_porosity.png" "fields_molarity.png" "operators.png"
  COMMAND ${ESPALIER_PYTHON} tools/plot ${cvi_out}/one --report ${cvi_out}/one.json)
foreach(ranks IN ITEMS 1 2)
  espalier_add_app_test(NAME cvi.grad_check.np${ranks} NP ${ranks} LABELS gradient impindiff DEPENDS cvi.smoke
    PASS_REGEX "gradient check: passed" COMMAND cvi ${cvi_smoke} -grad_check)
endforeach()
espalier_add_app_test(NAME cvi.grad_check.unrolled LABELS gradient impindiff DEPENDS cvi.smoke
  PASS_REGEX "gradient check: passed"
  COMMAND cvi ${cvi_smoke} -grad_check -cvi_differentiation unrolled -cvi_iterations 9)
espalier_add_app_test(NAME cvi.rk4 LABELS unit impindiff DEPENDS cvi.smoke
  COMMAND cvi ${cvi_smoke} -method rk4 -train_epochs 1)
# Any solver of the molarity: multigrid, and point Jacobi.
espalier_add_app_test(NAME cvi.multigrid NP 2 LABELS unit impindiff DEPENDS cvi.smoke
  PASS_REGEX "relative L1 error of states" FAIL_REGEX "WARNING!"
  COMMAND cvi ${cvi_smoke} -train_epochs 2 -molarity_pc_type gamg -molarity_adjoint_pc_type gamg)
espalier_add_app_test(NAME cvi.jacobi LABELS unit impindiff DEPENDS cvi.smoke
  PASS_REGEX "relative L1 error of states" FAIL_REGEX "WARNING!"
  COMMAND cvi ${cvi_smoke} -train_epochs 2 -molarity_ksp_type richardson -molarity_pc_type jacobi)
# A float network, and one without the memory for molarities.
espalier_add_app_test(NAME cvi.float LABELS gradient impindiff DEPENDS cvi.smoke
  PASS_REGEX "gradient check: passed" COMMAND cvi ${cvi_smoke} -grad_check -network_precision float -cvi_keep_mb 0)

espalier_add_app_test(NAME cvi.refuses.label_times LABELS unit impindiff WILL_FAIL DEPENDS cvi.smoke
  PASS_REGEX "-label_times: the data have no state at time 0.125" COMMAND cvi ${cvi_smoke} -label_times 0.125)
espalier_add_app_test(NAME cvi.refuses.trajectories LABELS unit impindiff WILL_FAIL
  PASS_REGEX "-training_trajectories 3: there are only 2" COMMAND cvi ${cvi_smoke} -training_trajectories 3)
espalier_add_app_test(NAME cvi.refuses.few_iterations LABELS unit impindiff WILL_FAIL DEPENDS cvi.smoke
  PASS_REGEX "the linear solve \\(-molarity_ksp_\\*\\) failed" "-molarity_ksp_max_it"
  COMMAND cvi ${cvi_smoke} -molarity_ksp_max_it 2)
espalier_add_app_test(NAME cvi.refuses.misspelt LABELS unit impindiff WILL_FAIL
  PASS_REGEX "-cvi_iteration" COMMAND cvi ${cvi_smoke} -cvi_iteration 3)

# Each options file runs as it is but for its size.
set(cvi_small ${cvi_data} -data_cells 12,8 -data_step 0.05 -data_training 2 -data_test 1 -training_trajectories 2
  -train_batch_size 2 -train_epochs 2 -train_lr_hold 0 -data_seed 2)
foreach(file IN ITEMS reference paper)
  espalier_add_app_test(NAME options.cvi.${file} LABELS unit impindiff PASS_REGEX "relative L1 error of states"
    COMMAND cvi -options_file petsc_options/cvi/${file}.opts ${cvi_small})
endforeach()
