// Identity and version of a PETSc object: tells whether something computed from it is still true.
#pragma once

#include <petscsys.h>

namespace espalier::petsc {

struct ObjectState {
  PetscObjectId id = 0;
  PetscObjectState state = 0;
  bool operator==(const ObjectState& other) const { return id == other.id && state == other.state; }
};

ObjectState state_of(PetscObject object);

/// Tells PETSc that the object changed.
void increase_state(PetscObject object);

}  // namespace espalier::petsc
