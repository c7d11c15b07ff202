// The two kinds of shell matrices that PETSc's TS, SNES and TSAdjoint ask for, on top of a Linearization.
#pragma once

#include <petscmat.h>

#include <memory>
#include <vector>

#include "espalier/model/term.hpp"
#include "espalier/petsc/handle.hpp"
#include "espalier/petsc/object_state.hpp"

namespace espalier::model {

/// The last linearisation of a term, so that callbacks which PETSc makes one after another at the same point share it.
class LinearizationMemo {
 public:
  /// The linearisation of `term` at (t, u); the last one again when t and u are the same, and u and the parameters are
  /// unchanged since.
  std::shared_ptr<Linearization> at(Term& term, double t, Vec u);

 private:
  std::shared_ptr<Linearization> last_;
  double t_ = 0;
  petsc::ObjectState state_;
  long version_ = 0;
};

/// The matrix shift I + scale J of a term at its current linearisation, as a MATSHELL with MatMult and
/// MatMultTranspose. `state`: a vector with the state's layout. Creation is collective on the Vec's communicator.
class JacobianOperator {
 public:
  explicit JacobianOperator(Vec state);
  JacobianOperator(const JacobianOperator&) = delete;
  JacobianOperator& operator=(const JacobianOperator&) = delete;

  void set(std::shared_ptr<Linearization> linearization, double shift, double scale);
  Mat mat() const { return mat_.get(); }
  double shift() const { return shift_; }

  /// True when the last transposed product of `linearization` was taken with exactly this w.
  bool last_product_was(const Linearization& linearization, Vec w) const;
  /// Says that this product was just taken elsewhere.
  void note_product(const Linearization& linearization, Vec w);

 private:
  void multiply(Vec v, Vec y);
  void multiply_transpose(Vec w, Vec u_bar);

  petsc::MatHandle mat_;
  std::shared_ptr<Linearization> linearization_;
  double shift_ = 0;
  double scale_ = 1;
  petsc::ObjectState last_cotangent_;
  const Linearization* last_linearization_ = nullptr;
};

/// The matrix sign * df/dtheta [state x parameters] as a MATSHELL of which only MatMultTranspose exists. Into a
/// gradient Vec (petsc/gradient_vec.hpp) the product is handed on unformed; into any other Vec it is written. A product
/// that `jacobian` has just taken with the same w is not taken again.
class ParameterOperator : public petsc::PendingProduct {
 public:
  /// `local_parameters`: columns of this rank. `jacobian` may be nullptr.
  ParameterOperator(Vec state, PetscInt local_parameters, JacobianOperator* jacobian,
                    std::vector<nn::FlatParameters*> parameters);
  ParameterOperator(const ParameterOperator&) = delete;
  ParameterOperator& operator=(const ParameterOperator&) = delete;

  /// With an empty linearisation the matrix is zero.
  void set(std::shared_ptr<Linearization> linearization, double sign);
  Mat mat() const { return mat_.get(); }
  void accumulate(double alpha) override;

 private:
  void multiply_transpose(Vec w, Vec theta_bar);
  void write_product(Vec theta_bar);

  petsc::MatHandle mat_;
  petsc::VecHandle scratch_;
  JacobianOperator* jacobian_;
  std::vector<nn::FlatParameters*> parameters_;
  std::shared_ptr<Linearization> linearization_;
  double sign_ = 1;
};

}  // namespace espalier::model
