#include "espalier/train/optimiser.hpp"

#include <torch/types.h>

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"

namespace espalier::train {

namespace {

// Elements that are updated together: the operands of a chunk stay in the first-level cache between its lines.
constexpr std::int64_t chunk_length = optimiser_chunk;

template <class T>
using Slice = Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>;
template <class T>
using Chunk = Eigen::Array<T, Eigen::Dynamic, 1, Eigen::ColMajor, chunk_length, 1>;

// The moments of each method under PyTorch's names, in the order in which Step takes them.
std::vector<std::string> moments_of(const OptimiserOptions& o) {
  if (o.name == "adam" || o.name == "adamw") return {"exp_avg", "exp_avg_sq"};
  if (o.name == "adamax") return {"exp_avg", "exp_inf"};
  std::vector<std::string> names;
  if (o.name == "rmsprop") names.emplace_back("square_avg");
  if (o.momentum > 0) names.emplace_back("momentum_buffer");
  return names;
}

// One step, applied chunk by chunk: theta, g and the moments are slices of the same elements.
template <class T>
class Step {
 public:
  // t counts the steps from 1.
  Step(const OptimiserOptions& options, double lr, std::int64_t t)
      : o_(options),
        lr_(lr),
        bias1_(1 - std::pow(options.beta1, static_cast<double>(t))),
        bias2_(1 - std::pow(options.beta2, static_cast<double>(t))),
        decoupled_(options.name == "adamw"),
        adam_(decoupled_ || options.name == "adam"),
        adamax_(options.name == "adamax"),
        rmsprop_(options.name == "rmsprop") {}

  void update(Slice<T> theta, const Slice<T>& gradient, std::array<Slice<T>, 2> m) const {
    // g = gradient + weight_decay theta; decoupled: theta (1 - lr weight_decay)
    Chunk<T> g = gradient;
    if (decoupled_) {
      theta *= T(1 - lr_ * o_.weight_decay);
    } else if (o_.weight_decay != 0) {
      g += T(o_.weight_decay) * theta;
    }
    if (adam_) return adam(theta, g, m[0], m[1]);
    if (adamax_) return adamax(theta, g, m[0], m[1]);
    if (rmsprop_) divide_by_root_mean_square(g, m[0]);
    if (o_.momentum > 0) {
      // b = momentum b + g
      Slice<T>& b = m[rmsprop_ ? 1 : 0];
      b = T(o_.momentum) * b + g;
      theta -= T(lr_) * b;
    } else {
      theta -= T(lr_) * g;
    }
  }

 private:
  void adam(Slice<T>& theta, const Chunk<T>& g, Slice<T>& m, Slice<T>& v) const {
    // m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
    m = T(o_.beta1) * m + T(1 - o_.beta1) * g;
    v = T(o_.beta2) * v + T(1 - o_.beta2) * g.square();
    // theta -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
    theta -= T(lr_ / bias1_) * m / (v.sqrt() * T(1 / std::sqrt(bias2_)) + T(o_.epsilon));
  }

  void adamax(Slice<T>& theta, const Chunk<T>& g, Slice<T>& m, Slice<T>& u) const {
    // m = beta1 m + (1 - beta1) g,  u = max(beta2 u, |g| + eps)
    m = T(o_.beta1) * m + T(1 - o_.beta1) * g;
    u = (T(o_.beta2) * u).max(g.abs() + T(o_.epsilon));
    // theta -= lr / (1 - beta1^t) m / u
    theta -= T(lr_ / bias1_) * m / u;
  }

  void divide_by_root_mean_square(Chunk<T>& g, Slice<T>& v) const {
    // v = smoothing v + (1 - smoothing) g^2,  g / (sqrt(v) + eps)
    v = T(o_.smoothing) * v + T(1 - o_.smoothing) * g.square();
    g /= v.sqrt() + T(o_.epsilon);
  }

