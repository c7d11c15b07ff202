# Apps that infer coefficient fields: training on one rank and several, restart, prediction, gradient, bad input.
set(field_data -data_dir ${ESPALIER_TEST_DIR}/field_data)
foreach(app IN ITEMS advection_diffusion burgers_viscosity)
  set(out ${ESPALIER_TEST_DIR}/${app})
  set(smoke -options_file petsc_options/${app}/smoke.opts ${field_data})
  espalier_add_app_test(NAME ${app}.smoke LABELS unit impindiff
    PASS_REGEX "trained 20 epochs|trained 10 epochs" "relative L1 error of states" FAIL_REGEX "WARNING!" "nan"
    COMMAND ${app} ${smoke} -output ${out}/one -report ${out}/one.json -train_overwrite)
  foreach(ranks IN ITEMS 2 4)
    espalier_add_app_test(NAME ${app}.np${ranks} NP ${ranks} LABELS unit impindiff DEPENDS ${app}.smoke
      COMMAND ${app} ${smoke} -report ${out}/np${ranks}.json)
    espalier_add_app_test(NAME ${app}.np${ranks}_equals_np1 LABELS unit impindiff DEPENDS ${app}.np${ranks}
      COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${out}/one.json
              ${out}/np${ranks}.json --metrics state_error state_error_ood)
  endforeach()
  # The report of a run that was stopped after half of its epochs and resumed is that of one that never stopped.
  espalier_add_app_test(NAME ${app}.half LABELS unit impindiff DEPENDS ${app}.smoke
    COMMAND ${app} ${smoke} -train_epochs 5 -output ${out}/half -report ${out}/half.json -train_overwrite)
  espalier_add_app_test(NAME ${app}.resume LABELS unit impindiff DEPENDS ${app}.half
    PASS_REGEX "resumed from .* after 5 epochs"
    COMMAND ${app} ${smoke} -output ${out}/half -report ${out}/resumed.json -train_resume ${out}/half/restart.h5)
  espalier_add_app_test(NAME ${app}.resume_is_exact LABELS unit impindiff DEPENDS ${app}.resume
    COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --bitwise ${out}/one.json ${out}/resumed.json
            --metrics state_error state_error_ood)
  espalier_add_app_test(NAME ${app}.predicts LABELS unit impindiff DEPENDS ${app}.smoke
    PASS_REGEX "relative L1 error of states"
    COMMAND ${app} ${smoke} -train_epochs 0 -train_start ${out}/one/best.h5 -evaluation_times 0.15)
  espalier_add_app_test(NAME ${app}.plot LABELS unit impindiff DEPENDS ${app}.smoke
    PASS_REGEX "fields_state.png" "fields.png"
    COMMAND ${ESPALIER_PYTHON} tools/plot ${out}/one --report ${out}/one.json)
  foreach(ranks IN ITEMS 1 2)
    espalier_add_app_test(NAME ${app}.grad_check.np${ranks} NP ${ranks} LABELS gradient impindiff DEPENDS ${app}.smoke
      PASS_REGEX "gradient check: passed" COMMAND ${app} ${smoke} -grad_check)
  endforeach()
  foreach(method IN ITEMS euler rk4 beuler)
    espalier_add_app_test(NAME ${app}.${method} LABELS unit impindiff DEPENDS ${app}.smoke
      COMMAND ${app} ${smoke} -method ${method} -ts_dt 0.0125 -train_epochs 1)
  endforeach()
  # Any PC of the matrices, on both systems.
  espalier_add_app_test(NAME ${app}.preconditioned NP 2 LABELS unit impindiff DEPENDS ${app}.smoke
    PASS_REGEX "relative L1 error of states"
    COMMAND ${app} ${smoke} -train_epochs 2 -ts_jacobian assembled -samples_pc_type bjacobi
            -adjoint_samples_pc_type gamg)

  espalier_add_app_test(NAME ${app}.refuses.label_times LABELS unit impindiff WILL_FAIL DEPENDS ${app}.smoke
    PASS_REGEX "-label_times: the data have no state at time 0.07" COMMAND ${app} ${smoke} -label_times 0.07)
  espalier_add_app_test(NAME ${app}.refuses.trajectories LABELS unit impindiff WILL_FAIL DEPENDS ${app}.smoke
    PASS_REGEX "-training_trajectories 7: the data hold only 3" COMMAND ${app} ${smoke} -training_trajectories 7)
  espalier_add_app_test(NAME ${app}.refuses.misspelt LABELS unit impindiff WILL_FAIL
    PASS_REGEX "-field_widths" COMMAND ${app} ${smoke} -field_widths 3)
endforeach()

