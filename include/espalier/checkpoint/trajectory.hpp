// A trajectory for PETSc's TS that follows a checkpoint schedule: adjoints in little memory on any PETSc.
#pragma once

#include <petscts.h>

#include <functional>

namespace espalier::checkpoint {

/// The name for TSTrajectorySetType() and -ts_trajectory_type, once register_trajectory() was called.
///
/// Keeps what a checkpoint::Schedule says and repeats the steps between, from the states that are kept, with the TS's
/// own step and the sizes and times of the run, so that stages have the same bits. Options, with the trajectory's
/// prefix: -checkpoint_schedule all (the stages of every step; default without units) or binomial (default with units);
/// -checkpoint_units N, the states that binomial keeps at most, u_0 among them; the last step's stages and those of a
/// step that is being repeated are the TS's own.
///
/// For TSRK, TSARKIMEX with an explicit part, TSTHETA, TSCN and TSBEULER at fixed steps, which may differ from each
/// other; without events and without forward sensitivities. Others are refused with a UserError when the run begins,
/// and a step that was rejected when it ends. Each step is taken as one after a restart, so that nothing passes from
/// step to step but the state: no FSAL, no extrapolated first guesses. Pre-step, post-step functions and monitors are
/// not called for repeated steps; functions of stages are. A post-step function that changes the state makes gradients
/// wrong.
constexpr const char* trajectory_type = "espalier";

/// Makes the type known to PETSc. May be called again; not collective.
void register_trajectory();

/// Whether a trajectory is of this type; the functions below want that.
bool follows_schedule(TSTrajectory trajectory);

/// Tells how many steps the run will have, where TS's times and first step size do not say so. A wrong number costs
/// repetitions, not correctness.
void expect_steps(TSTrajectory trajectory, long steps);

/// `around` is called whenever steps are repeated, with a function that repeats them: to put things right for them
/// before and to put them back afterwards.
void set_around_repetitions(TSTrajectory trajectory, std::function<void(const std::function<void()>&)> around);

/// Of the run that was recorded last and its adjoint as far as it has come.
struct Usage {
  long peak_units = 0;    ///< vectors of the size of a state, the most at a time
  double peak_bytes = 0;  ///< of this rank
  long repeated_steps = 0;
};
Usage usage(TSTrajectory trajectory);

}  // namespace espalier::checkpoint
