// Steepest descent of a fixed number of steps, differentiated step by step.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "espalier/implicit/differentiable_solve.hpp"
#include "espalier/petsc/sample_vectors.hpp"

namespace espalier::implicit {

/// Exactly K steps x <- x + alpha r, alpha = (r.r)/(r.Ar) of each sample, from x = 0 for an equation that is affine in
/// x: A = F_x, b = -F(0, y), r = b - A x (Saad 2003, 5.3.1). The derivative is that of these steps, with alpha as a
/// function of r, of y and of theta, not that of the solution; all K residuals are kept for it. Without samples and
/// without derivative it is LinearSolve with -ksp_type espalier_steepest. Effort{K} sets the steps; an adjoint takes as
/// many, each with one linearisation at (r, y). A step of a sample with r.Ar = 0 is none.
class DescentSolve : public DifferentiableSolve {
 public:
  /// `like`: a vector with the layout of x and y. Collective.
  DescentSolve(std::shared_ptr<Residual> residual, Vec like, long iterations, const std::string& prefix = "");
  ~DescentSolve() override;

  /// Steps of a solve from now on. Throws UserError unless at least 1.
  void set_iterations(long iterations);
  long iterations() const { return steps_; }

  long iterations_forward() const override { return iterations_; }
  long ksp_iterations_forward() const override { return 0; }

 private:
  using Numbers = petsc::SampleVectors::Numbers;

  void forward(Vec y, Vec x, Record record) override;
  void backward(const KeptSolve& kept, Vec x_bar, Vec y_bar) override;
  std::string adjoint_preconditioner() const override { return PCNONE; }
  void set_forward_effort(const Effort& effort) override;
  void descend(Vec x, Record record);
  void step_back(Vec r, GuardedLinearization& products, Vec x_bar, Vec y_bar);
  void finish_at_zero(const KeptSolve& kept, Vec y_bar);
  void require_finite(const Numbers& numbers, long step);

  long steps_ = 1;
  long iterations_ = 0;
  petsc::SampleVectors vectors_;
  petsc::VecHandle zero_;
  petsc::VecHandle right_;  // b
  petsc::VecHandle residual_vec_;
  petsc::VecHandle product_;  // q = A r
  petsc::VecHandle r_bar_;
  petsc::VecHandle q_bar_;
  petsc::VecHandle q_bar_sum_;
  petsc::VecHandle work_;
  std::shared_ptr<GuardedLinearization> products_;
  Numbers rr_, rq_, alpha_;
  Numbers x_bar_r_, r_bar_q_, factor_;
};

/// x as a node of torch's graph, as linear_solve().
at::Tensor descent_solve(DescentSolve& solver, const at::Tensor& y);

}  // namespace espalier::implicit
