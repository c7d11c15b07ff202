// Multilayer perceptron with hand-written derivatives: activations kept, weight gradients accumulated inside the GEMM.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/nn/network.hpp"

namespace espalier::nn {

enum class Activation { relu, leaky_relu, tanh, elu, identity };
enum class Initialisation {
  normal,   ///< weights N(0, std^2), biases 0
  uniform,  ///< weights and biases U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's default for linear layers
  xavier,   ///< weights U(-a, a), a = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010), biases 0
  kaiming,  ///< weights N(0, 2 / fan_in) (He et al. 2015), biases 0
};

struct MlpSettings {
  std::vector<std::int64_t> widths;  ///< inputs, hidden layers, outputs
  Activation activation = Activation::relu;
  Initialisation initialisation = Initialisation::uniform;
  double initial_std = 0.1;  ///< of Initialisation::normal
  bool single_precision = false;
  std::uint64_t seed = 0;

  /// Reads -network_widths (hidden), -network_activation, -network_init, -network_init_std, -network_precision and
  /// -network_seed; what the structure holds before is the default. Collective on `comm`.
  void read(MPI_Comm comm);
};

/// y = W_L s(... s(W_1 u + b_1) ...) + b_L, linear last layer. Parameters in the order W_1, b_1, W_2, ...; W_l is
/// [width_l, width_(l-1)]. The same seed gives the same parameters on every rank, up to rounding in both precisions.
class Mlp : public Network {
 public:
  explicit Mlp(const MlpSettings& settings);
  ~Mlp() override;

  std::int64_t inputs() const override { return settings_.widths.front(); }
  std::int64_t outputs() const override { return settings_.widths.back(); }
  void forward(double t, const at::Tensor& u, const at::Tensor& y) override;
  std::unique_ptr<Tape> record(double t, const at::Tensor& u, const at::Tensor& y) override;
  std::size_t tape_bytes(std::int64_t samples) const override;
  FlatParameters& parameters() override { return parameters_; }
  std::string fingerprint() const override;

  /// The same function in torch operations, for composition with other layers and as a reference in tests.
  at::Tensor evaluate(const at::Tensor& u) const;

 private:
  friend class MlpTape;
  struct Workspace;

  std::size_t layers() const { return settings_.widths.size() - 1; }
  const at::Tensor& weight(std::size_t layer) const { return parameters_.tensors()[2 * layer]; }
  const at::Tensor& bias(std::size_t layer) const { return parameters_.tensors()[2 * layer + 1]; }

  MlpSettings settings_;
  FlatParameters parameters_;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace espalier::nn
