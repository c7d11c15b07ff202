#include "espalier/nn/positive_network.hpp"

#include <torch/types.h>

#include <sstream>

#include "espalier/core/error.hpp"

namespace espalier::nn {

PositiveNetwork::PositiveNetwork(const PositiveNetworkSettings& settings) : settings_(settings), mlp_(settings.mlp) {
  ESPALIER_REQUIRE(mlp_.inputs() == 1 && mlp_.outputs() == 1,
                   "a function of one number needs a network with one input and one output");
  ESPALIER_REQUIRE(settings_.half_width > 0 && settings_.scale > 0,
                   "the range of a function and the scale of its values must be positive");
  // Views of the MLP's buffers, which stays their owner.
  adopt(FlatParameters::joined({&mlp_.parameters()}));
}

at::Tensor PositiveNetwork::positive(const at::Tensor& x) const {
  return at::softplus(mlp_.evaluate((x - settings_.centre) / settings_.half_width));
}

at::Tensor PositiveNetwork::evaluate(double /*t*/, const at::Tensor& x) {
  const at::Tensor y = settings_.scale * positive(x);
  return settings_.unit_at ? y / positive(at::full({1, 1}, *settings_.unit_at, x.options())) : y;
}

std::string PositiveNetwork::fingerprint() const {
  std::ostringstream text;
  text << "softplus of " << mlp_.fingerprint() << " of (x - " << settings_.centre << ") / " << settings_.half_width
       << ", scale " << settings_.scale;
  if (settings_.unit_at) text << ", exact at " << *settings_.unit_at;
  return text.str();
}

KnownFunction::KnownFunction(std::string name, Formula formula) : name_(std::move(name)), formula_(std::move(formula)) {
  adopt({at::empty({0}, at::kDouble)});
}

at::Tensor values_of(Network& function, const at::Tensor& x) {
  const at::Tensor column = x.to(at::kDouble).reshape({-1, 1}).contiguous();
  const at::Tensor y = at::empty_like(column);
  function.forward(0, column, y);
  return y.view(x.sizes());
}

}  // namespace espalier::nn
