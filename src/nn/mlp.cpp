#include "espalier/nn/mlp.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/utils.h>

#include <cmath>
#include <map>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

constexpr double leaky_slope = 0.01;

const std::vector<std::string> activation_names = {"relu", "leaky_relu", "tanh", "elu", "identity"};
const std::vector<std::string> initialisation_names = {"normal", "uniform", "xavier", "kaiming"};
const std::vector<std::string> precision_names = {"double", "float"};

// z <- s(z), in place.
void activate(Activation activation, at::Tensor& z) {
  switch (activation) {
    case Activation::relu:
      z.relu_();
      break;
    case Activation::leaky_relu:
      at::leaky_relu_(z, leaky_slope);
      break;
    case Activation::tanh:
      z.tanh_();
      break;
    case Activation::elu:
      at::elu_(z);
      break;
    case Activation::identity:
      break;
  }
}

// delta <- delta * s'(z), in place, with s' expressed by the activation a = s(z).
void scale_by_slope(Activation activation, at::Tensor& delta, const at::Tensor& a) {
  switch (activation) {
    case Activation::relu:
      at::threshold_backward_out(delta, delta, a, 0);
      break;
    case Activation::leaky_relu:
      delta.copy_(at::leaky_relu_backward(delta, a, leaky_slope, true));
      break;
    case Activation::tanh:
      at::tanh_backward_out(delta, delta, a);
      break;
    case Activation::elu:
      delta.copy_(at::elu_backward(delta, 1, 1, 1, true, a));
      break;
    case Activation::identity:
      break;
  }
}

at::Tensor initial_weight(const MlpSettings& settings, std::int64_t rows, std::int64_t columns,
                          at::Generator& generator) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const double fan_in = static_cast<double>(columns);
  const double fan_out = static_cast<double>(rows);
  at::Tensor weight = at::empty({rows, columns}, options);
  switch (settings.initialisation) {
    case Initialisation::normal:
      weight.normal_(0, settings.initial_std, generator);
      break;
    case Initialisation::uniform:
      weight.uniform_(-1 / std::sqrt(fan_in), 1 / std::sqrt(fan_in), generator);
      break;
    case Initialisation::xavier: {
      const double bound = std::sqrt(6 / (fan_in + fan_out));
      weight.uniform_(-bound, bound, generator);
      break;
    }
    case Initialisation::kaiming:
      weight.normal_(0, std::sqrt(2 / fan_in), generator);
      break;
  }
  return weight;
}

at::Tensor initial_bias(const MlpSettings& settings, std::int64_t rows, std::int64_t columns,
                        at::Generator& generator) {
  at::Tensor bias = at::zeros({rows}, at::TensorOptions().dtype(at::kDouble));
  const double bound = 1 / std::sqrt(static_cast<double>(columns));
  if (settings.initialisation == Initialisation::uniform) bias.uniform_(-bound, bound, generator);
  return bias;
}

}  // namespace

void MlpSettings::read(MPI_Comm comm) {
  core::read_options(comm, "Network", [&](core::OptionReader& o) {
    std::vector<PetscInt> hidden(widths.begin() + 1, widths.end() - 1);
    hidden = o.integers("-network_widths", "widths of the hidden layers, such as 200,200,200,200", hidden, 1);
    std::vector<std::int64_t> all = {widths.front()};
    all.insert(all.end(), hidden.begin(), hidden.end());
    all.push_back(widths.back());
    widths = all;
    activation = static_cast<Activation>(o.choice("-network_activation", "activation of the hidden layers",
                                                  activation_names, static_cast<std::size_t>(activation)));
    initialisation =
        static_cast<Initialisation>(o.choice("-network_init", "distribution of the initial weights",
                                             initialisation_names, static_cast<std::size_t>(initialisation)));
    initial_std = o.positive("-network_init_std", "standard deviation of -network_init normal", initial_std);
    single_precision = o.choice("-network_precision", "precision of the network under the double solver",
                                precision_names, single_precision ? 1 : 0) == 1;
    seed = static_cast<std::uint64_t>(
        o.integer("-network_seed", "seed of the initial parameters", static_cast<PetscInt>(seed), 0));
  });
}

