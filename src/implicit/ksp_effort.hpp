// A KSP that takes exactly as many iterations as it is told.
#pragma once

#include <petscksp.h>

#include "espalier/implicit/effort.hpp"

namespace espalier::implicit {

/// Sets a KSP's tolerances, norm and convergence test for an effort, and what its options gave it when there is none.
class KspEffort {
 public:
  /// Before each solve. Collective.
  void apply(KSP ksp, const Effort& effort);
  bool limited() const { return test_ != nullptr && test_->limited; }

 private:
  /// The KSP's own test behind ours. Owned by the KSP.
  struct Test {
    PetscErrorCode (*own)(KSP, PetscInt, PetscReal, KSPConvergedReason*, void*) = nullptr;
    PetscErrorCode (*destroy_own)(void*) = nullptr;
    void* context = nullptr;
    PetscInt cycle = 0;  // of PETSc's GMRES
    bool limited = false;
  };
  static PetscErrorCode converged(KSP ksp, PetscInt n, PetscReal norm, KSPConvergedReason* reason,
                                  void* context) noexcept;
  static PetscErrorCode destroy(void* context) noexcept;
  void install(KSP ksp);

  Test* test_ = nullptr;
  PetscReal tolerance_ = 0;  // of the options
  PetscInt iterations_ = 0;
  KSPNormType norm_ = KSP_NORM_DEFAULT;
};

}  // namespace espalier::implicit
