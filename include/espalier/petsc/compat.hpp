// The only place with switches on the PETSc version.
#pragma once

#include <petscsys.h>
#include <petscversion.h>

#if PETSC_VERSION_LT(3, 22, 0)
#error "Espalier needs PETSc 3.22 or newer: earlier versions have no complete adjoint of TSARKIMEX"
#endif
#if defined(PETSC_USE_COMPLEX) || !defined(PETSC_USE_REAL_DOUBLE)
#error "Espalier needs a PETSc configured with real double scalars"
#endif

namespace espalier::petsc {

// PETSc 3.23 made PetscOptionItems the pointer itself.
#if PETSC_VERSION_LT(3, 23, 0)
using OptionItems = PetscOptionItems*;
#else
using OptionItems = PetscOptionItems;
#endif

}  // namespace espalier::petsc
