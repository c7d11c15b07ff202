# Emulators trained through solvers: on one rank and several, restart, refinement on and off, gradient, bad input.
set(heat_out ${ESPALIER_TEST_DIR}/heat_emulator)
set(heat_smoke -options_file petsc_options/heat_emulator/smoke.opts -data_dir ${heat_out}/data)
set(emulator_metrics validation_error savings_percent savings_ic_percent savings_pr_percent k_max k_eps
  iterations_nominal ksp_its_forward ksp_its_adjoint peak_rss_mb)
espalier_add_app_test(NAME heat_emulator.smoke LABELS unit prdp
  PASS_REGEX "iterations converge the physics" "trained 12 epochs" "levels of the physics: K_max [0-9]+ of K_eps [0-9]+; saved"
  FAIL_REGEX "WARNING!" "nan"
  COMMAND heat_emulator ${heat_smoke} -output ${heat_out}/one -report ${heat_out}/one.json -train_overwrite)
espalier_add_app_test(NAME heat_emulator.metrics LABELS unit prdp DEPENDS heat_emulator.smoke
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_metrics.py ${heat_out}/one.json ${emulator_metrics})
foreach(ranks IN ITEMS 2 4)
  espalier_add_app_test(NAME heat_emulator.np${ranks} NP ${ranks} LABELS unit prdp DEPENDS heat_emulator.smoke
    COMMAND heat_emulator ${heat_smoke} -report ${heat_out}/np${ranks}.json)
  espalier_add_app_test(NAME heat_emulator.np${ranks}_equals_np1 LABELS unit prdp DEPENDS heat_emulator.np${ranks}
    COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${heat_out}/one.json
            ${heat_out}/np${ranks}.json --metrics validation_error savings_percent k_max)
endforeach()
espalier_add_app_test(NAME heat_emulator.half LABELS unit prdp DEPENDS heat_emulator.smoke
  COMMAND heat_emulator ${heat_smoke} -train_epochs 7 -output ${heat_out}/half -report ${heat_out}/half.json
          -train_overwrite)
espalier_add_app_test(NAME heat_emulator.resume LABELS unit prdp DEPENDS heat_emulator.half
  PASS_REGEX "resumed from .* after 7 epochs"
  COMMAND heat_emulator ${heat_smoke} -output ${heat_out}/half -report ${heat_out}/resumed.json
          -train_resume ${heat_out}/half/restart.h5)
espalier_add_app_test(NAME heat_emulator.resume_is_exact LABELS unit prdp DEPENDS heat_emulator.resume
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --bitwise ${heat_out}/one.json ${heat_out}/resumed.json
          --metrics validation_error savings_percent iterations_nominal ksp_its_forward ksp_its_adjoint)
espalier_add_app_test(NAME heat_emulator.converged LABELS unit prdp DEPENDS heat_emulator.smoke
  PASS_REGEX "saved 0.0 %" COMMAND heat_emulator ${heat_smoke} -prdp false -train_epochs 2)
espalier_add_app_test(NAME heat_emulator.plot LABELS unit prdp DEPENDS heat_emulator.smoke
  PASS_REGEX "lines_state.png" "loss.png" "refinement.png"
  COMMAND ${ESPALIER_PYTHON} tools/plot ${heat_out}/one --report ${heat_out}/one.json)
foreach(dimension IN ITEMS 2 3)
  espalier_add_app_test(NAME heat_emulator.resnet_${dimension}d LABELS unit prdp
    PASS_REGEX "levels of the physics" FAIL_REGEX "nan"
    COMMAND heat_emulator ${heat_smoke} -heat_dimension ${dimension} -heat_points 6 -heat_modes 2 -network_type resnet
            -network_hidden 4 -network_blocks 1 -network_precision float -train_epochs 3
            -output ${heat_out}/resnet_${dimension}d -train_overwrite)
  espalier_add_app_test(NAME heat_emulator.plot_${dimension}d LABELS unit prdp
    DEPENDS heat_emulator.resnet_${dimension}d PASS_REGEX "fields_state.png"
    COMMAND ${ESPALIER_PYTHON} tools/plot ${heat_out}/resnet_${dimension}d)