// Buffers that tapes hand back when they go, and the ones that a backward pass uses: no allocation in a step.
struct Mlp::Workspace {
  using Activations = std::vector<at::Tensor>;
  std::map<std::int64_t, std::vector<Activations>> free;   // by number of samples
  std::map<std::int64_t, std::vector<at::Tensor>> deltas;  // layer outputs' cotangents, by number of samples
  const void* deltas_owner = nullptr;                      // the tape whose cotangents `deltas` holds

  // Batches of another size come rarely; their buffers would add to what is kept on purpose.
  void forget_other_sizes(std::int64_t samples) {
    const auto other = [&](const auto& entry) { return entry.first != samples; };
    for (auto it = free.begin(); it != free.end();) it = other(*it) ? free.erase(it) : std::next(it);
    const std::size_t before = deltas.size();
    for (auto it = deltas.begin(); it != deltas.end();) it = other(*it) ? deltas.erase(it) : std::next(it);
    if (deltas.size() != before) deltas_owner = nullptr;
  }
};

/// Activations a_0 = u, a_1, ..., a_(L-1) of one evaluation.
class MlpTape : public Tape {
 public:
  MlpTape(Mlp& network, std::vector<at::Tensor> activations)
      : network_(&network), activations_(std::move(activations)) {}
  ~MlpTape() override {
    auto& workspace = *network_->workspace_;
    if (workspace.deltas_owner == this) workspace.deltas_owner = nullptr;
    const std::int64_t samples = activations_.front().size(0);
    const auto pool = workspace.free.find(samples);
    if (pool != workspace.free.end()) pool->second.push_back(std::move(activations_));
  }

  const at::Tensor& input() const override { return activations_.front(); }

  // delta_L = w;  delta_(l-1) = (delta_l W_l) * s'(z_(l-1));  u_bar = delta_1 W_1.
  void vjp(const at::Tensor& w, const at::Tensor& u_bar) override {
    const torch::NoGradGuard no_grad;
    auto& delta = deltas();
    const std::size_t layers = network_->layers();
    delta[layers - 1].copy_(w);
    for (std::size_t l = layers - 1; l > 0; --l) {
      at::mm_out(delta[l - 1], delta[l], network_->weight(l));
      scale_by_slope(network_->settings_.activation, delta[l - 1], activations_[l]);
    }
    if (network_->settings_.single_precision) {
      u_bar.copy_(delta[0].mm(network_->weight(0)));
    } else {
      at::Tensor out = u_bar;
      at::mm_out(out, delta[0], network_->weight(0));
    }
    network_->workspace_->deltas_owner = this;
  }

  // W_l_bar += alpha delta_l^T a_(l-1);  b_l_bar += alpha delta_l^T 1.
  void accumulate(double alpha) override {
    ESPALIER_ASSERT(network_->workspace_->deltas_owner == this, "accumulate() needs the cotangents of its own vjp()");
    const torch::NoGradGuard no_grad;
    auto& delta = deltas();
    const auto& gradients = network_->parameters_.gradients();
    for (std::size_t l = 0; l < network_->layers(); ++l) {
      at::Tensor weight_bar = gradients[2 * l];
      at::Tensor bias_bar = gradients[2 * l + 1];
      weight_bar.addmm_(delta[l].t(), activations_[l], 1, alpha);
      bias_bar.add_(delta[l].sum(0), alpha);
    }
  }

  // a_l_tan = s'(z_l) * (a_(l-1)_tan W_l^T).
  void jvp(const at::Tensor& v, const at::Tensor& y) override {
    const torch::NoGradGuard no_grad;
    const std::size_t layers = network_->layers();
    at::Tensor tangent = v.to(activations_[0].scalar_type());
    for (std::size_t l = 0; l < layers; ++l) {
      tangent = tangent.mm(network_->weight(l).t());
      if (l + 1 < layers) scale_by_slope(network_->settings_.activation, tangent, activations_[l + 1]);
    }
    y.copy_(tangent);
  }

 private:
  std::vector<at::Tensor>& deltas() {
    const std::int64_t samples = activations_.front().size(0);
    auto& buffers = network_->workspace_->deltas[samples];
    if (buffers.empty())
      for (std::size_t l = 0; l < network_->layers(); ++l)
        buffers.push_back(at::empty({samples, network_->settings_.widths[l + 1]}, activations_.front().options()));
    return buffers;
  }

