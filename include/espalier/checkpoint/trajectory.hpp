// A trajectory for PETSc's TS that follows a checkpoint schedule: adjoints in little memory on any PETSc.
#pragma once

#include <petscts.h>

#include <functional>
#include <string>

namespace espalier::checkpoint {

/// The name for TSTrajectorySetType() and -ts_trajectory_type, once register_trajectory() was called.
///
/// Keeps what a checkpoint::Schedule says and repeats the steps between, from the states that are kept, with the TS's
/// own step and the sizes and times of the run, so that stages have the same bits. For TSRK, TSARKIMEX with an explicit
/// part, TSTHETA, TSCN and TSBEULER, with fixed or controlled steps: those that were accepted are repeated; without
/// events and without forward sensitivities. Others are refused with a UserError when the run begins. A run may be
/// several TSSolve, one after another, before its adjoint.
///
/// Options, with the trajectory's prefix:
///   -checkpoint_ram 512MB        memory of each rank for checkpoints
///   -checkpoint_disk 20GB        disk space of all ranks together; -checkpoint_dir DIR, where (default $TMPDIR, or .)
///   -checkpoint_schedule NAME    auto (with a budget in bytes: what repeats the fewest steps; with controlled steps
///                                online), all (without any budget), binomial (with -checkpoint_units), multistage,
///                                mixed, disk, online: see make_schedule()
///   -checkpoint_units N          states kept at most, instead of bytes
///   -checkpoint_steps N          of the whole run, when several TSSolve make it or steps are controlled
///   -checkpoint_view             one line with the plan before the run; with budgets in bytes unless it is false
/// The Integrator takes another one:
///   -checkpoint_keep_graph       networks keep their evaluations of repeated steps until the adjoint has used them: no
///                                stage is evaluated once more for its product, for the memory of one step's graphs
/// The stages of the step taken last are the TS's own and not in the budget.
///
/// Each step is taken as one after a restart, so that nothing passes from step to step but the state: no FSAL, no
/// extrapolated first guesses. Pre-step, post-step functions and monitors are not called for repeated steps; functions
/// of stages are. A post-step function that changes the state makes gradients wrong.
constexpr const char* trajectory_type = "espalier";

/// Makes the type known to PETSc. May be called again; not collective.
void register_trajectory();

/// Whether options with this prefix, which has no dash, ask for checkpoints in a budget. Not collective.
bool options_given(const std::string& prefix);

/// Whether a trajectory is of this type; the functions below want that.
bool follows_schedule(TSTrajectory trajectory);

/// Tells how many steps the run will have, where TS's times and first step size do not say so; 0: they do. A wrong
/// number costs repetitions, not correctness. -checkpoint_steps has the last word.
void expect_steps(TSTrajectory trajectory, long steps);

/// `around` is called whenever steps are repeated, with a function that repeats them: to put things right for them
/// before and to put them back afterwards.
void set_around_repetitions(TSTrajectory trajectory, std::function<void(const std::function<void()>&)> around);

/// Whether -checkpoint_keep_graph was given.
bool keeps_graph(TSTrajectory trajectory);

/// Of the run that was recorded last and its adjoint as far as it has come.
struct Usage {
  long peak_units = 0;         ///< vectors of the size of a state, the most at a time
  double peak_bytes = 0;       ///< of this rank
  double peak_disk_bytes = 0;  ///< of all ranks
  long repeated_steps = 0;
};
Usage usage(TSTrajectory trajectory);

}  // namespace espalier::checkpoint
