// Linear equations A(theta) x = b(theta) as a differentiable function of b and theta.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "espalier/implicit/differentiable_solve.hpp"

namespace espalier::implicit {

/// Solves an equation that is affine in x, as LinearSystem or a ThetaStep of a linear term: F_x x = -F(0, y). Options
/// -<prefix>ksp_* and -<prefix>pc_*: GMRES to a relative tolerance of 1e-10 without preconditioner, or with any that
/// works on the terms' matrices. Where F_x is constant the preconditioner is made once per version of the parameters.
/// With -<prefix>assembled the KSP's products are those of the terms' sparse matrices, too. With
/// -<prefix>ksp_initial_guess_nonzero the first guess is what x holds. Effort{K} is K iterations of the KSP: with
/// -<prefix>ksp_type richardson -<prefix>pc_type jacobi, K sweeps of Jacobi's from 0.
class LinearSolve : public DifferentiableSolve {
 public:
  /// `like`: a vector with the layout of x and y. Collective.
  LinearSolve(std::shared_ptr<Residual> residual, Vec like, const std::string& prefix = "");
  ~LinearSolve() override;

  /// Iterations of the KSP.
  long iterations_forward() const override { return ksp_iterations_forward(); }
  long ksp_iterations_forward() const override;
  KSP ksp();

 private:
  void forward(Vec y, Vec x, Record record) override;
  std::string adjoint_preconditioner() const override;
  void set_forward_effort(const Effort& effort) override;
  void set_forward_samples(PetscInt samples) override;

  std::unique_ptr<Krylov> solver_;
  petsc::VecHandle zero_;
  petsc::VecHandle right_;  // -F(0, y)
  std::shared_ptr<GuardedLinearization> products_;
};

/// x as a node of torch's graph. b: float64 with the entries of this rank, in any shape, which x has too; it is the
/// first guess where options ask for one. backward()
/// adds the parameters' cotangents to the terms' flat gradients, at the latest when it ends. Without grad mode nothing
/// is kept. A graph may hold any number of solves by one solver, which must outlive it. Collective, as is backward().
at::Tensor linear_solve(LinearSolve& solver, const at::Tensor& b);

}  // namespace espalier::implicit
