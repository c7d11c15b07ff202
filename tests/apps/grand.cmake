# The app grand as its users run it. Everything is written below the build folder.
set(grand_out ${CMAKE_BINARY_DIR}/tests/grand)
set(grand_smoke -options_file petsc_options/grand/smoke.opts -train_overwrite)
file(MAKE_DIRECTORY ${grand_out})

espalier_add_app_test(NAME grand.smoke LABELS unit sinode PASS_REGEX "test accuracy (8[89]|9|100)"
  COMMAND grand ${grand_smoke} -report ${grand_out}/one.json -output ${grand_out}/one)

# A resumed run is the run that never stopped: dropout, batch statistics and the best epoch come back.
espalier_add_app_test(NAME grand.resume.whole LABELS unit sinode
  COMMAND grand ${grand_smoke} -grand_batch_norm true -train_epochs 6 -report ${grand_out}/whole.json)
espalier_add_app_test(NAME grand.resume.start LABELS unit sinode
  COMMAND grand ${grand_smoke} -grand_batch_norm true -train_epochs 3 -output ${grand_out}/resume)
espalier_add_app_test(NAME grand.resume.continue LABELS unit sinode DEPENDS grand.resume.start
  COMMAND grand ${grand_smoke} -grand_batch_norm true -train_epochs 6 -train_resume ${grand_out}/resume/restart.h5
          -report ${grand_out}/resumed.json)
espalier_add_app_test(NAME grand.resume.agrees LABELS unit sinode DEPENDS grand.resume.continue grand.resume.whole
  COMMAND ${ESPALIER_PYTHON} tests/apps/compare_reports.py --bitwise ${grand_out}/whole.json ${grand_out}/resumed.json)

# Each options file runs as it is but for its size; steps and stages, and so the evaluations, are its own.
set(grand_counts_l2 "76 38" "16 8" "16 8")
set(grand_counts_3 "152 76" "32 16" "32 16")
set(grand_counts_4 "228 114" "48 24" "48 24")
set(grand_counts_5 "304 152" "64 32" "64 32")
set(grand_small -grand_graph karate -grand_development 16 -grand_train_per_class 4 -grand_hidden 4
  -grand_attention_dim 4 -grand_heads 2 -train_epochs 1)
foreach(method IN ITEMS l2 3 4 5)
  set(graphs cora coauthorcs photo)
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
foreach(graph IN ITEMS cora coauthorcs photo)
  espalier_add_app_test(NAME grand.options.${graph}_cn LABELS unit sinode PASS_REGEX "test accuracy"
    COMMAND grand -options_file petsc_options/grand/${graph}_cn.opts ${grand_small})
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