  const OptimiserOptions& o_;
  double lr_;
  double bias1_;  // 1 - beta1^t
  double bias2_;  // 1 - beta2^t
  bool decoupled_;
  bool adam_;
  bool adamax_;
  bool rmsprop_;
};

template <class T>
void update_all(nn::FlatParameters& parameters, Range own, const std::vector<at::Tensor>& moments,
                const Step<T>& step) {
  const std::int64_t count = own.count;
  auto* theta = parameters.values().data_ptr<T>() + own.first;
  auto* g = parameters.gradient().data_ptr<T>() + own.first;
  const auto moment = [&](std::size_t i) { return i < moments.size() ? moments[i].data_ptr<T>() : nullptr; };
  const std::array<T*, 2> m = {moment(0), moment(1)};
  for (std::int64_t first = 0; first < count; first += chunk_length) {
    const std::int64_t n = std::min(chunk_length, count - first);
    const auto slice = [&](T* data) {
      return Slice<T>(data == nullptr ? nullptr : data + first, data == nullptr ? 0 : n);
    };
    step.update(slice(theta), slice(g), {slice(m[0]), slice(m[1])});
  }
}

template <class T>
double norm_of(const at::Tensor& tensor) {
  // Squares of float32 overflow long before the norm does: sum in double.
  const Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>> x(tensor.data_ptr<T>(), tensor.numel());
  return x.template cast<double>().norm();
}

at::Tensor saved_entry(const std::map<std::string, at::Tensor>& saved, const std::string& name, at::ScalarType type,
                       std::int64_t count) {
  const auto found = saved.find(name);
  ESPALIER_REQUIRE(found != saved.end(), "the saved state of the optimiser has no entry '" + name +
                                             "': it was written with another -train_optimizer or -train_momentum");
  ESPALIER_REQUIRE(found->second.numel() == count && found->second.scalar_type() == type,
                   "the saved state '" + name + "' of the optimiser has another size or type than this network");
  return found->second.clone();
}

}  // namespace

const std::vector<std::string>& optimiser_names() {
  static const std::vector<std::string> names = {"adam", "adamw", "rmsprop", "sgd", "adamax"};
  return names;
}

Optimiser::Optimiser(nn::FlatParameters& parameters, const OptimiserOptions& options)
    : Optimiser(parameters, options, {0, parameters.count()}) {}

Optimiser::Optimiser(nn::FlatParameters& parameters, const OptimiserOptions& options, Range own)
    : parameters_(parameters), options_(options), own_(own), names_(moments_of(options)) {
  const auto& known = optimiser_names();
  ESPALIER_REQUIRE(std::find(known.begin(), known.end(), options.name) != known.end(),
                   "optimiser '" + options.name + "' is unknown; choose one of: " + core::join(known));
  const at::ScalarType type = parameters.values().scalar_type();
  ESPALIER_ASSERT(type == at::kDouble || type == at::kFloat, "parameters are float64 or float32");
  for (std::size_t i = 0; i < names_.size(); ++i)
    moments_.push_back(torch::zeros({own.count}, parameters.values().options().requires_grad(false)));
}

void Optimiser::step(double rate) {
  const core::EventScope event(core::Event::optimiser);
  ++steps_;
  if (parameters_.values().scalar_type() == at::kDouble) {
    update_all(parameters_, own_, moments_, Step<double>(options_, rate, steps_));
  } else {
    update_all(parameters_, own_, moments_, Step<float>(options_, rate, steps_));
  }
  parameters_.mark_changed();
}

std::map<std::string, at::Tensor> Optimiser::state() const {
  std::map<std::string, at::Tensor> state;
  for (std::size_t i = 0; i < names_.size(); ++i) state[names_[i]] = moments_[i].clone();
  state["step"] = torch::full({1}, steps_, torch::kInt64);
  return state;
}

void Optimiser::restore(const std::map<std::string, at::Tensor>& state) {
  std::vector<at::Tensor> moments;
  for (const auto& name : names_)
    moments.push_back(saved_entry(state, name, parameters_.values().scalar_type(), own_.count));
  const auto steps = saved_entry(state, "step", at::kLong, 1).item<std::int64_t>();
  ESPALIER_REQUIRE(state.size() == names_.size() + 1,
                   "the saved state of the optimiser has entries that this one does not know: it was written with "
                   "another -train_optimizer or -train_momentum");
  moments_ = std::move(moments);
  steps_ = steps;
}

double gradient_norm(const nn::FlatParameters& parameters) {
  const at::Tensor& gradient = parameters.gradient();
  return gradient.scalar_type() == at::kDouble ? norm_of<double>(gradient) : norm_of<float>(gradient);
}

void clip_gradient(nn::FlatParameters& parameters, double norm, double limit) {
  // theta_bar *= min(1, limit / (norm + 1e-6))
  const double scale = limit / (norm + 1e-6);
  if (scale < 1) parameters.gradient().mul_(scale);
}

}  // namespace espalier::train
