#include "adamax.hpp"

#include <cmath>
#include <memory>
#include <utility>

namespace espalier::train {

namespace {

void update(torch::Tensor& theta, AdamaxParamState& state, const AdamaxOptions& o) {
  if (!state.exp_avg().defined()) {
    state.exp_avg(torch::zeros_like(theta));
    state.exp_inf(torch::zeros_like(theta));
  }
  state.step(state.step() + 1);
  torch::Tensor g = theta.grad();
  // g += weight_decay theta
  if (o.weight_decay != 0) g = g.add(theta, o.weight_decay);
  // m = beta1 m + (1 - beta1) g
  state.exp_avg().mul_(o.beta1).add_(g, 1 - o.beta1);
  // u = max(beta2 u, |g| + eps)
  state.exp_inf().mul_(o.beta2);
  torch::maximum_out(state.exp_inf(), state.exp_inf(), g.abs().add_(o.eps));
  // theta -= lr / (1 - beta1^t) m / u
  const double correction = 1 - std::pow(o.beta1, static_cast<double>(state.step()));
  theta.addcdiv_(state.exp_avg(), state.exp_inf(), -o.lr / correction);
}

}  // namespace

Adamax::Adamax(std::vector<torch::Tensor> parameters, const AdamaxOptions& defaults)
    : Optimizer({torch::optim::OptimizerParamGroup(std::move(parameters))}, std::make_unique<AdamaxOptions>(defaults)) {
}

torch::Tensor Adamax::step(LossClosure closure) {
  torch::NoGradGuard no_grad;
  torch::Tensor loss;
  if (closure) {
    const torch::AutoGradMode enable_grad(true);
    loss = closure();
  }
  for (auto& group : param_groups_) {
    const auto& options = static_cast<const AdamaxOptions&>(group.options());
    for (auto& theta : group.params()) {
      if (!theta.grad().defined()) continue;
      auto& state = state_[c10::guts::to_string(theta.unsafeGetTensorImpl())];
      if (!state) state = std::make_unique<AdamaxParamState>();
      update(theta, static_cast<AdamaxParamState&>(*state), options);
    }
  }
  return loss;
}

}  // namespace espalier::train
