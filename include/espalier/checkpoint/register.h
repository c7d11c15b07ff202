/* For programs in C and for PETSc programs that know nothing else of Espalier. */
#ifndef ESPALIER_CHECKPOINT_REGISTER_H
#define ESPALIER_CHECKPOINT_REGISTER_H

#include <petscsys.h>

/* Makes -ts_trajectory_type espalier known to PETSc (espalier/checkpoint/trajectory.hpp). Call it once after
   PetscInitialize(). A program that shall stay as it is takes -dll_append libespalier.so instead. Not collective. */
/* NOLINTNEXTLINE(readability-identifier-naming): as functions of PETSc are called */
PETSC_EXTERN PetscErrorCode EspalierRegisterTrajectory(void);

#endif