endforeach()
# The paper's heat on a line at full length: its savings and error, and what is reported against the prediction itself.
foreach(norm IN ITEMS first reference)
  espalier_add_app_test(NAME heat_emulator.paper_${norm} LABELS unit prdp PASS_REGEX "trained 100 epochs" "of K_eps 25"
    COMMAND heat_emulator -options_file petsc_options/heat_emulator/paper_1d.opts -emulator_norm ${norm}
            -data_held_out 1 -data_dir ${heat_out}/data_${norm} -output ${heat_out}/paper_${norm} -train_overwrite
            -report ${heat_out}/paper_${norm}.json)
  espalier_add_app_test(NAME heat_emulator.paper_${norm}.figures LABELS unit prdp DEPENDS heat_emulator.paper_${norm}
    COMMAND ${ESPALIER_PYTHON} tests/apps/check_emulator.py ${heat_out}/paper_${norm} ${heat_out}/paper_${norm}.json
            --norm ${norm} --savings 72 82 --error 0.06)
endforeach()
# Other knobs: a tolerance for each level; a preconditioner for each level; fewer iterations of the adjoint.
espalier_add_app_test(NAME heat_emulator.by_tolerance LABELS unit prdp DEPENDS heat_emulator.smoke
  PASS_REGEX "K_max [1-3] of K_eps 3" COMMAND heat_emulator ${heat_smoke} -prdp_knob tolerance -prdp_tolerances 0.3,0.1,0.01)
espalier_add_app_test(NAME heat_emulator.by_option LABELS unit prdp DEPENDS heat_emulator.smoke
  PASS_REGEX "K_max [1-2] of K_eps 2"
  COMMAND heat_emulator ${heat_smoke} -prdp_knob option -prdp_option physics_pc_type -prdp_ladder jacobi,sor)
espalier_add_app_test(NAME heat_emulator.adjoint LABELS unit prdp DEPENDS heat_emulator.smoke
  PASS_REGEX "levels of the physics" COMMAND heat_emulator ${heat_smoke} -prdp_adjoint 1 -heat_boundary periodic
          -physics_ksp_type espalier_cg -physics_adjoint_ksp_type espalier_cg)
foreach(ranks IN ITEMS 1 2)
  espalier_add_app_test(NAME heat_emulator.grad_check.np${ranks} NP ${ranks} LABELS gradient prdp
    DEPENDS heat_emulator.smoke PASS_REGEX "gradient check: passed" COMMAND heat_emulator ${heat_smoke} -grad_check)
endforeach()
espalier_add_app_test(NAME heat_emulator.refuses.steps LABELS unit prdp WILL_FAIL
  PASS_REGEX "-emulator_steps" COMMAND heat_emulator ${heat_smoke} -emulator_steps 0)
espalier_add_app_test(NAME heat_emulator.refuses.validate_every LABELS unit prdp WILL_FAIL
  PASS_REGEX "leave -train_validate_every at 1" COMMAND heat_emulator ${heat_smoke} -train_validate_every 2)
# The control's decisions again, from the report.
espalier_add_app_test(NAME heat_emulator.replay LABELS unit prdp DEPENDS heat_emulator.smoke
  PASS_REGEX "^[01]\n" "\nK [0-9]+\nc [0-9.e-]+\n"
  COMMAND prdp_replay -options_file petsc_options/heat_emulator/smoke.opts ${heat_out}/one.json)
espalier_add_app_test(NAME heat_emulator.refuses.converged LABELS unit prdp WILL_FAIL DEPENDS heat_emulator.smoke
  PASS_REGEX "3 iterations of the solver do not bring the mean relative residual below"
  COMMAND heat_emulator ${heat_smoke} -physics_most 3)
espalier_add_app_test(NAME heat_emulator.refuses.k0 LABELS unit prdp WILL_FAIL DEPENDS heat_emulator.smoke
  PASS_REGEX "-prdp_k0 900" COMMAND heat_emulator ${heat_smoke} -prdp_k0 900)
espalier_add_app_test(NAME heat_emulator.refuses.misspelt LABELS unit prdp WILL_FAIL
  PASS_REGEX "-prdp_tau_steps" COMMAND heat_emulator ${heat_smoke} -prdp_tau_steps 0.9)

