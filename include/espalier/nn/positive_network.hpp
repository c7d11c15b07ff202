// A positive function of one number, learnt pointwise: a material law such as a diffusivity of the porosity.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "espalier/nn/mlp.hpp"
#include "espalier/nn/network.hpp"

namespace espalier::nn {

struct PositiveNetworkSettings {
  MlpSettings mlp;  ///< widths of hidden layers between one input and one output; inputs are made to be of order 1
  double centre = 0.5;
  double half_width = 0.5;        ///< of the range that the argument comes from
  double scale = 1;               ///< s, the order of magnitude of the values
  std::optional<double> unit_at;  ///< where the value is s for all parameters; empty: nowhere
};

/// y = s softplus(m((x - centre) / half_width)), m an Mlp; with unit_at divided by softplus(m) there.
class PositiveNetwork : public AutogradNetwork {
 public:
  /// Throws UserError unless the MLP has one input and one output and the numbers are positive.
  explicit PositiveNetwork(const PositiveNetworkSettings& settings);

  std::int64_t inputs() const override { return 1; }
  std::int64_t outputs() const override { return 1; }
  at::Tensor evaluate(double t, const at::Tensor& x) override;
  std::size_t tape_bytes(std::int64_t samples) const override { return mlp_.tape_bytes(samples); }
  std::string fingerprint() const override;

 private:
  at::Tensor positive(const at::Tensor& x) const;

  PositiveNetworkSettings settings_;
  Mlp mlp_;
};

/// A known function of one number in torch operations, without parameters that are trained.
class KnownFunction : public AutogradNetwork {
 public:
  using Formula = std::function<at::Tensor(const at::Tensor&)>;
  KnownFunction(std::string name, Formula formula);

  std::int64_t inputs() const override { return 1; }
  std::int64_t outputs() const override { return 1; }
  at::Tensor evaluate(double /*t*/, const at::Tensor& x) override { return formula_(x); }
  std::size_t tape_bytes(std::int64_t samples) const override { return static_cast<std::size_t>(samples) * 8; }
  std::string fingerprint() const override { return name_; }

 private:
  std::string name_;
  Formula formula_;
};

/// y at the points x, a tensor of any shape, without record.
at::Tensor values_of(Network& function, const at::Tensor& x);

}  // namespace espalier::nn
