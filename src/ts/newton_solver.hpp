// The Krylov solver of a SNES and how often it renews its Jacobian, exchanged for a while.
#pragma once

#include "espalier/core/error.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::ts {

/// How a SNES solves its linear systems.
struct NewtonSolver {
  petsc::KspHandle ksp;
  PetscInt lag_jacobian = 1;
  PetscInt lag_preconditioner = 1;

  static NewtonSolver of(SNES snes) {
    NewtonSolver solver;
    if (snes == nullptr) return solver;
    KSP ksp = nullptr;
    ESPALIER_CALL(SNESGetKSP(snes, &ksp));
    solver.ksp = petsc::KspHandle::share(ksp);
    ESPALIER_CALL(SNESGetLagJacobian(snes, &solver.lag_jacobian));
    ESPALIER_CALL(SNESGetLagPreconditioner(snes, &solver.lag_preconditioner));
    return solver;
  }
};

/// Gives a SNES another solver while the object lives; without a SNES does nothing.
class NewtonSolverExchange {
 public:
  NewtonSolverExchange(SNES snes, const NewtonSolver& solver) : snes_(snes), former_(NewtonSolver::of(snes)) {
    if (snes_ == nullptr) return;
    ESPALIER_CALL(SNESSetKSP(snes_, solver.ksp.get()));
    ESPALIER_CALL(SNESSetLagJacobian(snes_, solver.lag_jacobian));
    ESPALIER_CALL(SNESSetLagPreconditioner(snes_, solver.lag_preconditioner));
  }
  ~NewtonSolverExchange() {
    if (snes_ == nullptr) return;
    (void)SNESSetKSP(snes_, former_.ksp.get());
    (void)SNESSetLagJacobian(snes_, former_.lag_jacobian);
    (void)SNESSetLagPreconditioner(snes_, former_.lag_preconditioner);
  }
  NewtonSolverExchange(const NewtonSolverExchange&) = delete;
  NewtonSolverExchange& operator=(const NewtonSolverExchange&) = delete;

 private:
  SNES snes_;
  NewtonSolver former_;
};

}  // namespace espalier::ts
