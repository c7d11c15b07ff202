// A KSP for F_x and its transpose: shell, matrix for a preconditioner where one is asked for, and what is said when it
// does not converge.
#pragma once

#include <petscksp.h>

#include <memory>
#include <string>
#include <vector>

#include "espalier/implicit/batch_matrix.hpp"
#include "espalier/implicit/residual.hpp"
#include "espalier/model/shell_operators.hpp"
#include "failures.hpp"
#include "ksp_effort.hpp"

namespace espalier::implicit {

constexpr PetscInt krylov_iterations = 2000;

/// Whether the preconditioner that a KSP was given works on the entries of a matrix.
bool needs_matrix(KSP ksp);

/// "residual norms 3.1e+00, ..., 2.0e-05, 1.9e-05, 1.9e-05", or that none was recorded.
std::string course_of(const std::vector<double>& history, PetscInt recorded);

/// Where a solver writes its residual norms: one place for each iteration that it may take.
std::vector<double> history_for(PetscInt iterations);

/// The operator of a KSP: a shell of the products, and beside it the matrix of a batch where `ksp` needs one.
class Operator {
 public:
  explicit Operator(Vec state) : state_(petsc::VecHandle::share(state)), shell_(state) {}
  /// Collective. An empty linearisation leaves the matrix as it is.
  void set(std::shared_ptr<GuardedLinearization> linearization, bool with_matrix, bool refill);
  Mat shell() const { return shell_.mat(); }
  /// The shell itself where there is no matrix.
  Mat matrix() const { return matrix_ ? matrix_->mat() : shell_.mat(); }

 private:
  petsc::VecHandle state_;
  model::JacobianOperator shell_;
  std::unique_ptr<BatchMatrix> matrix_;
};

/// Solves F_x x = b or F_x^T x = b. Options -<prefix>ksp_* and -<prefix>pc_*; GMRES without preconditioner by default.
/// Products are the terms' own, or with -<prefix>assembled those of the batch's sparse matrix.
/// Knows the KSP types for samples.
class Krylov {
 public:
  Krylov(Vec state, const std::string& prefix, double tolerance, PCType preconditioner);

  /// `constant`: F_x is what it was when last `version` and `time` were these.
  void set_operator(std::shared_ptr<GuardedLinearization> linearization, Failures& failures, bool constant,
                    long version, double time);
  /// Throws NumericalError with reason, course and advice on all ranks. Collective.
  void solve(Vec b, Vec x, bool transpose, Failures& failures);

  /// From the next solve on.
  void set_effort(const Effort& effort) { effort_ = effort; }

  KSP ksp() const { return ksp_.get(); }
  PCType preconditioner() const;
  long iterations() const;

 private:
  [[noreturn]] void fail(bool transpose, const std::string& message, KSPConvergedReason reason) const;
  void require_success(Vec x, bool transpose) const;

  MPI_Comm comm_;
  std::string prefix_;
  Operator operator_;
  petsc::KspHandle ksp_;
  std::vector<double> history_;
  Effort effort_;
  KspEffort limit_;
  bool assembled_ = false;
  bool filled_ = false;
  long version_ = 0;
  double time_ = 0;
};

}  // namespace espalier::implicit
