# The app grand as its users run it. Everything is written below the build folder.
set(grand_out ${CMAKE_BINARY_DIR}/tests/grand)
set(grand_smoke -options_file petsc_options/grand/smoke.opts -train_overwrite)
file(MAKE_DIRECTORY ${grand_out})

espalier_add_app_test(NAME grand.smoke LABELS unit sinode PASS_REGEX "test accuracy (8[89]|9|100)"
  COMMAND grand ${grand_smoke} -report ${grand_out}/one.json -output ${grand_out}/one)

# A resumed run is the run that never stopped: dropout, batch statistics and the best epoch come back. At this rate the
# first epoch is the best one.
set(grand_resume ${grand_smoke} -grand_batch_norm true -grand_dropout 0.5 -train_lr 0.3)
espalier_add_app_test(NAME grand.resume.whole LABELS unit sinode PASS_REGEX "at the best validation .*epoch 1"
  COMMAND grand ${grand_resume} -train_epochs 6 -output ${grand_out}/whole -report ${grand_out}/whole.json)
espalier_add_app_test(NAME grand.resume.start LABELS unit sinode
  COMMAND grand ${grand_resume} -train_epochs 3 -output ${grand_out}/resume)
espalier_add_app_test(NAME grand.resume.continue LABELS unit sinode DEPENDS grand.resume.start
  COMMAND grand ${grand_resume} -train_epochs 6 -train_resume ${grand_out}/resume/restart.h5
          -output ${grand_out}/resumed -report ${grand_out}/resumed.json)
espalier_add_app_test(NAME grand.resume.agrees LABELS unit sinode DEPENDS grand.resume.continue grand.resume.whole
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --bitwise ${grand_out}/whole.json ${grand_out}/resumed.json
          --metrics test_accuracy validation_accuracy train_accuracy)
espalier_add_app_test(NAME grand.resume.state_agrees LABELS unit sinode DEPENDS grand.resume.agrees
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_restarts.py ${grand_out}/whole/restart.h5
          ${grand_out}/resumed/restart.h5 grand_batch_norm_mean grand_batch_norm_variance)

# Each options file runs as it is but for its size; steps and stages, and so the evaluations, are its own.
set(grand_counts_l2 "76 38" "16 8" "16 8")
set(grand_counts_3 "152 76" "32 16" "32 16")
set(grand_counts_4 "228 114" "48 24" "48 24")
set(grand_counts_5 "304 152" "64 32" "64 32")
set(grand_small -grand_graph karate -grand_development 16 -grand_train_per_class 4 -grand_hidden 4
  -grand_attention_dim 4 -grand_heads 2 -train_epochs 1)
set(graphs cora coauthorcs photo)
foreach(method IN ITEMS l2 3 4 5)
  foreach(graph counts IN ZIP_LISTS graphs grand_counts_${method})
    string(REPLACE " " ";" counts "${counts}")
    espalier_add_app_test(NAME grand.options.${graph}_${method} LABELS unit sinode
      COMMAND ${ESPALIER_PYTHON} tests/apps/check_counts.py ${grand_out}/${graph}_${method}.json ${counts} --
              $<TARGET_FILE:grand> -options_file petsc_options/grand/${graph}_${method}.opts ${grand_small})
  endforeach()
endforeach()
espalier_add_app_test(NAME grand.options.photo_rk4 LABELS unit sinode
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_counts.py ${grand_out}/photo_rk4.json 5736 2868 --
          $<TARGET_FILE:grand> -options_file petsc_options/grand/photo_rk4.opts ${grand_small})
espalier_add_app_test(NAME grand.options.coauthorcs_rk4 LABELS unit sinode
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_counts.py ${grand_out}/coauthorcs_rk4.json 5008 2504 --
          $<TARGET_FILE:grand> -options_file petsc_options/grand/coauthorcs_rk4.opts ${grand_small})
espalier_add_app_test(NAME grand.options.cora_rk4 LABELS unit sinode
  COMMAND ${ESPALIER_PYTHON} tests/apps/check_counts.py ${grand_out}/cora_rk4.json 1600 800 --
          $<TARGET_FILE:grand> -options_file petsc_options/grand/cora_rk4.opts ${grand_small} -grand_time 1)
