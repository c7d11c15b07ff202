// The objective of a model that is written as a function in torch's graph: chains of networks and solvers.
#pragma once

#include <torch/types.h>

#include <functional>
#include <utility>

#include "espalier/train/objective.hpp"

namespace espalier::train {

/// What the objective needs to know of the model.
struct Chain {
  /// The states that targets are given for, [n, intervals, dof], from u0 [n, dof]; in torch's graph where grad mode is
  /// on. Collective.
  std::function<at::Tensor(const at::Tensor& u0, std::int64_t intervals)> states;
  std::function<Counters()> counters = [] { return Counters(); };
  std::function<double()> checkpoint_bytes = [] { return 0.0; };
};

/// The squared error of a chain and, by torch's backward pass through it, its gradient.
class ChainObjective : public Objective {
 public:
  /// `parameters` must outlive the objective.
  ChainObjective(nn::FlatParameters& parameters, Chain chain) : parameters_(parameters), chain_(std::move(chain)) {}

  double sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) override;
  double sum(const at::Tensor& u0, const at::Tensor& targets) override;
  nn::FlatParameters& parameters() override { return parameters_; }
  Counters counters() const override { return chain_.counters(); }
  double checkpoint_bytes() const override { return checkpoint_bytes_; }

 private:
  nn::FlatParameters& parameters_;
  Chain chain_;
  double checkpoint_bytes_ = 0;
};

}  // namespace espalier::train
