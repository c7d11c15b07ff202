#include "espalier/nn/network.hpp"

#include <torch/torch.h>

#include <vector>

namespace espalier::nn {

namespace {

class AutogradTape : public Tape {
 public:
  AutogradTape(at::Tensor u, at::Tensor y, FlatParameters& parameters)
      : u_(std::move(u)), y_(std::move(y)), parameters_(&parameters) {}

  const at::Tensor& input() const override { return u_; }

  void vjp(const at::Tensor& w, const at::Tensor& u_bar) override {
    std::vector<at::Tensor> with_respect_to = {u_};
    for (const auto& theta : parameters_->tensors()) with_respect_to.push_back(theta);
    const auto weights = w.to(y_.scalar_type());
    // y may not depend on some of them: then their cotangent is undefined, which means zero.
    const auto cotangents = torch::autograd::grad({y_}, with_respect_to, {weights}, true, false, true);
    const torch::NoGradGuard no_grad;
    if (cotangents[0].defined()) {
      u_bar.copy_(cotangents[0]);
    } else {
      u_bar.zero_();
    }
    theta_bar_.assign(cotangents.begin() + 1, cotangents.end());
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
    const auto w = torch::zeros_like(y_).requires_grad_(true);
    const auto pulled = torch::autograd::grad({y_}, {u_}, {w}, true, true)[0];
    const auto pushed = torch::autograd::grad({pulled}, {w}, {v.to(y_.scalar_type())}, true, false, true)[0];
    const torch::NoGradGuard no_grad;
    if (pushed.defined()) {
      y.copy_(pushed);
    } else {
      y.zero_();
    }
  }

 private:
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
