// What the library needs of TS that has no public function.
#pragma once

#include <petscts.h>

namespace espalier::petsc {

/// Steps of a non-adaptive TS keep their size and only the last one before an observation time is shortened; PETSc's
/// default would halve the last two.
void keep_steps_whole(TSAdapt adapt);

/// Gives a TS without trajectory one that was made before.
void attach_trajectory(TS ts, TSTrajectory trajectory);

}  // namespace espalier::petsc
