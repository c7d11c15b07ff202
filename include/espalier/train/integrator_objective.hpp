// The objective of every time-series experiment: squared error of integrated windows.
#pragma once

#include <mpi.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "espalier/model/neural_term.hpp"
#include "espalier/train/objective.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

/// s(theta) = sum over samples and intervals of |u(t_k; theta, u0) - target_k|^2, with u integrated from u0 over
/// windows of equal intervals or to given times; the gradient is the discrete adjoint of the steps. One integrator per
/// batch shape is made at first use and kept. Collective on `comm`.
class IntegratorObjective : public RolloutObjective {
 public:
  /// `network`: the part of `system` whose evaluations are counted. `interval`: time between two snapshots of a
  /// window.
  IntegratorObjective(MPI_Comm comm, model::SplitSystem system, std::shared_ptr<model::NeuralTerm> network,
                      ts::IntegratorSettings settings, double interval);
  /// With snapshots of a window at `times` [intervals + 1], its initial state at times[0]. `network` may be empty:
  /// nothing is then counted.
  IntegratorObjective(MPI_Comm comm, model::SplitSystem system, std::shared_ptr<model::NeuralTerm> network,
                      ts::IntegratorSettings settings, std::vector<double> times);

  double sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) override;
  double sum(const at::Tensor& u0, const at::Tensor& targets) override;
  /// Of all terms of the system: first the explicit part's, then the implicit part's.
  nn::FlatParameters& parameters() override { return parameters_; }
  Counters counters() const override;
  double checkpoint_bytes() const override { return checkpoint_bytes_; }
  /// Time between two snapshots, when they are equally spaced.
  double interval() const { return interval_; }

  /// The states after each of `intervals` intervals, [intervals, n, dof]; a buffer that the next call overwrites.
  const at::Tensor& predict(const at::Tensor& u0, std::int64_t intervals);
  const at::Tensor& predict(const at::Tensor& u0, const std::vector<double>& times) override;

 private:
  ts::Integrator& integrator_for(const at::Tensor& u0);
  ts::Integrator& integrator_for(const at::Tensor& u0, const std::vector<int>& samples);
  std::vector<double> times(std::int64_t intervals) const;

  MPI_Comm comm_;
  model::SplitSystem system_;
  std::shared_ptr<model::NeuralTerm> network_;
  ts::IntegratorSettings settings_;
  double interval_ = 0;
  std::vector<double> times_;  // of a window's states; empty: equally spaced
  nn::FlatParameters parameters_;
  double checkpoint_bytes_ = 0;
  std::map<std::vector<int>, std::unique_ptr<ts::Integrator>> integrators_;  // by samples of each rank
};

}  // namespace espalier::train
