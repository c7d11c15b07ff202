# The decisions of the refinement control about histories in files, and bad input.
set(replay_out ${ESPALIER_TEST_DIR}/prdp_replay)
file(MAKE_DIRECTORY ${replay_out})
file(WRITE ${replay_out}/plateau.txt "# before training\n1\n1\n1\n\n1\n1\n1\n1\n")
file(WRITE ${replay_out}/two_plateaus.txt "1\n.5\n.5\n.5\n.5\n.5\n.4\n.4\n.4\n.4\n.4\n.4\n")
file(WRITE ${replay_out}/rising.txt "1\n1.1\n1.2\n1.3\n1.4\n1.5\n1.6\n")
file(WRITE ${replay_out}/accident.txt "1\nnan\n1\n1\n")
file(WRITE ${replay_out}/malformed.txt "1\n0.5 0.4\n")
file(WRITE ${replay_out}/empty.txt "# nothing\n\n")
file(WRITE ${replay_out}/app.opts "-train_epochs 7\n-prdp\n-prdp_knob tolerance\n-prdp_tau_step 0.98  # of the paper\n# -prdp_delta 9\n-prdp_ema off\n")
file(WRITE ${replay_out}/bad.opts "-train_epochs 7\n-prdp_tau_stepp 0.98\n")
set(replay_labels LABELS unit prdp)

espalier_add_app_test(NAME prdp_replay.mean ${replay_labels} PASS_REGEX "^0\n0\n0\n1\n1\n1\n1\nK 5\nc 1.38320257715748\n"
  COMMAND prdp_replay -prdp_tau_step .98 -prdp_ema 6 -prdp_delta 3 ${replay_out}/rising.txt)
foreach(without IN ITEMS off 0)
  espalier_add_app_test(NAME prdp_replay.no_mean_${without} ${replay_labels}
    PASS_REGEX "^0\n0\n0\n1\n0\n0\n0\n0\n1\n0\n0\n0\nK 3\nc 0.4\n"
    COMMAND prdp_replay -prdp_tau_step .98 -prdp_ema ${without} ${replay_out}/two_plateaus.txt)
endforeach()
espalier_add_app_test(NAME prdp_replay.options_file ${replay_labels}
  PASS_REGEX "^0\n0\n0\n1\n0\n0\n0\n0\n1\n0\n0\n0\nK 4\nc 0.4\n"
  COMMAND prdp_replay -options_file ${replay_out}/app.opts -prdp_k0 2 -prdp_dk 9 -prdp_kmax 4 ${replay_out}/two_plateaus.txt)
# The first value as checkpoint: a plateau at it is no reason to refine.
espalier_add_app_test(NAME prdp_replay.first ${replay_labels} PASS_REGEX "^0\n0\n0\n0\n0\n0\n0\nK 1\nc 1\n"
  COMMAND prdp_replay -prdp_c0 first ${replay_out}/plateau.txt)
espalier_add_app_test(NAME prdp_replay.standard_input ${replay_labels} PASS_REGEX "^0\n0\n0\n1\n0\n0\n0\nK 2\nc 1\n"
  COMMAND sh -c "$<TARGET_FILE:prdp_replay> - <${replay_out}/plateau.txt")
espalier_add_app_test(NAME prdp_replay.trace ${replay_labels}
  PASS_REGEX "^# +value +smoothed +r +rc +decision +K +c\n +1 +1 +nan +nan +0 +1 +100\n"
    "\n +1 +1 +1 +0.01 +1 +2 +1\n +1 +1 +1 +1 +0 +2 +1\n" "\nK 2\nc 1\n"
  COMMAND prdp_replay -trace ${replay_out}/plateau.txt)
espalier_add_app_test(NAME prdp_replay.accident ${replay_labels}
  PASS_REGEX "^0\n0\n0\n1\nK 2\nc 1\n" "accident.txt:2: warning: nan is not finite"
  COMMAND prdp_replay -prdp_ema off -prdp_delta 2 ${replay_out}/accident.txt)
espalier_add_app_test(NAME prdp_replay.help ${replay_labels} PASS_REGEX "-prdp_tau_step X" "-options_file FILE"
  COMMAND prdp_replay -help)
# Without MPI, PETSc and torch.
espalier_add_app_test(NAME prdp_replay.stands_alone ${replay_labels} PASS_REGEX "libc" FAIL_REGEX "petsc" "mpi" "torch" "espalier"
  COMMAND sh -c "ldd $<TARGET_FILE:prdp_replay> | sed 's/=>.*//'")

# What each refused command line says: name, message, arguments.
function(replay_refuses name message)
  espalier_add_app_test(NAME prdp_replay.refuses.${name} ${replay_labels} WILL_FAIL
    PASS_REGEX "^\nprdp_replay: ${message}" COMMAND prdp_replay ${ARGN})
endfunction()
replay_refuses(unknown "there is no option -prdp_tau_stepp. known are -prdp_tau_step " -prdp_tau_stepp 1 x)
replay_refuses(foreign "there is no option -trase. known are .*-trace" -trase x)
replay_refuses(missing_file "cannot read ${replay_out}/none.txt" ${replay_out}/none.txt)
replay_refuses(no_file "which history" -trace)
replay_refuses(two_files "one history at a time" x y)
replay_refuses(empty ".*empty.txt has no value" ${replay_out}/empty.txt)
replay_refuses(malformed ".*malformed.txt:2: \"0.5 0.4\" is not a number" ${replay_out}/malformed.txt)
replay_refuses(tau "-prdp_tau_step 2.5: must be in .0, 2." -prdp_tau_step 2.5 ${replay_out}/plateau.txt)
replay_refuses(delta "-prdp_delta 0: must be at least 1" -prdp_delta 0 ${replay_out}/plateau.txt)
replay_refuses(cap "-prdp_kmax 3: must be 0 .* -prdp_k0, 5" -prdp_k0 5 -prdp_kmax 3 ${replay_out}/plateau.txt)
replay_refuses(value "-prdp_c0 needs a value" ${replay_out}/plateau.txt -prdp_c0)
replay_refuses(options_file ".*bad.opts:2: there is no option -prdp_tau_stepp" -options_file ${replay_out}/bad.opts
  ${replay_out}/plateau.txt)
espalier_add_app_test(NAME prdp_replay.foreign_report ${replay_labels} WILL_FAIL
  PASS_REGEX "holds no course of a refined training" COMMAND prdp_replay tests/apps/study.json)
