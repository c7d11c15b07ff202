// What linear and nonlinear solves share: x(y; theta) with F(x, y; theta) = 0, and its derivative by one transposed
// solve.
#pragma once

#include <petscksp.h>

#include <memory>
#include <string>
#include <vector>

#include "espalier/implicit/effort.hpp"
#include "espalier/implicit/residual.hpp"
#include "espalier/petsc/handle.hpp"
#include "espalier/petsc/vec_pool.hpp"

namespace espalier::implicit {

class Failures;
class GuardedLinearization;
class Krylov;

/// Whether a solve is followed by its adjoint.
enum class Record { no, yes };

/// Whether an adjoint is the last one before the gradients are used: terms then add what they put off.
enum class Finish { now, later };

/// What a solve keeps for its adjoint. The vectors are copies; they go back to the solver's pool with this object.
struct KeptSolve {
  std::vector<std::shared_ptr<petsc::VecHandle>> x;  ///< the solution; of an unrolled solve all iterates before it
  std::shared_ptr<petsc::VecHandle> y;
  bool began_at_y = false;      ///< of an unrolled solve: its first guess was y, not a constant
  double time = 0;              ///< of the residual
  long version = 0;             ///< of the parameters
  std::shared_ptr<void> bytes;  ///< counts them in checkpoint_bytes() as long as it lives
};

/// A solve as a function of its data y and of the parameters theta. With lambda from F_x^T lambda = x_bar the
/// cotangents are y_bar = -F_y^T lambda and theta_bar += -F_theta^T lambda (implicit function theorem; Christianson
/// 1994): one transposed linear solve, whatever the solution took. Its options are -<prefix>adjoint_ksp_* and
/// -<prefix>adjoint_pc_*, its relative tolerance 1e-12.
///
/// All vectors have the layout that the solver was made for. Collective on its communicator throughout. A solve that
/// fails throws NumericalError with reason, course and advice on all ranks; a term that fails on one rank fails on all.
class DifferentiableSolve {
 public:
  virtual ~DifferentiableSolve();
  DifferentiableSolve(const DifferentiableSolve&) = delete;
  DifferentiableSolve& operator=(const DifferentiableSolve&) = delete;

  /// Solves for x. With Record::yes the solve can be differentiated, now or later.
  void solve(Vec y, Vec x, Record record = Record::yes);
  /// What the last recorded solve kept, the caller's from now on: any number of them may wait for their adjoints, in
  /// any order. Empty if there is none.
  std::shared_ptr<const KeptSolve> take_kept() { return std::move(kept_); }

  /// y_bar of the last recorded solve; adds to the flat gradients of the terms (of this rank: sum over ranks yourself).
  void adjoint(Vec x_bar, Vec y_bar);
  /// The same of any solve. Throws UserError when the parameters changed since. After the last of several,
  /// finish_adjoint() unless it came with Finish::now.
  void adjoint(const KeptSolve& kept, Vec x_bar, Vec y_bar, Finish finish = Finish::now);
  /// Nothing to do when no adjoint ran since the last one.
  void finish_adjoint();

  /// How far solves and adjoints go from now on; an adjoint may go another way than its solve. A nonlinear solve counts
  /// its own iterations, an unrolled one its sweeps, which only iterations > 0 changes. Throws UserError for numbers
  /// that make no sense.
  void set_effort(const Effort& forward, const Effort& adjoint);
  /// How many samples the vectors hold, 1 unless told: for methods with coefficients for each sample. Throws UserError
  /// on all ranks when they do not divide. Collective.
  void set_samples(PetscInt samples);
  PetscInt samples() const { return samples_; }

  Residual& residual() { return *residual_; }
  const std::string& prefix() const { return prefix_; }
  /// Entries of a vector on this rank.
  PetscInt local_size() const;
  /// A vector with the solver's layout. Collective.
  petsc::VecHandle make_vec() const;
  /// Totals since construction. Of a linear solve, iterations_forward() is ksp_iterations_forward().
  virtual long iterations_forward() const = 0;
  virtual long ksp_iterations_forward() const = 0;
  long ksp_iterations_adjoint() const;
  /// Memory of what all solves that still exist have kept, of this rank.
  double checkpoint_bytes() const { return *bytes_; }
  /// The adjoint's solver, made at its first use.
  KSP adjoint_ksp();

 protected:
  /// `like`: a vector with the layout of x and y.
  DifferentiableSolve(std::shared_ptr<Residual> residual, Vec like, std::string prefix);

  /// Solves, and calls keep() for the states that its adjoint needs if it is recorded.
  virtual void forward(Vec y, Vec x, Record record) = 0;
  /// Products and cotangents of one solve.
  virtual void backward(const KeptSolve& kept, Vec x_bar, Vec y_bar);
  /// The preconditioner that the adjoint's KSP has without options.
  virtual std::string adjoint_preconditioner() const = 0;
  /// The two of set_effort() and set_samples() for the forward solve.
  virtual void set_forward_effort(const Effort& effort) = 0;
  virtual void set_forward_samples(PetscInt /*samples*/) {}

  /// The first time that right = -F(0, y) is not 0: throws UserError unless F(x, y) = F_x x - right. No tolerance of a
  /// solve enters. Collective.
  void check_affine(Vec y, Vec x, Vec right, GuardedLinearization& products);
  void keep(Vec x);
  void note_beginning_at_y() { kept_->began_at_y = true; }
  MPI_Comm comm() const;
  /// Empty on all ranks when it failed on one, which is noted. Collective.
  std::shared_ptr<GuardedLinearization> guarded_linearize(Vec x, Vec y);
  Failures& failures() { return *failures_; }

  std::shared_ptr<Residual> residual_;

 private:
  void begin_keeping(Vec y);
  Krylov& adjoint_solver();

  petsc::VecHandle like_;
  std::string prefix_;
  std::unique_ptr<Failures> failures_;
  std::unique_ptr<Krylov> adjoint_;
  petsc::VecPool pool_;
  petsc::VecHandle lambda_;
  petsc::VecHandle work_;
  std::shared_ptr<KeptSolve> kept_;
  std::shared_ptr<double> bytes_ = std::make_shared<double>(0);
  Effort adjoint_effort_;
  PetscInt samples_ = 1;
  bool unfinished_ = false;
  bool is_affine_ = false;
};

}  // namespace espalier::implicit
