// Nonlinear equations F(x, y; theta) = 0 as a differentiable function of y and theta: implicitly or unrolled.
#pragma once

#include <petscsnes.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "espalier/implicit/differentiable_solve.hpp"

namespace espalier::implicit {

class Operator;

/// How x is found.
enum class RootSolver {
  newton,       ///< SNESNEWTONLS with products F_x v
  picard,       ///< x <- x - damping P(x)^-1 F, P from Residual::linearize_picard()
  fixed_point,  ///< x <- x - damping F (SNESNRICHARDSON)
  anderson      ///< fixed-point iterations that are combined (SNESANDERSON), mixed by damping
};

/// How x is differentiated.
enum class Differentiation {
  implicit,  ///< by the implicit function theorem: one transposed solve, nothing kept of the iterates
  unrolled   ///< step by step through exactly `iterations` fixed-point sweeps, all of which are kept
};

/// Where a solve begins.
enum class Guess {
  data,  ///< y
  last,  ///< the last solution; y the first time
  zero
};

struct RootSettings {
  std::string prefix;  ///< PETSc options prefix
  RootSolver solver = RootSolver::newton;
  Differentiation differentiation = Differentiation::implicit;
  Guess guess = Guess::data;
  double damping = 1;    ///< of a step; Newton's line search begins with it
  long iterations = 10;  ///< of an unrolled solve

  /// Reads -<prefix>solver, -<prefix>differentiation, -<prefix>guess (y, last, zero), -<prefix>damping and
  /// -<prefix>iterations. Everything else of PETSc's (-<prefix>snes_*, ksp_*, pc_*, adjoint_ksp_*) is read when the
  /// RootSolve is made. Collective on `comm`.
  void read(MPI_Comm comm);
};

/// Solves by SNES, to relative tolerances of 1e-12 (1e-6 where parameters are of single precision). Unrolled solves
/// take their sweeps whatever the residual is, and fail only when a value is not finite; the fixed-point sweep is the
/// only one that can be unrolled, since others would need derivatives of the matrices that they divide by.
/// Effort{K} is K iterations of the SNES, such as K Newton steps, or K sweeps of an unrolled solve. A line search looks
/// at the whole batch: with -<prefix>snes_linesearch_type basic, each sample takes the steps of a solve of its own.
class RootSolve : public DifferentiableSolve {
 public:
  /// `like`: a vector with the layout of x and y. Collective. Throws UserError for settings that do not go together.
  RootSolve(std::shared_ptr<Residual> residual, Vec like, const RootSettings& settings = {});
  ~RootSolve() override;

  /// Sweeps x <- x - damping W F with W diagonal and constant, as Jacobi's with W = diag(F_x)^-1 of a linear equation
  /// with given coefficients. For fixed_point and anderson, implicit or unrolled; the residual norm is then that of W
  /// F.
  void set_weights(Vec weights);
  /// Sweeps of an unrolled solve from now on.
  void set_iterations(long iterations);

  const RootSettings& settings() const { return settings_; }
  /// Iterations of the SNES, or sweeps.
  long iterations_forward() const override { return iterations_; }
  long ksp_iterations_forward() const override;
  /// nullptr for unrolled solves.
  SNES snes() { return snes_.get(); }

 private:
  void check_settings() const;
  void create_snes();
  void choose_method();
  void read_options();
  static PetscErrorCode function(SNES snes, Vec x, Vec f, void* context) noexcept;
  static PetscErrorCode jacobian(SNES snes, Vec x, Mat shell, Mat matrix, void* context) noexcept;
  void evaluate(Vec x, Vec f);
  void set_jacobian(Vec x);
  void attach_matrix(Vec x);
  std::shared_ptr<GuardedLinearization> linearize(Vec x);

  void forward(Vec y, Vec x, Record record) override;
  void backward(const KeptSolve& kept, Vec x_bar, Vec y_bar) override;
  std::string adjoint_preconditioner() const override;
  void set_forward_effort(const Effort& effort) override;
  void set_forward_samples(PetscInt samples) override;
  void begin(Vec y, Vec x, Record record);
  void iterate(Vec x);
  void sweep(Vec x, Record record);
  bool sweeps() const {
    return settings_.solver == RootSolver::fixed_point || settings_.solver == RootSolver::anderson;
  }
  [[noreturn]] void fail(const std::string& message) const;
  bool took_its_effort(SNESConvergedReason reason) const;

  RootSettings settings_;
  petsc::SnesHandle snes_;
  std::unique_ptr<Operator> operator_;
  petsc::VecHandle function_;
  petsc::VecHandle weights_;
  petsc::VecHandle last_;
  petsc::VecHandle products_[3];  // of an unrolled backward pass
  /// What the options gave the SNES.
  struct Tolerances {
    double relative = 0;
    double step = 0;
    double divergence = 0;
    PetscInt iterations = 0;
  };
  Tolerances tolerances_;
  Effort effort_;
  std::vector<double> history_;
  PetscInt recorded_ = 0;
  Vec y_ = nullptr;  // of the present solve
  bool has_matrix_ = false;
  bool has_last_ = false;
  long iterations_ = 0;
};

/// x as a node of torch's graph, as linear_solve(): n calls make a rollout of n steps with one backward pass.
at::Tensor root_solve(RootSolve& solver, const at::Tensor& y);

}  // namespace espalier::implicit
