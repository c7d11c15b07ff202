// First-order optimisers on the flat parameter buffer.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "espalier/nn/flat_parameters.hpp"
#include "espalier/train/batches.hpp"

namespace espalier::train {

/// Settings with the defaults of PyTorch.
struct OptimiserOptions {
  std::string name = "adam";
  double weight_decay = 0;  ///< L2 term in the gradient; for adamw decoupled from it
  double beta1 = 0.9;       ///< adam, adamw, adamax: decay of the first moment
  double beta2 = 0.999;     ///< adam, adamw: decay of the second moment; adamax: of the infinity norm
  double epsilon = 1e-8;    ///< added to the denominator; not for sgd
  double smoothing = 0.99;  ///< rmsprop: decay of the squared gradient
  double momentum = 0;      ///< sgd, rmsprop
};

/// Parameters that are updated together.
constexpr std::int64_t optimiser_chunk = 512;

/// adam (Kingma & Ba 2015), adamw (Loshchilov & Hutter 2019), rmsprop (Hinton 2012), sgd, adamax (Kingma & Ba 2015).
const std::vector<std::string>& optimiser_names();

/// Updates parameters().values() from gradient() with the formulas of PyTorch's optimisers of these names, in one pass
/// over memory: torch::optim itself makes ten, which took 8 times as long and 15 % of an epoch of a network with
/// 150,000 parameters. Every rank has its own copy and makes the same update. Not collective.
class Optimiser {
 public:
  /// `parameters` must outlive the optimiser. Throws UserError for an unknown name.
  Optimiser(nn::FlatParameters& parameters, const OptimiserOptions& options);
  /// Only for the parameters `own`, whose first one is a multiple of optimiser_chunk: a shard, with moments of its own
  /// only. Has the bits of an optimiser of all parameters.
  Optimiser(nn::FlatParameters& parameters, const OptimiserOptions& options, Range own);

  /// One update with learning rate `rate`.
  void step(double rate);

  const Range& own() const { return own_; }
  /// Copies of the moments ([own().count], type of the parameters, under PyTorch's names) and of the step counter
  /// `step`
  /// ([1], int64).
  std::map<std::string, at::Tensor> state() const;
  /// Continues bit for bit from what state() gave. Throws UserError, and changes nothing, when the state is of another
  /// method or network.
  void restore(const std::map<std::string, at::Tensor>& state);

 private:
  nn::FlatParameters& parameters_;
  OptimiserOptions options_;
  Range own_;
  std::vector<std::string> names_;   // of the moments
  std::vector<at::Tensor> moments_;  // [own_.count] each
  std::int64_t steps_ = 0;
};

/// |theta_bar|_2 of the whole gradient.
double gradient_norm(const nn::FlatParameters& parameters);

/// theta_bar *= min(1, limit / (norm + 1e-6)), as torch's clip_grad_norm_; `norm` is gradient_norm().
void clip_gradient(nn::FlatParameters& parameters, double norm, double limit);

}  // namespace espalier::train
