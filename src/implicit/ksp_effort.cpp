#include "ksp_effort.hpp"

#include <petsc/private/kspimpl.h>

#include <algorithm>

#include "espalier/core/error.hpp"

namespace espalier::implicit {

namespace {

/// Products between restarts of PETSc's GMRES; 0 for other methods.
PetscInt cycle_of(KSP ksp) {
  void (*function)(void) = nullptr;
  PetscInt restart = 0;
  ESPALIER_CALL(PetscObjectQueryFunction(reinterpret_cast<PetscObject>(ksp), "KSPGMRESGetRestart_C", &function));
  if (function != nullptr) ESPALIER_CALL(KSPGMRESGetRestart(ksp, &restart));
  return restart;
}

// A monitor is there to show norms. GMRES has them anyway.
bool can_do_without_norms(KSP ksp) {
  return ksp->numbermonitors == 0 && cycle_of(ksp) == 0 &&
         (ksp->normsupporttable[KSP_NORM_NONE][PC_LEFT] > 0 || ksp->normsupporttable[KSP_NORM_NONE][PC_RIGHT] > 0);
}

}  // namespace

void KspEffort::install(KSP ksp) {
  if (test_ != nullptr) return;
  ESPALIER_CALL(KSPGetTolerances(ksp, &tolerance_, nullptr, nullptr, &iterations_));
  norm_ = ksp->normtype_set;
  test_ = new Test;
  ESPALIER_CALL(KSPGetAndClearConvergenceTest(ksp, &test_->own, &test_->context, &test_->destroy_own));
  ESPALIER_CALL(KSPSetConvergenceTest(ksp, converged, test_, destroy));
}

void KspEffort::apply(KSP ksp, const Effort& effort) {
  const bool limited = effort.iterations > 0;
  if (test_ == nullptr && !limited && effort.tolerance == 0) return;
  install(ksp);
  test_->limited = limited;
  test_->cycle = limited ? cycle_of(ksp) : 0;
  const PetscInt most =
      limited ? static_cast<PetscInt>(effort.iterations) * std::max<PetscInt>(test_->cycle, 1) : iterations_;
  const PetscReal tolerance = limited || effort.tolerance > 0 ? effort.tolerance : tolerance_;
  const bool without = limited && effort.tolerance == 0 && can_do_without_norms(ksp);
  ESPALIER_CALL(KSPSetTolerances(ksp, tolerance, PETSC_CURRENT, PETSC_CURRENT, most));
  ESPALIER_CALL(KSPSetNormType(ksp, without ? KSP_NORM_NONE : norm_));
}

// The KSP's own test decides, but that growth is no failure as long as values are finite. PETSc's GMRES is asked
// between cycles, and takes a cycle that has come to rounding level, or begins there, for a breakdown: it ends there.
PetscErrorCode KspEffort::converged(KSP ksp, PetscInt n, PetscReal norm, KSPConvergedReason* reason,
                                    void* context) noexcept {
  PetscFunctionBegin;
  const auto& test = *static_cast<const Test*>(context);
  const bool within = test.cycle > 0 && n % test.cycle != 0;
  const bool has_norm = ksp->normtype != KSP_NORM_NONE;
  *reason = KSP_CONVERGED_ITERATING;
  if (!test.limited || (has_norm && (!within || PetscIsInfOrNanReal(norm))))
    PetscCall(test.own(ksp, n, norm, reason, test.context));
  if (!test.limited) PetscFunctionReturn(PETSC_SUCCESS);
  if (*reason == KSP_DIVERGED_DTOL) *reason = KSP_CONVERGED_ITERATING;
  if (test.cycle > 0 && norm <= PETSC_MACHINE_EPSILON * ksp->rnorm0) *reason = KSP_CONVERGED_HAPPY_BREAKDOWN;
  if (*reason == KSP_CONVERGED_ITERATING && n >= ksp->max_it) *reason = KSP_CONVERGED_ITS;
  PetscFunctionReturn(PETSC_SUCCESS);
}

PetscErrorCode KspEffort::destroy(void* context) noexcept {
  PetscFunctionBegin;
  auto* test = static_cast<Test*>(context);
  if (test->destroy_own != nullptr) PetscCall(test->destroy_own(test->context));
  delete test;
  PetscFunctionReturn(PETSC_SUCCESS);
}

}  // namespace espalier::implicit
