# What checkpoint schedules will do, as checkpoint_plan prints it, and bad input.
set(plan_labels LABELS unit checkpoint checkpointing)

# Arguments up to PRINTS, then what is printed for them.
function(plan_prints name)
  cmake_parse_arguments(plan "" "" "WITH;PRINTS" ${ARGN})
  espalier_add_app_test(NAME checkpoint_plan.${name} ${plan_labels} PASS_REGEX ${plan_PRINTS}
    COMMAND checkpoint_plan ${plan_WITH})
endfunction()

plan_prints(binomial WITH -steps 1000 -units 30 -schedule binomial PRINTS
  "^schedule binomial\nsteps 1000\nunits 30\ndisk_units 0\nstages 1\nstiffly_accurate 0\nextra_steps 2472\npeak_units 30\n"
  "\npeak_disk_units 0\ndisk_writes 0\ndisk_reads 0\n")
plan_prints(multistage WITH -steps 300 -units 30 -stages 3 -stiffly_accurate -schedule multistage PRINTS
  "\nstages 3\nstiffly_accurate 1\nextra_steps 433\n")
plan_prints(auto WITH -steps 10 -units 5 PRINTS "^schedule mixed\n" "\nextra_steps 5\n")
plan_prints(auto_on_disk WITH -steps 100 -units 10 -stages 4 -disk_units 30 PRINTS "^schedule disk\n" "\ndisk_units 30\n")
plan_prints(all WITH -steps 5 -schedule all -stages 2 PRINTS "\nextra_steps 0\npeak_units 8\n")
plan_prints(online WITH -steps 100 -units 10 -stages 1000 -schedule online PRINTS "\nextra_steps 2[23][0-9]\npeak_units 10\n")
plan_prints(bytes WITH -steps 1000 -state_bytes 8MB -stages 4 -checkpoint_ram 250MB -checkpoint_disk 1GiB PRINTS
  "^schedule disk\nsteps 1000\nunits 31\ndisk_units 134\n" "\npeak_units 31\npeak_bytes 248000000\n"
  "\npeak_disk_units 134\npeak_disk_bytes 1072000000\n")
plan_prints(actions WITH -steps 3 -units 1 -stages 2 -schedule binomial -actions PRINTS
  "\ndisk_reads 0\nstore state 0 memory 0\nadvance 0 2\nadvance 2 3\nreverse 2\nrestore state 0 memory 0\n"
  "\nreverse 1\nrestore state 0 memory 0\nadvance 0 1\nreverse 0\n")
plan_prints(actions_with_stages WITH -steps 3 -units 2 -stages 1 -stiffly_accurate -actions PRINTS
  "\nadvance 0 1\nstore state_and_stages 0 memory 0\nadvance 1 2\nstore state_and_stages 1 memory 1\nadvance 2 3\nreverse 2\n")
plan_prints(actions_on_disk WITH -steps 4 -disk_units 1 -actions PRINTS
  "^schedule disk\n" "\ndisk_writes 1\ndisk_reads 3\nstore state 0 disk 0\nadvance 0 3\n")
plan_prints(help WITH -help PRINTS "-checkpoint_ram R" "powers of 1024")
# Without MPI, PETSc and torch.
espalier_add_app_test(NAME checkpoint_plan.stands_alone ${plan_labels}
  PASS_REGEX "libc" FAIL_REGEX "petsc" "mpi" "torch" "espalier"
  COMMAND sh -c "ldd $<TARGET_FILE:checkpoint_plan> | sed 's/=>.*//'")

# What each refused command line says: name, message, arguments.
function(plan_refuses name message)
  espalier_add_app_test(NAME checkpoint_plan.refuses.${name} ${plan_labels} WILL_FAIL
    PASS_REGEX "^\ncheckpoint_plan: ${message}" COMMAND checkpoint_plan ${ARGN})
endfunction()
plan_refuses(unknown "there is no option -step. known are -steps " -step 3)
plan_refuses(value "-units needs a value" -steps 3 -units)
plan_refuses(no_steps "how many steps" -units 3)
plan_refuses(no_budget "which budget" -steps 3)
plan_refuses(zero_steps "-steps 0: must be at least 1" -steps 0 -units 3)
plan_refuses(number "-steps 1e3: must be a whole number" -steps 1e3 -units 3)
plan_refuses(large_number "-steps 3000000000: must be below" -steps 3000000000 -units 3)
plan_refuses(negative "-units -3: must be at least 0" -steps 10 -units -3)
plan_refuses(stages "-stages 0: must be at least 1" -steps 10 -units 3 -stages 0)
plan_refuses(size "-checkpoint_ram: \"512M\" is no size in bytes" -steps 10 -state_bytes 8MB -checkpoint_ram 512M)
plan_refuses(state_size "-state_bytes must be positive" -steps 10 -state_bytes 0 -checkpoint_ram 512MB)
plan_refuses(no_state_size "-checkpoint_ram needs -state_bytes" -steps 10 -checkpoint_ram 512MB)
plan_refuses(twice "-units or -checkpoint_ram, not both" -steps 10 -units 3 -state_bytes 8MB -checkpoint_ram 512MB)
plan_refuses(schedule "there is no checkpoint schedule best: choose one of all, binomial" -steps 10 -units 3 -schedule best)
plan_refuses(no_units "checkpoints need at least 1 unit, in memory or on disk" -steps 10 -units 0)
plan_refuses(no_unit_in_memory "the checkpoint schedule mixed needs at least 1 unit in memory" -steps 10 -disk_units 4
  -schedule mixed)
plan_refuses(no_disk "the checkpoint schedule disk needs at least 1 unit on disk" -steps 10 -units 3 -schedule disk)
plan_refuses(too_little "-checkpoint_ram 4 MB holds no state: the least is 8 MB" -steps 10 -state_bytes 8MB -checkpoint_ram 4MB)
plan_refuses(all "-schedule all stores the stages of every step: the least is 36 units, not 35" -steps 10 -stages 4 -units 35
  -schedule all)
