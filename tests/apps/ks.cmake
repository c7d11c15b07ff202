# The app ks as its users run it: a whole small run on one and two ranks, gradient checks, restart, and bad input.
# Everything is written below the build folder.
set(ks_out ${CMAKE_BINARY_DIR}/tests/ks)
set(ks_data -data_dir ${ks_out}/data)
set(ks_smoke -options_file petsc_options/ks/smoke.opts ${ks_data} -train_overwrite)
file(MAKE_DIRECTORY ${ks_out})

espalier_add_app_test(NAME ks.smoke COMMAND ks ${ks_smoke} -report ${ks_out}/one.json -output ${ks_out}/one LABELS unit)
espalier_add_app_test(NAME ks.smoke.np2 NP 2 LABELS unit DEPENDS ks.smoke
  COMMAND ks ${ks_smoke} -report ${ks_out}/two.json -output ${ks_out}/two)
espalier_add_app_test(NAME ks.reports_agree LABELS unit DEPENDS ks.smoke ks.smoke.np2
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py ${ks_out}/one.json ${ks_out}/two.json)
espalier_add_app_test(NAME ks.plot LABELS unit DEPENDS ks.smoke
  PASS_REGEX "space_time.png" "spectrum.png" "density.png" "loss.png"
  COMMAND ${ESPALIER_PYTHON} tools/plot ${ks_out}/one --report ${ks_out}/one.json)

# What the rollouts are worth; a model that blows up in them is reported with the time reached, not as a failure: an
# explicit method with the step of an implicit one.
set(ks_valid_time valid_time valid_time_mean valid_time_std valid_time_censored valid_time_lyapunov)
foreach(ranks IN ITEMS one two)
  espalier_add_app_test(NAME ks.rollout_metrics.${ranks} LABELS unit sinode DEPENDS ks.smoke ks.smoke.np2
    COMMAND ${ESPALIER_PYTHON} tests/apps/check_metrics.py ${ks_out}/${ranks}.json --like ${ks_out}/one.json
            ${ks_valid_time} rollout_max_abs rollout_spectrum_error joint_density_distance joint_density_floor
            --equal rollout_time_reached=10 rollout_bounded=1 valid_time_starts=4 valid_time_horizon=10)
endforeach()
espalier_add_app_test(NAME ks.explicit_blows_up LABELS unit sinode DEPENDS ks.smoke
  PASS_REGEX "the rollout ended early: the state is not finite" "NOT bounded.* ended after [0-9.]+ time units"
  FAIL_REGEX "PETSC ERROR" "long run" COMMAND ks ${ks_smoke} -method rk4 -ts_dt 0.02 -train_epochs 0
             -train_start ${ks_out}/one/best.h5 -output ${ks_out}/blown_up -report ${ks_out}/blown_up.json)
espalier_add_app_test(NAME ks.explicit_blows_up.metrics LABELS unit sinode DEPENDS ks.explicit_blows_up
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_metrics.py ${ks_out}/blown_up.json ${ks_valid_time} rollout_time_reached
          joint_density_floor --equal rollout_bounded=0 --without rollout_spectrum_error joint_density_distance)
espalier_add_app_test(NAME ks.explicit_blows_up.plot LABELS unit sinode DEPENDS ks.explicit_blows_up
  PASS_REGEX "space_time.png" "spectrum.png" "density.png"
  COMMAND ${ESPALIER_PYTHON} tools/plot ${ks_out}/blown_up --report ${ks_out}/one.json)

# Each options file runs as it is but for the lengths of the run.
foreach(name IN ITEMS smoke reference demo authors_64_l2 paper_64_l2 paper_64_3 paper_64_4 paper_64_5 paper_64_cn
        paper_64_cn_assembled)
  espalier_add_app_test(NAME ks.options.${name} LABELS unit DEPENDS ks.smoke
    COMMAND ks -options_file petsc_options/ks/${name}.opts ${ks_data} -ks_states 801 -network_widths 32,32
            -train_epochs 1 -rollout_time 2 -report ${ks_out}/${name}.json)
endforeach()
foreach(name IN ITEMS paper_512_l2 paper_512_3 paper_512_4 paper_512_5)
  espalier_add_app_test(NAME ks.options.${name} LABELS unit sinode DEPENDS ks.smoke
    COMMAND ks -options_file petsc_options/ks/${name}.opts ${ks_data} -ks_points 64 -ks_states 801
            -network_widths 32,32 -train_epochs 1 -rollout_time 2)
endforeach()
foreach(name IN ITEMS paper_64_rk4 paper_64_dopri5 paper_64_dopri5_adaptive)
  espalier_add_app_test(NAME ks.options.${name} LABELS unit DEPENDS ks.smoke
    COMMAND ks -options_file petsc_options/ks/${name}.opts ${ks_data} -ks_states 101 -network_widths 32,32
            -train_epochs 1 -train_batch_size 40 -rollout_time 0.4 -rollout_samples 2)
endforeach()

# As README gives it, with the network and the activation of the paper.
foreach(method IN ITEMS l2 3 4 5 cn cn_assembled)
  espalier_add_app_test(NAME ks.grad_check.paper_64_${method} LABELS gradient DEPENDS ks.smoke
    PASS_REGEX "gradient check: passed"
    COMMAND ks -options_file petsc_options/ks/paper_64_${method}.opts ${ks_data} -ks_states 801 -grad_check)
