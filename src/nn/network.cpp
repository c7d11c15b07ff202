#include "espalier/nn/network.hpp"

#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <vector>

namespace espalier::nn {

namespace {

class AutogradTape : public Tape {
 public:
  AutogradTape(at::Tensor u, at::Tensor y, FlatParameters& parameters)
      : u_(std::move(u)), y_(std::move(y)), parameters_(&parameters) {}

  const at::Tensor& input() const override { return u_; }

  void vjp(const at::Tensor& w, const at::Tensor& u_bar) override {
    theta_bar_.assign(parameters_->tensors().size(), at::Tensor());
    if (!y_.requires_grad()) {
      u_bar.zero_();
      return;
    }
    std::vector<at::Tensor> with_respect_to = {u_};
    for (const auto& theta : parameters_->tensors())
      if (theta.requires_grad()) with_respect_to.push_back(theta);
    const auto weights = w.to(y_.scalar_type());
    // y may not depend on some of them: then their cotangent is undefined, which means zero.
    const auto cotangents = torch::autograd::grad({y_}, with_respect_to, {weights}, true, false, true);
    const torch::NoGradGuard no_grad;
    copy_or_zero(cotangents[0], u_bar);
    auto next = cotangents.begin() + 1;
    for (std::size_t i = 0; i < theta_bar_.size(); ++i)
      if (parameters_->tensors()[i].requires_grad()) theta_bar_[i] = *next++;
  }

  void accumulate(double alpha) override {
    const torch::NoGradGuard no_grad;
    const auto& gradients = parameters_->gradients();
    for (std::size_t i = 0; i < theta_bar_.size(); ++i)
      if (theta_bar_[i].defined()) at::Tensor(gradients[i]).add_(theta_bar_[i], alpha);
  }

  // J v is the derivative of J^T w, linear in w, with respect to w.
  void jvp(const at::Tensor& v, const at::Tensor& y) override {
    const torch::AutoGradMode with_grad(true);
    at::Tensor pulled;
    at::Tensor pushed;
    const auto w = torch::zeros_like(y_).requires_grad_(true);
    if (y_.requires_grad()) pulled = torch::autograd::grad({y_}, {u_}, {w}, true, true, true)[0];
    if (pulled.defined()) pushed = torch::autograd::grad({pulled}, {w}, {v.to(y_.scalar_type())}, true, false, true)[0];
    const torch::NoGradGuard no_grad;
    copy_or_zero(pushed, y);
  }

 private:
  static void copy_or_zero(const at::Tensor& from, const at::Tensor& to) {
    if (from.defined()) {
      to.copy_(from);
    } else {
      to.zero_();
    }
  }

  at::Tensor u_;
  at::Tensor y_;
  FlatParameters* parameters_;
  std::vector<at::Tensor> theta_bar_;
};

}  // namespace

void AutogradNetwork::forward(double t, const at::Tensor& u, const at::Tensor& y) {
  const torch::NoGradGuard no_grad;
  y.copy_(evaluate(t, u.to(parameters().values().scalar_type())));
}

std::unique_ptr<Tape> AutogradNetwork::record(double t, const at::Tensor& u, const at::Tensor& y) {
  const torch::AutoGradMode with_grad(true);
  // A copy: u is a view of solver memory that changes before the tape is read.
  auto leaf = u.detach().to(parameters().values().scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  leaf.requires_grad_(true);
  auto value = evaluate(t, leaf);
  y.detach().copy_(value.detach());
  return std::make_unique<AutogradTape>(std::move(leaf), std::move(value), parameters());
}

}  // namespace espalier::nn