# One evaluation for each step; three for the first two and for the shorter one at the end.
set(grand_counts_ab3 "7330 3665" "1264 632" "1446 723")
foreach(graph counts IN ZIP_LISTS graphs grand_counts_ab3)
  string(REPLACE " " ";" counts "${counts}")
  espalier_add_app_test(NAME grand.options.${graph}_ab3 LABELS unit sinode
    COMMAND ${ESPALIER_PYTHON} tests/apps/check_counts.py ${grand_out}/${graph}_ab3.json ${counts} --
            $<TARGET_FILE:grand> -options_file petsc_options/grand/${graph}_ab3.opts ${grand_small})
endforeach()
foreach(graph IN LISTS graphs)
  foreach(method IN ITEMS cn am4)
    espalier_add_app_test(NAME grand.options.${graph}_${method} LABELS unit sinode PASS_REGEX "test accuracy"
      COMMAND grand -options_file petsc_options/grand/${graph}_${method}.opts ${grand_small})
  endforeach()
endforeach()
foreach(method IN ITEMS l2 3 4 5 cn rk4)
  espalier_add_app_test(NAME grand.grad_check.${method} LABELS gradient sinode PASS_REGEX "gradient check: passed"
    COMMAND grand ${grand_smoke} -method ${method} -ts_dt 0.5 -grad_check)
endforeach()
espalier_add_app_test(NAME grand.grad_check.krylov LABELS gradient sinode PASS_REGEX "gradient check: passed"
  COMMAND grand ${grand_smoke} -grand_similarity pearson -grand_normalisation softmax -grand_normalise_over receiver
          -grand_batch_norm true -grand_source false -linear_solver krylov -grad_check)
espalier_add_app_test(NAME grand.generated LABELS unit sinode PASS_REGEX "test accuracy"
  COMMAND grand -grand_graph generated -grand_nodes 300 -grand_edges 500 -grand_features 40 -grand_classes 3
          -grand_development 100 -grand_largest_component false -grand_time 2 -grand_hidden 8 -grand_attention_dim 8
          -grand_heads 2 -train_epochs 3)

# Cora's graph, where there is one.
if(DEFINED ENV{ESPALIER_CORA})
  espalier_add_app_test(NAME grand.cora LABELS unit sinode PASS_REGEX "test accuracy [78]"
    COMMAND grand -options_file petsc_options/grand/cora_l2.opts -grand_data $ENV{ESPALIER_CORA} -train_epochs 4
            -report ${grand_out}/cora.json)
endif()

# Bad input: one message that says what to change, and a non-zero exit.
function(grand_refuses name regex)
  espalier_add_app_test(NAME grand.refuses.${name} LABELS unit sinode WILL_FAIL PASS_REGEX "${regex}"
    FAIL_REGEX "PETSC ERROR" "Segmentation" "WARNING!" COMMAND grand ${grand_smoke} ${ARGN})
endfunction()
file(WRITE ${grand_out}/foreign.h5 "no graph")
grand_refuses(missing_file "no_such_graph.h5" -grand_data no_such_graph.h5)
grand_refuses(foreign_file "foreign.h5" -grand_data ${grand_out}/foreign.h5)
grand_refuses(method "-method l7: unknown name; choose one of" -method l7)
grand_refuses(heads "cannot be split into" -grand_heads 3)
grand_refuses(split "only files have splits with names" -grand_split planetoid)
grand_refuses(development "leave at least one node for test" -grand_development 34)
grand_refuses(unknown_option "-grand_hiden" -grand_hiden 3)
grand_refuses(graph "karate" -grand_graph cora)
grand_refuses(no_file "needs -grand_data FILE" -grand_graph file)
espalier_add_app_test(NAME grand.refuses.ranks NP 2 LABELS unit sinode WILL_FAIL PASS_REGEX "grand runs on one rank"
  FAIL_REGEX "PETSC ERROR" "Segmentation" "MPI_ABORT" COMMAND grand ${grand_smoke})