endforeach()
foreach(method IN ITEMS l2 3 4 5 ars122 cn beuler)
  espalier_add_app_test(NAME ks.grad_check.${method} LABELS gradient DEPENDS ks.smoke PASS_REGEX "gradient check: passed"
    COMMAND ks ${ks_smoke} -method ${method} -network_activation tanh -grad_check -train_window 2)
endforeach()
foreach(method IN ITEMS rk4 5dp)
  espalier_add_app_test(NAME ks.grad_check.${method} LABELS gradient DEPENDS ks.smoke PASS_REGEX "gradient check: passed"
    COMMAND ks ${ks_smoke} -method ${method} -ts_dt 0.002 -network_activation tanh -grad_check)
endforeach()
espalier_add_app_test(NAME ks.grad_check.float NP 2 LABELS gradient DEPENDS ks.smoke
  PASS_REGEX "float network against double network" "gradient check: passed"
  COMMAND ks ${ks_smoke} -network_precision float -network_activation tanh -grad_check)

# A resumed run is the run that never stopped.
espalier_add_app_test(NAME ks.resume.start LABELS unit DEPENDS ks.smoke
  COMMAND ks ${ks_smoke} -train_epochs 2 -train_lr_schedule constant -output ${ks_out}/resume)
espalier_add_app_test(NAME ks.resume.continue LABELS unit DEPENDS ks.resume.start
  COMMAND ks ${ks_smoke} -train_lr_schedule constant -train_resume ${ks_out}/resume/restart.h5
          -report ${ks_out}/resumed.json)
espalier_add_app_test(NAME ks.resume.agrees LABELS unit DEPENDS ks.resume.continue ks.smoke
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --bitwise ${ks_out}/one.json ${ks_out}/resumed.json)

# A model file is evaluated, under another method too; folders of outputs and reports are made.
file(REMOVE_RECURSE ${ks_out}/fresh)
espalier_add_app_test(NAME ks.evaluate LABELS unit DEPENDS ks.smoke PASS_REGEX "held-out"
  COMMAND ks ${ks_smoke} -method 3 -train_epochs 0 -train_start ${ks_out}/one/best.h5 -output ${ks_out}/fresh/a
          -report ${ks_out}/fresh/b/report.json)
espalier_add_app_test(NAME ks.nothing_held_out LABELS unit DEPENDS ks.smoke
  PASS_REGEX "mean squared error of one window: training [0-9]" FAIL_REGEX "nan" "persistence" "rollout of"
  COMMAND ks ${ks_smoke} -train_epochs 1 -train_fraction 1)

# Bad input: one message that says what to change, and a non-zero exit.
function(ks_refuses name regex)
  espalier_add_app_test(NAME ks.refuses.${name} LABELS unit DEPENDS ks.smoke WILL_FAIL PASS_REGEX "${regex}"
    FAIL_REGEX "PETSC ERROR" "Segmentation" "WARNING!" COMMAND ks ${ks_smoke} ${ARGN})
  espalier_add_app_test(NAME ks.refuses.${name}.np2 NP 2 LABELS unit DEPENDS ks.smoke WILL_FAIL PASS_REGEX "${regex}"
    FAIL_REGEX "PETSC ERROR" "Segmentation" "WARNING!" "MPI_ABORT" COMMAND ks ${ks_smoke} ${ARGN})
endfunction()

file(WRITE ${ks_out}/a_file "not a folder\n")
file(WRITE ${ks_out}/not_hdf5.h5 "this is text\n")
ks_refuses(method "-method foo: unknown name; choose one of: .*ars122" -method foo)
ks_refuses(step "-ts_dt -0.1: must be positive" -ts_dt -0.1)
ks_refuses(misspelt "-train_epoch: unknown option; did you mean -train_epochs" -train_epoch 3)
ks_refuses(value "-train_lr -1: must be positive" -train_lr -1)
ks_refuses(window "-ks_window 0.3.*: must be a multiple of the data interval" -ks_window 0.3)
ks_refuses(window_too_long "holds no window of 5000 intervals|too few for a window of 5000" -train_window 5000)
ks_refuses(little_held_out "-train_fraction .* holds out 1 states" -train_fraction 0.999)
ks_refuses(missing_data "error: .*nowhere.h5" -data_file ${ks_out}/nowhere.h5)
ks_refuses(foreign_data "error: .*not_hdf5.h5" -data_file ${ks_out}/not_hdf5.h5)
ks_refuses(data_of_other_size "its states have 64 points but -ks_points is 32" -ks_points 32 -data_file ${ks_out}/data/ks_64_801_seed0.h5)
ks_refuses(data_of_other_length "span a period of 22.* but -ks_length is 30" -ks_length 30
  -data_file ${ks_out}/data/ks_64_801_seed0.h5)
ks_refuses(output "error: .*a_file" -output ${ks_out}/a_file/out)
ks_refuses(report "-report .*cannot be written" -report ${ks_out}/a_file/r.json)
ks_refuses(earlier_run "of an earlier run: continue that with -train_resume" -output ${ks_out}/one
  -train_overwrite 0)
ks_refuses(no_restart "error: .*nowhere.h5" -train_resume ${ks_out}/nowhere.h5)
ks_refuses(restart_of_other_data "data: the file has" -ks_interval 0.1 -data_dir ${ks_out}/other_data
  -train_resume ${ks_out}/one/restart.h5)
ks_refuses(restart_of_other_network "network: the file has" -network_widths 48,48 -train_resume ${ks_out}/one/restart.h5)
ks_refuses(blow_up "not finite: method rk4, step .*, time .*, index" -method rk4 -ts_dt 0.02 -train_window 20 -output ${ks_out}/blown)
