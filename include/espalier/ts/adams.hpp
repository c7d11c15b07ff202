// Adams methods with fixed steps as a type of PETSc's TS, with their exact discrete adjoint.
#pragma once

#include <petscts.h>

#include <string>

namespace espalier::ts {

/// The name for TSSetType() and -ts_type, once register_adams() was called.
///
/// Adams-Bashforth of orders 2 to 4 (ab2, ab3, ab4; the TS's RHSFunction) and Adams-Moulton of orders 2 to 4 (am2, am3,
/// am4; IFunction F = u_t - f, solved by the TS's SNES). The first steps are taken by a one-step method of the same
/// order: explicit Runge-Kutta, and L-stable SDIRK for Adams-Moulton. A step of another size (by more than 1e-9 of it)
/// starts the method again; observation times that do not change the step do not. Steps are never rejected: a solve
/// that fails ends the run.
///
/// The adjoint (TSAdjointSolve, one cost function) is that of the steps that were taken. It needs a trajectory that
/// keeps stages (TSTrajectorySetSolutionOnly(PETSC_FALSE), type memory) and repeats no steps: one vector for each step,
/// and the TS itself keeps those of starting steps. Adams-Bashforth takes one product with the transposed Jacobian for
/// each evaluation of f, Adams-Moulton one transposed solve for each forward one.
///
/// Source: Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, III.1.
constexpr const char* adams_type = "espalier_adams";

/// Makes the type known to PETSc. May be called again; not collective.
void register_adams();

/// Chooses the method of a TS of this type, as -ts_adams_type does; ab4 without. Throws UserError that lists the names.
/// Collective on the TS.
void set_adams_method(TS ts, const std::string& name);
/// The name of the method.
const char* adams_method(TS ts);

/// Throws UserError when a TS of this type has been given a step control.
void require_fixed_steps(TS ts);

}  // namespace espalier::ts
