#include "espalier/petsc/ts_private.hpp"

#include <petsc/private/tsimpl.h>

#include "espalier/core/error.hpp"

namespace espalier::petsc {

void keep_steps_whole(TSAdapt adapt) {
  adapt->matchstepfac[0] = 1e-9;  // a remainder this small joins the last step
  adapt->matchstepfac[1] = 1.0;   // never halve
}

void attach_trajectory(TS ts, TSTrajectory trajectory) {
  ESPALIER_ASSERT(ts->trajectory == nullptr, "the TS has a trajectory already");
  ESPALIER_CALL(PetscObjectReference(reinterpret_cast<PetscObject>(trajectory)));
  ts->trajectory = trajectory;
}

}  // namespace espalier::petsc
