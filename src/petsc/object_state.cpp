#include "espalier/petsc/object_state.hpp"

#include <petsc/private/petscimpl.h>

#include "espalier/core/error.hpp"

namespace espalier::petsc {

ObjectState state_of(PetscObject object) {
  ObjectState result;
  ESPALIER_CALL(PetscObjectGetId(object, &result.id));
  ESPALIER_CALL(PetscObjectStateGet(object, &result.state));
  return result;
}

void increase_state(PetscObject object) { ESPALIER_CALL(PetscObjectStateIncrease(object)); }

}  // namespace espalier::petsc
