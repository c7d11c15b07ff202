# A network that corrects a flow solver: on one rank and two, restart, refinement on and off, gradient, bad input.
set(corrector_out ${ESPALIER_TEST_DIR}/navier_stokes_corrector)
set(corrector_smoke -options_file petsc_options/navier_stokes_corrector/smoke.opts -data_dir ${corrector_out}/data)
espalier_add_app_test(NAME navier_stokes_corrector.smoke LABELS unit prdp
  PASS_REGEX "cycles converge the physics" "error of the solver alone" "trained 8 epochs"
             "levels of the physics: K_max [2-9] of K_eps [0-9]+; saved"
  FAIL_REGEX "WARNING!" "nan"
  COMMAND navier_stokes_corrector ${corrector_smoke} -output ${corrector_out}/one -report ${corrector_out}/one.json
          -train_overwrite)
espalier_add_app_test(NAME navier_stokes_corrector.metrics LABELS unit prdp DEPENDS navier_stokes_corrector.smoke
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_metrics.py ${corrector_out}/one.json validation_error
          validation_error_best solver_error savings_percent savings_ic_percent savings_pr_percent k_max k_eps
          iterations_nominal ksp_its_forward ksp_its_adjoint ksp_its_validation k_eps_seconds parameters peak_rss_mb)
# 15 cells to 10: no coarse face but the first of three lies on a fine one.
espalier_add_app_test(NAME navier_stokes_corrector.reference_has_no_divergence LABELS unit prdp
  DEPENDS navier_stokes_corrector.smoke
  COMMAND ${ESPALIER_PYTHON} tests/apps/divergence.py ${corrector_out}/data/navier_stokes_corrector_10_seed1.h5 1e-7)
espalier_add_app_test(NAME navier_stokes_corrector.plot LABELS unit prdp DEPENDS navier_stokes_corrector.smoke
  COMMAND ${ESPALIER_PYTHON} tools/plot ${corrector_out}/one --report ${corrector_out}/one.json)
espalier_add_app_test(NAME navier_stokes_corrector.np2 NP 2 LABELS unit prdp DEPENDS navier_stokes_corrector.smoke
  COMMAND navier_stokes_corrector ${corrector_smoke} -output ${corrector_out}/np2 -report ${corrector_out}/np2.json
          -train_overwrite)
espalier_add_app_test(NAME navier_stokes_corrector.np2_equals_np1 LABELS unit prdp DEPENDS navier_stokes_corrector.np2
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${corrector_out}/one.json
          ${corrector_out}/np2.json --metrics validation_error solver_error savings_percent k_max)
espalier_add_app_test(NAME navier_stokes_corrector.half LABELS unit prdp DEPENDS navier_stokes_corrector.smoke
  COMMAND navier_stokes_corrector ${corrector_smoke} -train_epochs 5 -train_lr_horizon 8 -output ${corrector_out}/half
          -report ${corrector_out}/half.json -train_overwrite)
espalier_add_app_test(NAME navier_stokes_corrector.resume LABELS unit prdp DEPENDS navier_stokes_corrector.half
  PASS_REGEX "resumed from .* after 5 epochs"
  COMMAND navier_stokes_corrector ${corrector_smoke} -output ${corrector_out}/half
          -report ${corrector_out}/resumed.json -train_resume ${corrector_out}/half/restart.h5)
espalier_add_app_test(NAME navier_stokes_corrector.resume_is_exact LABELS unit prdp
  DEPENDS navier_stokes_corrector.resume
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --bitwise ${corrector_out}/one.json
          ${corrector_out}/resumed.json --metrics validation_error savings_percent iterations_nominal
          ksp_its_forward ksp_its_adjoint)
espalier_add_app_test(NAME navier_stokes_corrector.converged LABELS unit prdp DEPENDS navier_stokes_corrector.smoke
  PASS_REGEX "saved 0.0 %" COMMAND navier_stokes_corrector ${corrector_smoke} -prdp false -train_epochs 2)
foreach(ranks IN ITEMS 1 2)
  espalier_add_app_test(NAME navier_stokes_corrector.grad_check.np${ranks} NP ${ranks} LABELS gradient prdp
    DEPENDS navier_stokes_corrector.smoke PASS_REGEX "gradient check: passed" FAIL_REGEX "WARNING!"
    COMMAND navier_stokes_corrector ${corrector_smoke} -grad_check)
endforeach()
espalier_add_app_test(NAME navier_stokes_corrector.refuses.fine_cells LABELS unit prdp WILL_FAIL
  PASS_REGEX "-flow_fine_cells" COMMAND navier_stokes_corrector ${corrector_smoke} -flow_fine_cells 9)
espalier_add_app_test(NAME navier_stokes_corrector.refuses.cutoff LABELS unit prdp WILL_FAIL
  PASS_REGEX "a cut-off of 8 on 15 x 15 points"
  COMMAND navier_stokes_corrector ${corrector_smoke} -flow_cutoff 8 -data_dir ${corrector_out}/none)
espalier_add_app_test(NAME navier_stokes_corrector.refuses.converged LABELS unit prdp WILL_FAIL
  DEPENDS navier_stokes_corrector.smoke PASS_REGEX "2 cycles of the solver do not bring the mean relative residual"
  COMMAND navier_stokes_corrector ${corrector_smoke} -physics_most 2)
espalier_add_app_test(NAME navier_stokes_corrector.refuses.k0 LABELS unit prdp WILL_FAIL
  DEPENDS navier_stokes_corrector.smoke PASS_REGEX "-prdp_k0 900"
  COMMAND navier_stokes_corrector ${corrector_smoke} -prdp_k0 900)
espalier_add_app_test(NAME navier_stokes_corrector.refuses.misspelt LABELS unit prdp WILL_FAIL
  PASS_REGEX "-flow_cell " COMMAND navier_stokes_corrector ${corrector_smoke} -flow_cell 12)

# The options file runs as it is but for its size.
espalier_add_app_test(NAME options.navier_stokes_corrector.paper LABELS unit prdp PASS_REGEX "levels of the physics"
  COMMAND navier_stokes_corrector -options_file petsc_options/navier_stokes_corrector/paper.opts
          -data_dir ${corrector_out}/data -flow_cells 12 -flow_fine_cells 17 -data_training 6 -data_held_out 2
          -train_batch_size 3 -train_epochs 1 -network_hidden 4 -network_blocks 1)
