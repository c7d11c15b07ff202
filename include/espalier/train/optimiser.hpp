// First-order optimisers on the flat parameter buffer.
#pragma once

#include <torch/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/nn/flat_parameters.hpp"

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

/// adam (Kingma & Ba 2015), adamw (Loshchilov & Hutter 2019), rmsprop (Hinton 2012), sgd, adamax (Kingma & Ba 2015).
const std::vector<std::string>& optimiser_names();

/// Updates parameters().values() from gradient(); torch::optim on the one flat tensor. Every rank has its own copy and
/// makes the same update. Not collective.
class Optimiser {
 public:
  /// `parameters` must outlive the optimiser. Throws UserError for an unknown name.
  Optimiser(nn::FlatParameters& parameters, const OptimiserOptions& options);
  ~Optimiser();
  Optimiser(const Optimiser&) = delete;
  Optimiser& operator=(const Optimiser&) = delete;

  /// One update with learning rate `rate`.
  void step(double rate);

  /// Copies of the moments ([count], type of the parameters) and of the step counter `step` ([1], int64); empty before
  /// the first step.
  std::map<std::string, at::Tensor> state() const;
  /// Continues bit for bit from what state() gave. Throws UserError when an entry is missing or has another shape.
  void restore(const std::map<std::string, at::Tensor>& state);

 private:
  struct Method;
  nn::FlatParameters& parameters_;
  std::unique_ptr<Method> method_;
};

/// |theta_bar|_2 of the whole gradient.
double gradient_norm(const nn::FlatParameters& parameters);

/// theta_bar *= min(1, limit / (norm + 1e-6)), as torch's clip_grad_norm_; `norm` is gradient_norm().
void clip_gradient(nn::FlatParameters& parameters, double norm, double limit);

}  // namespace espalier::train
