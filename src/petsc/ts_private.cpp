#include "espalier/petsc/ts_private.hpp"

#include <petsc/private/tsimpl.h>

namespace espalier::petsc {

void keep_steps_whole(TSAdapt adapt) {
  adapt->matchstepfac[0] = 1e-9;  // a remainder this small joins the last step
  adapt->matchstepfac[1] = 1.0;   // never halve
}

}  // namespace espalier::petsc
