// Linear parts that are trained: A(theta), its derivative, and factorisations that follow the parameters.
#pragma once

#include <memory>
#include <vector>

#include "espalier/model/linear_term.hpp"
#include "espalier/petsc/vec_pool.hpp"

namespace espalier::model {

/// f(u) = A(theta) u for each sample, theta in float64. When the version() of the parameters grows, A is made anew at
/// its next use and factorisations once per version and shift: all stages, steps and samples between two steps of an
/// optimiser share them. Whoever changes values() calls FlatParameters::mark_changed(). Products are with the present
/// parameters. Not collective.
class TrainableLinearTerm : public LinearTerm {
 public:
  ~TrainableLinearTerm() override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;
  std::vector<nn::FlatParameters*> parameters() override { return {&parameters_}; }

 protected:
  /// `initial`: [dof x dof], gives the size; `theta`: the initial parameters.
  TrainableLinearTerm(Mat initial, const at::Tensor& theta, LinearSolver solver);
  /// A of the present parameters.
  virtual petsc::MatHandle assemble() = 0;
  /// theta_bar += alpha sum_s (d(A u_s)/dtheta)^T w_s with u and w [samples, dof].
  virtual void accumulate(double alpha, const at::Tensor& u, const at::Tensor& w) = 0;

  nn::FlatParameters parameters_;

 private:
  class Product;
  void refresh() override;

  // The memory that A was made of. Joining moves the parameters without changing them: A stays true where it is.
  at::Tensor buffer_;
  long version_ = -1;
  petsc::VecPool copies_;  // of states and cotangents
};

/// Every entry of A is trained: theta_(i + dof j) = A_ij, the entries column by column. A lives in the parameters' own
/// memory; its gradient is one matrix product, A_bar += alpha W U^T.
class DenseLinearTerm : public TrainableLinearTerm {
 public:
  /// Begins with the entries of `initial`, sequential and square.
  DenseLinearTerm(Mat initial, LinearSolver solver);

 private:
  petsc::MatHandle assemble() override;
  void accumulate(double alpha, const at::Tensor& u, const at::Tensor& w) override;
};

/// The coefficients c of a periodic stencil are trained: (A u)_i = sum_k c_k u_(i + k - r), k = 0, ..., 2 r, as
/// grid::periodic_stencil().
class StencilLinearTerm : public TrainableLinearTerm {
 public:
  /// Throws UserError when the number of coefficients is even or larger than `points`.
  StencilLinearTerm(PetscInt points, const std::vector<double>& coefficients, LinearSolver solver);

 private:
  petsc::MatHandle assemble() override;
  void accumulate(double alpha, const at::Tensor& u, const at::Tensor& w) override;

  at::Tensor ring_;    // u with r periodic points on either side, [samples, points + 2 r]
  at::Tensor padded_;  // w with zeros behind, of the same shape
};

}  // namespace espalier::model