  Mlp* network_;
  std::vector<at::Tensor> activations_;
};

Mlp::Mlp(const MlpSettings& settings) : settings_(settings), workspace_(std::make_unique<Workspace>()) {
  ESPALIER_REQUIRE(settings_.widths.size() >= 2, "an MLP needs at least its numbers of inputs and outputs as widths");
  for (const auto width : settings_.widths)
    ESPALIER_REQUIRE(width > 0, "the width " + std::to_string(width) + " of an MLP's layer must be positive");
  at::Generator generator = at::detail::createCPUGenerator(settings_.seed);
  const auto type = settings_.single_precision ? at::kFloat : at::kDouble;
  std::vector<at::Tensor> leaves;
  for (std::size_t l = 0; l + 1 < settings_.widths.size(); ++l) {
    const std::int64_t columns = settings_.widths[l];
    const std::int64_t rows = settings_.widths[l + 1];
    // Drawn in double and rounded, so that both precisions start from the same network.
    leaves.push_back(initial_weight(settings_, rows, columns, generator).to(type).requires_grad_(true));
    leaves.push_back(initial_bias(settings_, rows, columns, generator).to(type).requires_grad_(true));
  }
  parameters_ = FlatParameters(std::move(leaves));
}

Mlp::~Mlp() = default;

std::unique_ptr<Tape> Mlp::record(double /*t*/, const at::Tensor& u, const at::Tensor& y) {
  const torch::NoGradGuard no_grad;
  const std::int64_t samples = u.size(0);
  workspace_->forget_other_sizes(samples);
  auto& free = workspace_->free[samples];
  std::vector<at::Tensor> a;
  if (!free.empty()) {
    a = std::move(free.back());
    free.pop_back();
  } else {
    for (std::size_t l = 0; l < layers(); ++l)
      a.push_back(at::empty({samples, settings_.widths[l]}, parameters_.values().options()));
  }
  // a_0 = u;  a_l = s(a_(l-1) W_l^T + b_l);  y = a_(L-1) W_L^T + b_L.
  a[0].copy_(u);
  for (std::size_t l = 0; l + 1 < layers(); ++l) {
    at::addmm_out(a[l + 1], bias(l), a[l], weight(l).t());
    activate(settings_.activation, a[l + 1]);
  }
  const std::size_t last = layers() - 1;
  if (settings_.single_precision) {
    y.copy_(at::addmm(bias(last), a[last], weight(last).t()));
  } else {
    at::Tensor out = y;
    at::addmm_out(out, bias(last), a[last], weight(last).t());
  }
  return std::make_unique<MlpTape>(*this, std::move(a));
}

void Mlp::forward(double t, const at::Tensor& u, const at::Tensor& y) {
  // The buffers go back to the pool at once: a recorded evaluation costs no more than an unrecorded one.
  record(t, u, y);
}

at::Tensor Mlp::evaluate(const at::Tensor& u) const {
  at::Tensor a = u.to(parameters_.values().scalar_type());
  for (std::size_t l = 0; l < layers(); ++l) {
    a = at::addmm(bias(l), a, weight(l).t());
    if (l + 1 == layers()) break;
    switch (settings_.activation) {
      case Activation::relu:
        a = a.relu();
        break;
      case Activation::leaky_relu:
        a = at::leaky_relu(a, leaky_slope);
        break;
      case Activation::tanh:
        a = a.tanh();
        break;
      case Activation::elu:
        a = at::elu(a);
        break;
      case Activation::identity:
        break;
    }
  }
  return a;
}

std::size_t Mlp::tape_bytes(std::int64_t samples) const {
  std::int64_t entries = 0;
  for (std::size_t l = 0; l < layers(); ++l) entries += samples * settings_.widths[l];
  return static_cast<std::size_t>(entries) * parameters_.values().element_size();
}

std::string Mlp::fingerprint() const {
  std::vector<std::string> widths;
  for (const auto width : settings_.widths) widths.push_back(std::to_string(width));
  return "mlp " + core::join(widths, "/") + " " + activation_names[static_cast<std::size_t>(settings_.activation)] +
         " " + precision_names[settings_.single_precision ? 1 : 0];
}

}  // namespace espalier::nn
