# The study runner on a study of seconds, and what it says when there is nothing to run or to show.
set(study_out ${CMAKE_BINARY_DIR}/tests/study_runs)
set(study ${ESPALIER_PYTHON} tools/study tests/apps/study.json --programs ${CMAKE_BINARY_DIR}/bin --output ${study_out})
espalier_add_app_test(NAME study.clean LABELS unit sinode COMMAND ${CMAKE_COMMAND} -E rm -rf ${study_out})
espalier_add_app_test(NAME study.runs LABELS unit sinode DEPENDS study.clean
  PASS_REGEX "right_l2 .* 16 . 8 .*16 . 8 .* yes" "right_sum .* 24 .* yes" "all counts of evaluations are the paper's"
  FAIL_REGEX "done before" COMMAND ${study} --only right)
espalier_add_app_test(NAME study.continues LABELS unit sinode DEPENDS study.runs
  PASS_REGEX "right_l2: done before" "right_failure: done before" "all counts of evaluations are the paper's"
  COMMAND ${study} --only right)
espalier_add_app_test(NAME study.complains LABELS unit sinode WILL_FAIL DEPENDS study.clean
  PASS_REGEX "wrong_count .* NO " "wrong_count: validation is 0.*, expected below 0"
             "wrong_failure was expected to fail .cannot be split into.*, but did not" "failed failed: .*cannot be split"
             "NOT everything is as expected"
  COMMAND ${study} --only wrong)
espalier_add_app_test(NAME study.unknown LABELS unit sinode WILL_FAIL
  PASS_REGEX "there is no study nothing; known ones: checkpointing, im_pindiff, prdp, sinode" COMMAND ${ESPALIER_PYTHON} tools/study nothing)
espalier_add_app_test(NAME study.no_reports LABELS unit sinode WILL_FAIL PASS_REGEX "holds no reports yet"
  COMMAND ${ESPALIER_PYTHON} tools/study sinode --quick --table --output ${CMAKE_BINARY_DIR}/tests/study)
# Rows for each of several values, and a figure of them.
espalier_add_app_test(NAME study.values LABELS unit impindiff DEPENDS study.clean
  PASS_REGEX "steps_cn_0.0125 .* cn .* 0.03" "steps_cn_0.025 .* 0.01" "steps_rk4" "study_runs/steps.png"
             "checkpoints MB" "every run has ended as it should"
  COMMAND ${ESPALIER_PYTHON} tools/study tests/apps/study_costs.json --programs ${CMAKE_BINARY_DIR}/bin
          --output ${study_out})
espalier_add_app_test(NAME study.im_pindiff LABELS unit impindiff WILL_FAIL PASS_REGEX "holds no reports yet"
  COMMAND ${ESPALIER_PYTHON} tools/study im_pindiff --quick --table --output ${CMAKE_BINARY_DIR}/tests/study)
espalier_add_app_test(NAME study.prdp LABELS unit prdp WILL_FAIL PASS_REGEX "holds no reports yet"
  COMMAND ${ESPALIER_PYTHON} tools/study prdp --quick --table --output ${CMAKE_BINARY_DIR}/tests/study)
# Means over seeds, savings and figures of hand-written reports.
espalier_add_app_test(NAME study.figures LABELS unit prdp
  PASS_REGEX "tables and figures of hand-written reports are right"
  COMMAND ${ESPALIER_PYTHON} tests/apps/study_figures_test.py tools/study ${CMAKE_BINARY_DIR}/tests/study_figures)
