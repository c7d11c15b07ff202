#include "espalier/train/integrator_objective.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/core/ranks.hpp"
#include "espalier/model/linear_operator.hpp"

namespace espalier::train {

namespace {

// Of a batch that has fewer samples than there are groups of ranks, for one of the groups.
bool no_samples(const std::vector<int>& of_ranks) {
  return std::all_of(of_ranks.begin(), of_ranks.end(), [](int n) { return n == 0; });
}

}  // namespace

IntegratorObjective::IntegratorObjective(MPI_Comm comm, model::SplitSystem system,
                                         std::shared_ptr<model::NeuralTerm> network, ts::IntegratorSettings settings,
                                         double interval)
    : comm_(comm),
      system_(std::move(system)),
      network_(std::move(network)),
      settings_(std::move(settings)),
      interval_(interval),
      parameters_(model::joined_parameters(system_)) {
  ESPALIER_REQUIRE(interval > 0, "the time between two snapshots must be positive");
}

IntegratorObjective::IntegratorObjective(MPI_Comm comm, model::SplitSystem system,
                                         std::shared_ptr<model::NeuralTerm> network, ts::IntegratorSettings settings,
                                         std::vector<double> times)
    : comm_(comm),
      system_(std::move(system)),
      network_(std::move(network)),
      settings_(std::move(settings)),
      times_(std::move(times)),
      parameters_(model::joined_parameters(system_)) {
  ESPALIER_REQUIRE(times_.size() >= 2, "a window needs the times of two states at least");
}

std::vector<double> IntegratorObjective::times(std::int64_t intervals) const {
  if (!times_.empty()) {
    ESPALIER_REQUIRE(intervals < static_cast<std::int64_t>(times_.size()),
                     "a window of " + std::to_string(intervals) + " intervals is longer than its " +
                         std::to_string(times_.size()) + " times");
    return {times_.begin(), times_.begin() + intervals + 1};
  }
  std::vector<double> all;
  for (std::int64_t k = 0; k <= intervals; ++k) all.push_back(interval_ * static_cast<double>(k));
  return all;
}

// The last batch of an epoch and the chunks of a validation have other sizes than the batches between; making an
// integrator is collective, so all ranks look it up under the same key.
ts::Integrator& IntegratorObjective::integrator_for(const at::Tensor& u0) {
  return integrator_for(u0, core::counts_of_ranks(comm_, u0.size(0)));
}

ts::Integrator& IntegratorObjective::integrator_for(const at::Tensor& u0, const std::vector<int>& samples) {
  auto& integrator = integrators_[samples];
  if (!integrator)
    integrator = std::make_unique<ts::Integrator>(comm_, ts::BatchShape{u0.size(0), u0.size(1)}, system_, settings_);
  return *integrator;
}

double IntegratorObjective::sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) {
  const auto samples = core::counts_of_ranks(comm_, u0.size(0));
  if (no_samples(samples)) return 0;
  ts::Integrator& integrator = integrator_for(u0, samples);
  const at::Tensor& predicted = integrator.forward(u0, times(targets.size(1)), ts::Record::yes);
  // s = |r|^2 with r = u - target;  ds/du = 2 r.
  at::Tensor residual = predicted - targets.transpose(0, 1);
  const at::Tensor flat = residual.flatten();
  const double sum = flat.dot(flat).item<double>();
  checkpoint_bytes_ = std::max(
      checkpoint_bytes_, integrator.checkpoint_bytes() + (network_ ? static_cast<double>(network_->kept_bytes()) : 0));
  integrator.adjoint(residual.mul_(2 * weight));
  return sum;
}

double IntegratorObjective::sum(const at::Tensor& u0, const at::Tensor& targets) {
  const auto samples = core::counts_of_ranks(comm_, u0.size(0));
  if (no_samples(samples)) return 0;
  const at::Tensor& predicted = integrator_for(u0, samples).forward(u0, times(targets.size(1)), ts::Record::no);
  return (predicted - targets.transpose(0, 1)).square().sum().item<double>();
}

const at::Tensor& IntegratorObjective::predict(const at::Tensor& u0, std::int64_t intervals) {
  return predict(u0, times(intervals));
}

const at::Tensor& IntegratorObjective::predict(const at::Tensor& u0, const std::vector<double>& times) {
  return integrator_for(u0).forward(u0, times, ts::Record::no);
}

Counters IntegratorObjective::counters() const {
  Counters total;
  if (network_) {
    total.nfe_forward = network_->counters().forward;
    total.nfe_recomputed = network_->counters().recomputed;
    total.nfe_adjoint = network_->counters().adjoint;
    total.jvp_forward = network_->counters().tangent;
  }
  if (const auto linear = std::dynamic_pointer_cast<model::LinearOperator>(system_.implicit_part))
    total.factorisations = linear->factorisations();
  for (const auto& entry : integrators_) {
    total.ksp_its_forward += entry.second->ksp_iterations_forward();
    total.ksp_its_adjoint += entry.second->ksp_iterations_adjoint();
  }
  return total;
}

}  // namespace espalier::train
