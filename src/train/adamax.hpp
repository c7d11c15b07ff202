// Adamax in the manner of torch::optim, which has no such class in C++.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace espalier::train {

struct AdamaxOptions : public torch::optim::OptimizerCloneableOptions<AdamaxOptions> {
  double lr = 2e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;

  double get_lr() const override { return lr; }
  void set_lr(double rate) override { lr = rate; }
};

struct AdamaxParamState : public torch::optim::OptimizerCloneableParamState<AdamaxParamState> {
  TORCH_ARG(std::int64_t, step) = 0;
  TORCH_ARG(torch::Tensor, exp_avg);
  TORCH_ARG(torch::Tensor, exp_inf);
};

/// Kingma & Ba 2015, algorithm 2, with the placement of eps of PyTorch's Adamax:
///   g += weight_decay theta,  m = beta1 m + (1 - beta1) g,  u = max(beta2 u, |g| + eps),
///   theta -= lr / (1 - beta1^t) m / u.
class Adamax : public torch::optim::Optimizer {
 public:
  Adamax(std::vector<torch::Tensor> parameters, const AdamaxOptions& defaults);
  torch::Tensor step(LossClosure closure = nullptr) override;
};

}  // namespace espalier::train
