#include "espalier/train/chain_objective.hpp"

#include <torch/utils.h>

#include <algorithm>

namespace espalier::train {

// s = |u - target|^2.
double ChainObjective::sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) {
  const torch::AutoGradMode with_graph(true);
  const at::Tensor sum = (chain_.states(u0, targets.size(1)) - targets).square().sum();
  checkpoint_bytes_ = std::max(checkpoint_bytes_, chain_.checkpoint_bytes());
  (weight * sum).backward();
  return sum.item<double>();
}

double ChainObjective::sum(const at::Tensor& u0, const at::Tensor& targets) {
  const torch::NoGradGuard no_graph;
  return (chain_.states(u0, targets.size(1)) - targets).square().sum().item<double>();
}

}  // namespace espalier::train
