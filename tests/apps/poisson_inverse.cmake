# The Poisson inverse problem: the paper's figures, which two programs computed before, on one rank and several; unrolled
# and implicit derivatives; bad input.
set(poisson_out ${ESPALIER_TEST_DIR}/poisson_inverse)
set(poisson_files petsc_options/poisson_inverse)
set(poisson_metrics cost savings_percent parameter_error)
file(GLOB poisson_opts CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/${poisson_files} ${PROJECT_SOURCE_DIR}/${poisson_files}/*.opts)
foreach(file IN LISTS poisson_opts)
  string(REPLACE .opts "" name ${file})
  espalier_add_app_test(NAME poisson_inverse.${name} LABELS unit prdp
    PASS_REGEX "cost [0-9]+ iterations, [0-9.]+ % saved of the [0-9]+ of converged solves" FAIL_REGEX "WARNING!" "nan"
    COMMAND poisson_inverse -options_file ${poisson_files}/${file} -report ${poisson_out}/${name}.json)
  espalier_add_app_test(NAME poisson_inverse.${name}.metrics LABELS unit prdp DEPENDS poisson_inverse.${name}
    COMMAND ${ESPALIER_PYTHON} tests/apps/check_metrics.py ${poisson_out}/${name}.json ${poisson_metrics})
endforeach()
# Cost, savings and the courses K and error of the paper's settings in double precision.
foreach(ranks IN ITEMS 1 2 4)
  espalier_add_app_test(NAME poisson_inverse.one_amplitude.np${ranks} NP ${ranks} LABELS unit prdp
    PASS_REGEX "update +1 +K +25 .*1.49965442e.00" "update +10 +K +35 .*1.39939759e.00" "update +50 +K +155 .*3.03625819e-01"
      "update +100 +K +355 .*4.80114663e-03" "update +150 +K +555 .*7.36117....-05"
      "cost 50465 iterations, 32.7 % saved of the 75000 of converged solves. relative error of the parameters 1.468958..e-05"
    COMMAND poisson_inverse -options_file ${poisson_files}/p1_prdp.opts -poisson_print_every 10)
endforeach()
espalier_add_app_test(NAME poisson_inverse.three_amplitudes LABELS unit prdp
  PASS_REGEX "update +1 +K +1 .*6.1816228.e-01" "update +10 +K +9 .*6.24412768e-01" "update +100 +K +23 .*2.21796801e-01"
    "update +300 +K +163 .*5.037229..e-03" "update +500 +K +343 .*1.685765..e-04"
    "cost 174442 iterations, 48.3 % .* 1.073118..e-05"
  COMMAND poisson_inverse -options_file ${poisson_files}/p3_jacobi_prdp.opts -poisson_print_every 10)
espalier_add_app_test(NAME poisson_inverse.by_hand LABELS unit prdp PASS_REGEX "cost 53650 iterations, 28.5 % saved"
  COMMAND poisson_inverse -options_file ${poisson_files}/p1_hand.opts)
# With a constant matrix and a start from zero K unrolled sweeps have the derivative of K transposed ones.
espalier_add_app_test(NAME poisson_inverse.unrolled LABELS gradient prdp
  PASS_REGEX "cost 174442 iterations, 48.3 % .* 1.073118..e-05"
  COMMAND poisson_inverse -options_file ${poisson_files}/p3_jacobi_prdp.opts -poisson_differentiation unrolled)
espalier_add_app_test(NAME poisson_inverse.unrolled_descent NP 2 LABELS gradient prdp PASS_REGEX "relative error of the parameters [1-9].[0-9]+e-05"
  COMMAND poisson_inverse -options_file ${poisson_files}/p3_steepest_prdp.opts -poisson_differentiation unrolled)
foreach(ranks IN ITEMS 1 2)
  espalier_add_app_test(NAME poisson_inverse.grad_check.np${ranks} NP ${ranks} LABELS gradient prdp
    PASS_REGEX "gradient check: passed"
    COMMAND poisson_inverse -options_file ${poisson_files}/smoke.opts -grad_check)
endforeach()
# Another Krylov method and preconditioner, with fewer iterations to save.
espalier_add_app_test(NAME poisson_inverse.other_solver LABELS unit prdp PASS_REGEX "relative error of the parameters"
  COMMAND poisson_inverse -options_file ${poisson_files}/smoke.opts -physics_ksp_type espalier_cg -physics_pc_type icc
          -physics_adjoint_ksp_type espalier_cg -physics_adjoint_pc_type icc -prdp_k0 1 -prdp_dk 1 -prdp_kmax 3)

foreach(bad IN ITEMS "tau_step 2.5" "tau_stop 0" "delta 0" "k0 81" "ema 0.5" "c0 none")
  separate_arguments(parts UNIX_COMMAND ${bad})
  list(GET parts 0 name)
  list(GET parts 1 value)
  espalier_add_app_test(NAME poisson_inverse.refuses.${name} LABELS unit prdp WILL_FAIL PASS_REGEX "-prdp_${name}"
    COMMAND poisson_inverse -options_file ${poisson_files}/smoke.opts -prdp_${name} ${value})
endforeach()
espalier_add_app_test(NAME poisson_inverse.refuses.metric LABELS unit prdp WILL_FAIL
  PASS_REGEX "-prdp_metric loss: there is no such metric, choose one of validation"
  COMMAND poisson_inverse -options_file ${poisson_files}/smoke.opts -prdp_metric loss)
espalier_add_app_test(NAME poisson_inverse.refuses.ladder LABELS unit prdp WILL_FAIL
  PASS_REGEX "-prdp_knob tolerance needs the tolerance of each level"
  COMMAND poisson_inverse -options_file ${poisson_files}/smoke.opts -prdp_knob tolerance)
espalier_add_app_test(NAME poisson_inverse.refuses.amplitudes LABELS unit prdp WILL_FAIL
  PASS_REGEX "-poisson_wanted and -poisson_start need as many amplitudes as each other, not 1 and 2"
  COMMAND poisson_inverse -options_file ${poisson_files}/smoke.opts -poisson_start 1,2)
espalier_add_app_test(NAME poisson_inverse.refuses.misspelt LABELS unit prdp WILL_FAIL
  PASS_REGEX "-poisson_updatess" COMMAND poisson_inverse -options_file ${poisson_files}/smoke.opts -poisson_updatess 3)
