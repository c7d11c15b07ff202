// What an Integrator holds: integrator_setup.cpp makes it, integrator.cpp runs it.
#pragma once

#include <ATen/ATen.h>

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/model/assembled_jacobian.hpp"
#include "espalier/model/linear_operator.hpp"
#include "espalier/model/shell_operators.hpp"
#include "espalier/model/sparse_jacobian.hpp"
#include "espalier/ts/integrator.hpp"
#include "finite_check.hpp"
#include "newton_solver.hpp"

namespace espalier::ts {

/// Owns the TS, its shells and its vectors; the callbacks' context.
class Integrator::Implementation {
 public:
  Implementation(MPI_Comm comm, BatchShape shape, model::SplitSystem system, const IntegratorSettings& settings)
      : comm_(comm),
        shape_(shape),
        system_(std::move(system)),
        settings_(settings),
        method_(find_method(settings.method)) {
    split();
    check_jacobian();
    create_vectors();
    build();
  }

  const at::Tensor& forward(const at::Tensor& u0, const std::vector<double>& times, Record record);
  const at::Tensor& adjoint(const at::Tensor& snapshot_cotangents);

  MPI_Comm comm_;
  BatchShape shape_;
  model::SplitSystem system_;
  IntegratorSettings settings_;
  Method method_;
  petsc::TsHandle ts_;
  petsc::TrajectoryHandle bounded_trajectory_;  // of ts_, kept while runs are not recorded
  std::vector<double> step_sizes_;
  long steps_ = 0;
  long runs_ = 0;
  double checkpoint_bytes_ = 0;
  long repeated_steps_ = 0;
  std::size_t kept_graphs_ = 0;  // network evaluations kept while steps are repeated

  long forward_iterations() const { return past_forward_iterations_ + total_iterations(forward_ksp()); }
  long adjoint_iterations() const { return past_adjoint_iterations_ + total_iterations(adjoint_ksp_.get()); }

 private:
  // integrator_setup.cpp
  void split();
  void check_jacobian() const;
  void build();
  void create_vectors();
  void create_ts();
  void attach_explicit_part();
  void attach_implicit_part();
  void create_assembled_jacobian();
  Mat preconditioner_matrix() const;
  void set_implicit_jacobian(double t, Vec u, double shift);
  void configure_solvers();
  void configure_ksp(KSP ksp, double tolerance);
  void attach_direct_solver(KSP ksp);
  void configure_steps();
  void check_options(TSAdapt adapt);

  // integrator.cpp
  void set_times(const std::vector<double>& times);
  double fitted_steps(std::size_t k) const;
  double step_before(std::size_t k) const;
  long expected_steps() const;
  void set_trajectory(Record record);
  TSTrajectory trajectory() const;
  void repeat(const std::function<void()>& steps);
  std::size_t evaluations_of_a_step() const;
  void solve();
  void apply(model::Term& term, double t, Vec u, Vec y);
  FiniteCheck finite_check() const { return {comm_, shape_.dof, settings_.dump_directory, method_.name}; }
  void note_failure(const std::string& message);
  void agree_on_failure() const;
  void after_stage(double time, PetscInt stage, Vec u);
  void after_step();
  void note_checkpoints();

  SNES snes() const {
    SNES snes = nullptr;
    if (method_.splitting != Splitting::fully_explicit) ESPALIER_CALL(TSGetSNES(ts_.get(), &snes));
    return snes;
  }
  KSP forward_ksp() const {
    KSP ksp = nullptr;
    if (SNES solver = snes()) ESPALIER_CALL(SNESGetKSP(solver, &ksp));
    return ksp;
  }
  static long total_iterations(KSP ksp) {
    PetscInt total = 0;
    if (ksp != nullptr) ESPALIER_CALL(KSPGetTotalIterations(ksp, &total));
    return static_cast<long>(total);
  }
  /// Whether one application of the linear part's own solver, or of the dense blocks' inverses, is a solution.
  bool solves_directly() const { return assembled_jacobian_ || (linear_ && linear_ == implicit_); }
  static Implementation& of(void* context) { return *static_cast<Implementation*>(context); }

  // The parts as the method sees them: either may be empty.
  std::shared_ptr<model::Term> explicit_;
  std::shared_ptr<model::Term> implicit_;
  std::shared_ptr<model::LinearOperator> linear_;  // the implicit part, or its part with a direct solve; may be empty
  bool implicit_is_affine_ = false;
  bool adaptive_ = false;

  petsc::VecHandle state_;
  petsc::VecHandle lambda_;
  petsc::VecHandle mu_;
  Vec lambda_array_[1] = {nullptr};
  Vec mu_array_[1] = {nullptr};

  std::unique_ptr<model::JacobianOperator> explicit_jacobian_;
  std::unique_ptr<model::JacobianOperator> implicit_jacobian_;
  std::unique_ptr<model::AssembledJacobian> assembled_jacobian_;  // with -ts_jacobian assembled: dense blocks, or
  std::unique_ptr<model::SparseJacobian> sparse_jacobian_;        // the term's own matrices, for a preconditioner
  std::unique_ptr<model::ParameterOperator> explicit_parameters_;
  std::unique_ptr<model::ParameterOperator> implicit_parameters_;
  model::LinearizationMemo explicit_memo_;
  model::LinearizationMemo implicit_memo_;
  petsc::KspHandle adjoint_ksp_;
  NewtonSolver forward_solver_;  // of the SNES, while an adjoint run puts the adjoint's in its place

  std::vector<double> times_;
  std::vector<PetscInt> steps_at_;  // number of steps taken when times_[k] was reached
  std::size_t next_time_ = 1;
  at::Tensor snapshots_;
  at::Tensor u0_bar_;
  bool recorded_ = false;
  bool repeating_ = false;            // a step of the run, for its adjoint
  std::exception_ptr failure_;        // this rank's first failure in a run; the ranks agree on it after the step
  std::size_t time_count_ = 2;        // that the TS was built for
  long past_forward_iterations_ = 0;  // of TS objects before this one
  long past_adjoint_iterations_ = 0;
};

}  // namespace espalier::ts
