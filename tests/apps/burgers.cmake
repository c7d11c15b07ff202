# The app burgers as its users run it. Everything is written below the build folder.
set(burgers_out ${CMAKE_BINARY_DIR}/tests/burgers)
set(burgers_data -data_dir ${burgers_out}/data)
set(burgers_smoke -options_file petsc_options/burgers/smoke.opts ${burgers_data} -train_overwrite)
file(MAKE_DIRECTORY ${burgers_out})

espalier_add_app_test(NAME burgers.smoke LABELS unit sinode
  COMMAND burgers ${burgers_smoke} -report ${burgers_out}/one.json -output ${burgers_out}/one)
espalier_add_app_test(NAME burgers.smoke.np2 NP 2 LABELS unit sinode DEPENDS burgers.smoke
  COMMAND burgers ${burgers_smoke} -report ${burgers_out}/two.json -output ${burgers_out}/two)
espalier_add_app_test(NAME burgers.reports_agree LABELS unit sinode DEPENDS burgers.smoke burgers.smoke.np2
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py ${burgers_out}/one.json ${burgers_out}/two.json)
espalier_add_app_test(NAME burgers.plot LABELS unit sinode DEPENDS burgers.smoke
  COMMAND ${ESPALIER_PYTHON} tools/plot ${burgers_out}/one --report ${burgers_out}/one.json)

# Each options file runs as it is but for its size; the steps and windows, and so the evaluations per batch, are its own.
foreach(points IN ITEMS 512 1024)
  foreach(method IN ITEMS l2 3 4 5 cn rk4 dopri5)
    espalier_add_app_test(NAME burgers.options.${points}_${method} LABELS unit sinode DEPENDS burgers.smoke
      COMMAND burgers -options_file petsc_options/burgers/paper_${points}_${method}.opts ${burgers_data}
              -burgers_points 32 -burgers_viscosity 2e-2 -burgers_trajectories 4 -burgers_states 4
              -network_widths 32 -train_batch_size 9 -train_epochs 1)
  endforeach()
endforeach()
foreach(file IN ITEMS reference reference_1024)
  espalier_add_app_test(NAME burgers.options.${file} LABELS unit sinode DEPENDS burgers.smoke
    COMMAND burgers -options_file petsc_options/burgers/${file}.opts ${burgers_data} -burgers_points 32
            -burgers_viscosity 2e-2 -burgers_trajectories 4 -burgers_states 4 -network_widths 32 -train_batch_size 9
            -train_epochs 1)
endforeach()
foreach(method IN ITEMS 3 cn)
  espalier_add_app_test(NAME burgers.grad_check.${method} LABELS gradient sinode DEPENDS burgers.smoke
    PASS_REGEX "gradient check: passed" COMMAND burgers ${burgers_smoke} -method ${method} -grad_check)
endforeach()
espalier_add_app_test(NAME burgers.grad_check.linear_dense LABELS gradient sinode DEPENDS burgers.smoke
  PASS_REGEX "parameters of the linear part .slope (2.0|1.9)" "gradient check: passed"
  COMMAND burgers ${burgers_smoke} -linear_train dense -linear_perturb 0.01 -grad_check)

# A model that blows up in the prediction is reported, not a crash: an explicit method at the step of the IMEX ones.
espalier_add_app_test(NAME burgers.explicit_blows_up LABELS unit sinode DEPENDS burgers.smoke
  PASS_REGEX "the prediction ended early: the state is not finite: method rk4, step"
  FAIL_REGEX "PETSC ERROR" "WARNING!"
  COMMAND burgers ${burgers_smoke} -method rk4 -burgers_viscosity 8 -train_epochs 1)
