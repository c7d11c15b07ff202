/* A PETSc program that knows nothing of Espalier: u' = u (1 - u) at several points, and the gradient of sum u(T) with
   respect to u(0). What it prints must not depend on how its states are kept. */
#include <petscts.h>

static PetscErrorCode rate(TS ts, PetscReal t, Vec u, Vec f, void *context)
{
  PetscInt           i, n;
  const PetscScalar *x;
  PetscScalar       *y;

  PetscFunctionBeginUser;
  (void)ts;
  (void)t;
  (void)context;
  PetscCall(VecGetLocalSize(u, &n));
  PetscCall(VecGetArrayRead(u, &x));
  PetscCall(VecGetArrayWrite(f, &y));
  for (i = 0; i < n; ++i) y[i] = x[i] * (1 - x[i]);
  PetscCall(VecRestoreArrayWrite(f, &y));
  PetscCall(VecRestoreArrayRead(u, &x));
  PetscFunctionReturn(PETSC_SUCCESS);
}

static PetscErrorCode slope(TS ts, PetscReal t, Vec u, Mat A, Mat B, void *context)
{
  Vec diagonal;

  PetscFunctionBeginUser;
  (void)ts;
  (void)t;
  (void)A;
  (void)context;
  PetscCall(MatDiagonalGetDiagonal(B, &diagonal));
  PetscCall(VecSet(diagonal, 1));
  PetscCall(VecAXPY(diagonal, -2, u));
  PetscCall(MatDiagonalRestoreDiagonal(B, &diagonal));
  PetscFunctionReturn(PETSC_SUCCESS);
}

int main(int argc, char **argv)
{
  TS        ts;
  Vec       u, lambda, diagonal;
  Mat       J;
  PetscInt  i, first, last;
  PetscReal norm, sum;

  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(VecCreateMPI(PETSC_COMM_WORLD, PETSC_DECIDE, 1000, &u));
  PetscCall(VecDuplicate(u, &lambda));
  PetscCall(VecDuplicate(u, &diagonal));
  PetscCall(MatCreateDiagonal(diagonal, &J));
  PetscCall(VecGetOwnershipRange(u, &first, &last));
  for (i = first; i < last; ++i) PetscCall(VecSetValue(u, i, 0.001 * (i + 1), INSERT_VALUES));
  PetscCall(VecAssemblyBegin(u));
  PetscCall(VecAssemblyEnd(u));
  PetscCall(VecSet(lambda, 1));
  PetscCall(TSCreate(PETSC_COMM_WORLD, &ts));
  PetscCall(TSSetType(ts, TSRK));
  PetscCall(TSRKSetType(ts, TSRK4));
  PetscCall(TSSetRHSFunction(ts, NULL, rate, NULL));
  PetscCall(TSSetRHSJacobian(ts, J, J, slope, NULL));
  PetscCall(TSSetTimeStep(ts, 0.01));
  PetscCall(TSSetMaxTime(ts, 2));
  PetscCall(TSSetExactFinalTime(ts, TS_EXACTFINALTIME_MATCHSTEP));
  PetscCall(TSSetCostGradients(ts, 1, &lambda, NULL));
  PetscCall(TSSetSaveTrajectory(ts));
  PetscCall(TSSetFromOptions(ts));
  PetscCall(TSSolve(ts, u));
  PetscCall(TSAdjointSolve(ts));
  PetscCall(VecNorm(lambda, NORM_2, &norm));
  PetscCall(VecSum(lambda, &sum));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "gradient %.17g %.17g\n", (double)norm, (double)sum));
  PetscCall(MatDestroy(&J));
  PetscCall(VecDestroy(&diagonal));
  PetscCall(VecDestroy(&lambda));
  PetscCall(VecDestroy(&u));
  PetscCall(TSDestroy(&ts));
  PetscCall(PetscFinalize());
  return 0;
}