set(burgers_out ${ESPALIER_TEST_DIR}/burgers_emulator)
set(burgers_smoke -options_file petsc_options/burgers_emulator/smoke.opts -data_dir ${burgers_out}/data)
espalier_add_app_test(NAME burgers_emulator.smoke LABELS unit prdp
  PASS_REGEX "iterations converge the physics" "levels of the physics" FAIL_REGEX "WARNING!"
  COMMAND burgers_emulator ${burgers_smoke} -output ${burgers_out}/one -report ${burgers_out}/one.json -train_overwrite)
espalier_add_app_test(NAME burgers_emulator.metrics LABELS unit prdp DEPENDS burgers_emulator.smoke
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_metrics.py ${burgers_out}/one.json ${emulator_metrics})
espalier_add_app_test(NAME burgers_emulator.np2 NP 2 LABELS unit prdp DEPENDS burgers_emulator.smoke
  COMMAND burgers_emulator ${burgers_smoke} -report ${burgers_out}/np2.json)
espalier_add_app_test(NAME burgers_emulator.np2_equals_np1 LABELS unit prdp DEPENDS burgers_emulator.np2
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${burgers_out}/one.json
          ${burgers_out}/np2.json --metrics validation_error savings_percent k_max)
foreach(ranks IN ITEMS 1 2)
  espalier_add_app_test(NAME burgers_emulator.grad_check.np${ranks} NP ${ranks} LABELS gradient prdp
    DEPENDS burgers_emulator.smoke PASS_REGEX "gradient check: passed"
    COMMAND burgers_emulator ${burgers_smoke} -grad_check)
endforeach()
# Newton's iterations as the level, and the linearised step by assembled matrices.
espalier_add_app_test(NAME burgers_emulator.newton LABELS unit prdp PASS_REGEX "levels of the physics: K_max [1-9] of K_eps [1-9];"
  COMMAND burgers_emulator ${burgers_smoke} -burgers_step newton -train_epochs 3 -prdp_kmax 4)
espalier_add_app_test(NAME burgers_emulator.newton.grad_check LABELS gradient prdp PASS_REGEX "gradient check: passed"
  DEPENDS burgers_emulator.newton COMMAND burgers_emulator ${burgers_smoke} -burgers_step newton -grad_check)
espalier_add_app_test(NAME burgers_emulator.assembled LABELS unit prdp DEPENDS burgers_emulator.smoke
  COMMAND burgers_emulator ${burgers_smoke} -physics_assembled -physics_adjoint_assembled
          -report ${burgers_out}/assembled.json)
espalier_add_app_test(NAME burgers_emulator.assembled_is_equal LABELS unit prdp DEPENDS burgers_emulator.assembled
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${burgers_out}/one.json
          ${burgers_out}/assembled.json --metrics validation_error savings_percent k_max)
espalier_add_app_test(NAME burgers_emulator.refuses.points LABELS unit prdp WILL_FAIL
  PASS_REGEX "-burgers_points" COMMAND burgers_emulator ${burgers_smoke} -burgers_points 1)

# Each options file runs as it is but for its size.
foreach(file IN ITEMS paper_1d paper_2d paper_3d distributed_3d)
  espalier_add_app_test(NAME options.heat_emulator.${file} LABELS unit prdp PASS_REGEX "levels of the physics"
    COMMAND heat_emulator -options_file petsc_options/heat_emulator/${file}.opts -data_dir ${heat_out}/data
            -heat_points 6 -heat_modes 1 -data_training 6 -data_held_out 2 -train_batch_size 3 -train_epochs 1
            -network_widths 8 -network_hidden 4)
endforeach()
espalier_add_app_test(NAME options.burgers_emulator.paper LABELS unit prdp PASS_REGEX "levels of the physics"
  COMMAND burgers_emulator -options_file petsc_options/burgers_emulator/paper.opts -data_dir ${burgers_out}/data
          -burgers_points 16 -burgers_modes 2 -data_training 6 -data_held_out 2 -train_batch_size 3 -train_epochs 1
          -network_hidden 4 -network_blocks 1 -prdp_k0 1)
