# The app ks with a trained linear part: training with one factorisation per step of the optimiser (10 steps, one more
# after the last, one for the best model), gradient checks, and a restart file that knows what is trained.
foreach(form IN ITEMS stencil dense)
  set(ks_linear -options_file petsc_options/ks/linear_${form}.opts ${ks_data} -ks_states 801 -network_widths 32,32)
  espalier_add_app_test(NAME ks.options.linear_${form} LABELS unit sinode DEPENDS ks.smoke
    PASS_REGEX "difference operator .*before training .*; 12 factorisations"
    COMMAND ks ${ks_linear} -train_epochs 1 -rollout_time 2 -report ${ks_out}/linear_${form}.json)
  foreach(solver IN ITEMS lu_inverse krylov)
    espalier_add_app_test(NAME ks.grad_check.linear_${form}.${solver} NP 2 LABELS gradient sinode DEPENDS ks.smoke
      PASS_REGEX "parameters of the linear part .slope (2.0|1.9)" "gradient check: passed"
      COMMAND ks ${ks_linear} -linear_solver ${solver} -train_window 2 -grad_check)
  endforeach()
endforeach()
ks_refuses(restart_of_other_linear_part "linear_train: the file has none, this run dense" -linear_train dense
  -train_resume ${ks_out}/one/restart.h5)