espalier_add_app_test(NAME advection_diffusion.moving LABELS unit impindiff
  PASS_REGEX "relative L1 error of velocity_y"
  COMMAND advection_diffusion -options_file petsc_options/advection_diffusion/smoke.opts ${field_data}
          -advection_moving -data_times 0.07,0.13 -label_times 0.05,0.07,0.13)
espalier_add_app_test(NAME advection_diffusion.moving.grad_check LABELS gradient impindiff
  DEPENDS advection_diffusion.moving PASS_REGEX "gradient check: passed"
  COMMAND advection_diffusion -options_file petsc_options/advection_diffusion/smoke.opts ${field_data}
          -advection_moving -data_times 0.07,0.13 -label_times 0.05,0.07,0.13 -grad_check)
espalier_add_app_test(NAME advection_diffusion.refuses.scheme LABELS unit impindiff WILL_FAIL
  PASS_REGEX "-advection_scheme" "central, upwind, limited"
  COMMAND advection_diffusion -options_file petsc_options/advection_diffusion/smoke.opts ${field_data}
          -advection_scheme third)
# Without a floor a viscosity that is not positive is an error that names its cell.
espalier_add_app_test(NAME burgers_viscosity.refuses.negative_viscosity NP 2 LABELS unit impindiff WILL_FAIL
  DEPENDS burgers_viscosity.smoke PASS_REGEX "the diffusivity of cell .* on rank . is -"
  COMMAND burgers_viscosity -options_file petsc_options/burgers_viscosity/smoke.opts ${field_data} -burgers_floor 0
          -field_offset -1e-3)

# Each options file runs as it is but for its size.
set(field_small ${field_data} -data_cells 32,16 -data_step 5e-3 -data_training 2 -data_test 1 -training_trajectories 2
  -field_hidden 16 -train_batch_size 2 -train_epochs 2 -train_lr_hold 0)
foreach(file IN ITEMS advection_diffusion/cost advection_diffusion/paper_steady advection_diffusion/reference_steady
        advection_diffusion/paper_dynamic advection_diffusion/reference_dynamic burgers_viscosity/paper
        burgers_viscosity/reference)
  get_filename_component(app ${file} DIRECTORY)
  string(REPLACE "/" "." name ${file})
  espalier_add_app_test(NAME options.${name} LABELS unit impindiff PASS_REGEX "relative L1 error of states"
    COMMAND ${app} -options_file petsc_options/${file}.opts ${field_small} -data_seed 2)
endforeach()

# Steps as solves in torch's graph give what the integrator gives.
set(chain_advection_diffusion -step_solver fixed_point -step_differentiation unrolled -step_iterations 80
  -step_damping 0.5)
set(chain_burgers_viscosity -step_solver picard)
foreach(app IN ITEMS advection_diffusion burgers_viscosity)
  set(out ${ESPALIER_TEST_DIR}/${app})
  espalier_add_app_test(NAME ${app}.chain LABELS unit impindiff DEPENDS ${app}.smoke
    PASS_REGEX "relative L1 error of states"
    COMMAND ${app} -options_file petsc_options/${app}/smoke.opts ${field_data} -step_by chain ${chain_${app}}
            -report ${out}/chain.json)
  espalier_add_app_test(NAME ${app}.chain_equals_integrator LABELS unit impindiff DEPENDS ${app}.chain
    COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --tolerance 1e-6 ${out}/one.json ${out}/chain.json
            --metrics state_error state_error_ood)
endforeach()
espalier_add_app_test(NAME advection_diffusion.true_fields LABELS unit impindiff DEPENDS advection_diffusion.smoke
  PASS_REGEX "relative L1 error of states: 0.1. % observed" "relative L1 error of velocity_x: 0.00 %"
  COMMAND advection_diffusion -options_file petsc_options/advection_diffusion/smoke.opts ${field_data}
          -evaluation_true_fields)
set(refused_moving -advection_moving -data_times 0.07,0.13 -evaluation_true_fields)
set(refused_method -step_by chain -method rk4)
set(refused_check -step_by chain -grad_check)
set(refused_step_option -step_by chain -step_iteration 3)
set(says_moving "moving fields at some times only")
set(says_method "takes steps of -method cn or beuler, not rk4")
set(says_check "leave out -step_by chain")
set(says_step_option "-step_iteration: unknown option")
foreach(what IN ITEMS moving method check step_option)
  espalier_add_app_test(NAME advection_diffusion.refuses.${what} LABELS unit impindiff WILL_FAIL
    DEPENDS advection_diffusion.smoke PASS_REGEX ${says_${what}}
    COMMAND advection_diffusion -options_file petsc_options/advection_diffusion/smoke.opts ${field_data}
            ${refused_${what}})
endforeach()
