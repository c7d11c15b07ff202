// The objective of implicit steps that are solves in torch's graph, to be compared with the integrator's adjoint.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/implicit/root_solve.hpp"
#include "espalier/train/objective.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

struct ImplicitSettings {
  std::string method = "cn";  ///< cn or beuler
  double step = 0.01;
  bool fit_steps = false;       ///< as in ts::IntegratorSettings
  implicit::RootSettings root;  ///< of each step
  bool jacobi = true;           ///< fixed-point sweeps are Jacobi's where the terms form matrices

  /// Prefix `step_` for the solves.
  ImplicitSettings();
  /// Reads -step_solver, -step_differentiation, -step_guess, -step_damping, -step_iterations and -step_jacobi; method
  /// and steps are the caller's. Everything else of the solves (-step_snes_*, -step_ksp_*, -step_pc_*,
  /// -step_adjoint_ksp_*) is read when they are made. Collective on `comm`.
  void read(MPI_Comm comm);
};

/// What IntegratorObjective computes, by another way: each step of Crank-Nicolson or backward Euler is a node
/// implicit::root_solve() in torch's graph, differentiated implicitly (a state and its predecessor are kept, whatever
/// the solve took) or unrolled, which keeps all iterates: the naive implicit model of Akhare, Luo & Wang (2025).
///
/// Weights of Jacobi's sweeps are W = diag(F_x)^-1 at the first state for which a step size is used after the
/// parameters have changed. They count as constants: the gradient of an unrolled solve is that of its sweeps with W as
/// it is. Collective on `comm`.
class ImplicitObjective : public RolloutObjective {
 public:
  /// Snapshots of a window at `times` [intervals + 1], its initial state at times[0]. Throws UserError for other
  /// methods and for settings that do not go together.
  ImplicitObjective(MPI_Comm comm, model::SplitSystem system, ImplicitSettings settings, std::vector<double> times);
  ~ImplicitObjective() override;

  double sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) override;
  double sum(const at::Tensor& u0, const at::Tensor& targets) override;
  nn::FlatParameters& parameters() override { return parameters_; }
  /// The Krylov iterations of all solves.
  Counters counters() const override;
  double checkpoint_bytes() const override { return checkpoint_bytes_; }
  const at::Tensor& predict(const at::Tensor& u0, const std::vector<double>& times) override;
  /// Iterations or sweeps of all solves so far.
  long iterations() const;

 private:
  struct Solver;
  struct Chain;
  /// Steps of one size from `t`.
  struct Steps {
    double t;
    double size;
    long count;
  };

  Chain& chain_for(const at::Tensor& u0);
  std::vector<Steps> steps_between(double t, double end) const;
  Solver& solver_for(Chain& chain, double size);
  void set_weights(Solver& solver, const at::Tensor& u) const;
  at::Tensor roll(const at::Tensor& u0, const std::vector<double>& times);
  std::vector<double> times(std::int64_t intervals) const;
  double kept_bytes() const;

  MPI_Comm comm_;
  std::shared_ptr<model::Term> term_;
  ImplicitSettings settings_;
  std::vector<double> times_;
  nn::FlatParameters parameters_;
  double checkpoint_bytes_ = 0;
  at::Tensor snapshots_;
  std::map<std::vector<int>, std::unique_ptr<Chain>> chains_;  // by samples of each rank
};

}  // namespace espalier::train
