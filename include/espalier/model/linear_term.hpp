// The linear part of a split system for a batch: one operator shared by all samples, solved for all of them at once.
#pragma once

#include <petscmat.h>

#include <deque>
#include <memory>

#include "espalier/model/linear_operator.hpp"

namespace espalier::model {

/// How (shift I - A) X = B is solved for a batch.
enum class LinearSolver {
  lu_dense,   ///< LAPACK LU of the dense matrix, all samples as right-hand sides of one call
  lu_sparse,  ///< PETSc's sparse LU, all samples in one MatMatSolve
  krylov,     ///< no factorisation: the integrator's KSP on the shell matrix
  lu_inverse  ///< the dense inverse, formed once from the LU: each solve is one matrix product, the fastest for a dof
              ///< of up to some hundreds; as accurate as the LU unless shift I - A is very ill-conditioned
};

/// f(u) = A u for each sample of u, A [dof x dof]. With samples stored one after another the batch is a column-major
/// matrix U [dof x samples], so that f is the product A U and a shifted solve is one call with many right-hand sides.
/// A is the same on every rank and lives on PETSC_COMM_SELF; nothing here is collective. Host memory.
class LinearTerm : public LinearOperator {
 public:
  /// `matrix`: sequential, square; shared, not copied. After changing its entries call mark_changed().
  LinearTerm(Mat matrix, LinearSolver solver);
  ~LinearTerm() override;

  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;

  LinearSolver solver() const { return solver_; }
  bool solves_directly() const override { return solver_ != LinearSolver::krylov; }
  PetscInt dof() const { return dof_; }
  /// A as it is now; the term's own.
  Mat matrix();
  /// Says that the entries of A changed: factorisations are made anew.
  void mark_changed();

  /// X = (shift I - A)^-1 B, or with the transposed matrix. The factorisation is cached by shift, as
  /// rounded_shift() has it, and by the version of A. Not for LinearSolver::krylov.
  void solve(double shift, Vec b, Vec x, bool transpose) override;
  long factorisations() const override { return factorisations_; }

 protected:
  /// Called before A is used: a term whose A depends on something brings it up to date.
  virtual void refresh() {}
  /// Another A of the same size; as mark_changed().
  void replace_matrix(petsc::MatHandle matrix);
  /// Y = A U, or A^T U.
  void multiply(Vec u, Vec y, bool transpose);
  /// Samples in this rank's part of u. Throws UserError if there is a remainder.
  PetscInt samples_of(Vec u) const;

 private:
  class Product;
  struct Factor;

  void check_result(Vec argument, Vec result) const;
  const Factor& find_factor(double shift);
  petsc::MatHandle factorise(double shift) const;
  petsc::MatHandle invert(Mat lu) const;
  Mat batch_matrix(petsc::MatHandle& storage, PetscInt samples, const PetscScalar* array) const;

  petsc::MatHandle matrix_;
  petsc::MatHandle transpose_;  // A^T, formed at first use
  LinearSolver solver_;
  PetscInt dof_ = 0;
  long factorisations_ = 0;
  std::deque<Factor> factors_;
  petsc::MatHandle left_;      // dense views of the batch in b or u
  petsc::MatHandle right_;     // and of the result
  petsc::MatHandle solution_;  // of a solve
};

/// The names of the solvers for options, in the order of the enumeration.
const std::vector<std::string>& linear_solver_names();

}  // namespace espalier::model
