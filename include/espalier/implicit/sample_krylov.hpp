// Krylov methods for a batch of linear systems in one KSP, each sample with coefficients of its own.
#pragma once

#include <petscksp.h>

namespace espalier::implicit {

/// Names for KSPSetType() and -ksp_type, once register_sample_krylov() was called. Vectors hold this rank's part of the
/// first sample, of the second, and so on; operator and preconditioner must not couple samples. Every sample then takes
/// the iterates of a solve of its own; products, applications of the PC and reductions are those of the whole batch.
/// KSPSolve() and KSPSolveTranspose(), any PC.
///
/// A sample whose residual satisfies -ksp_rtol (relative to its own right-hand side) or -ksp_atol is left alone while
/// the others go on; the solve ends when all have, or when the convergence test says so. The KSP's residual norm is
/// |b| max_s |r_s| / |b_s|, of one sample |r|: relative tolerances are so those of each sample. Norms are always of
/// residuals without preconditioner; with KSP_NORM_NONE none are computed, and no sample stops early. A sample with
/// r = 0 stays as it is. Values that are not finite end a solve with KSP_DIVERGED_NANORINF.
///
/// Steepest descent with the exact step, x += alpha z, alpha = (r.z)/(z.Az), z = B r (Saad 2003, 5.3.1).
constexpr const char* steepest_type = "espalier_steepest";
/// Conjugate gradients (Hestenes & Stiefel 1952), the iterates of KSPCG.
constexpr const char* cg_type = "espalier_cg";
/// BiCGStab (van der Vorst 1992), preconditioned from the right: the iterates of KSPBCGS with -ksp_pc_side right.
constexpr const char* bcgs_type = "espalier_bcgs";
/// GMRES(m) (Saad & Schultz 1986), m = -ksp_espalier_gmres_restart (30), preconditioned from the right so that norms
/// are those of the equation. One iteration is one whole cycle of m products, and convergence is looked at after cycles
/// only. Classical Gram-Schmidt done twice, two reductions a product. m + 3 work vectors.
constexpr const char* gmres_type = "espalier_gmres";

/// Makes the types known to PETSc. May be called again; not collective.
void register_sample_krylov();

/// How many samples the vectors of a KSP hold, 1 unless told. For the types above; others do not ask. A KSP keeps the
/// number when its type changes. Takes effect at the next solve, which throws UserError when they do not divide.
void set_samples(KSP ksp, PetscInt samples);
PetscInt samples_of(KSP ksp);

}  // namespace espalier::implicit
