#include "espalier/train/optimiser.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "adamax.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"

namespace espalier::train {

namespace {

using StateMap = std::map<std::string, at::Tensor>;
namespace optim = torch::optim;

// What the state of each method consists of: tensors by name, and the number of steps (SGD counts none).
template <class Visitor>
void visit(optim::AdamParamState& state, const Visitor& tensor) {
  tensor("exp_avg", state.exp_avg());
  tensor("exp_avg_sq", state.exp_avg_sq());
}
template <class Visitor>
void visit(optim::AdamWParamState& state, const Visitor& tensor) {
  tensor("exp_avg", state.exp_avg());
  tensor("exp_avg_sq", state.exp_avg_sq());
}
template <class Visitor>
void visit(optim::RMSpropParamState& state, const Visitor& tensor) {
  tensor("square_avg", state.square_avg());
  tensor("momentum_buffer", state.momentum_buffer());
}
template <class Visitor>
void visit(optim::SGDParamState& state, const Visitor& tensor) {
  tensor("momentum_buffer", state.momentum_buffer());
}
template <class Visitor>
void visit(AdamaxParamState& state, const Visitor& tensor) {
  tensor("exp_avg", state.exp_avg());
  tensor("exp_inf", state.exp_inf());
}

template <class State>
std::int64_t* steps_of(State& state) {
  return &state.step();
}
std::int64_t* steps_of(optim::SGDParamState&) { return nullptr; }

at::Tensor saved_entry(const StateMap& saved, const std::string& name, at::ScalarType type, std::int64_t count) {
  const auto found = saved.find(name);
  ESPALIER_REQUIRE(found != saved.end(), "the saved state of the optimiser has no entry '" + name +
                                             "': it was written with another -train_optimizer or -train_momentum");
  ESPALIER_REQUIRE(found->second.numel() == count && found->second.scalar_type() == type,
                   "the saved state '" + name + "' of the optimiser has another size or type than this network");
  return found->second;
}

}  // namespace

/// One of torch's optimisers with access to its state.
struct Optimiser::Method {
  explicit Method(std::unique_ptr<optim::Optimizer> made) : optimizer(std::move(made)) {}
  virtual ~Method() = default;
  Method(const Method&) = delete;
  Method& operator=(const Method&) = delete;
  virtual StateMap state() const = 0;
  virtual void restore(const StateMap& saved, const at::Tensor& values) = 0;

  std::unique_ptr<optim::Optimizer> optimizer;
};

namespace {

template <class State, class Base>
class MethodWith : public Base {
 public:
  MethodWith(std::unique_ptr<optim::Optimizer> made, bool momentum) : Base(std::move(made)), momentum_(momentum) {}

  StateMap state() const override {
    StateMap map;
    for (const auto& entry : this->optimizer->state()) {
      auto& state = static_cast<State&>(*entry.second);
      visit(state, [&](const char* name, const at::Tensor& tensor) {
        if (tensor.defined()) map[name] = tensor.clone();
      });
      if (const auto* steps = steps_of(state)) map["step"] = torch::full({1}, *steps, torch::kInt64);
    }
    return map;
  }

  void restore(const StateMap& saved, const at::Tensor& values) override {
    if (saved.empty()) {
      this->optimizer->state().clear();
      return;
    }
    auto state = std::make_unique<State>();
    std::size_t used = 0;
    visit(*state, [&](const std::string& name, at::Tensor& tensor) {
      if (name == "momentum_buffer" && !momentum_) return;
      tensor = saved_entry(saved, name, values.scalar_type(), values.numel()).clone();
      ++used;
    });
    if (auto* steps = steps_of(*state)) {
      *steps = saved_entry(saved, "step", at::kLong, 1).item<std::int64_t>();
      ++used;
    }
    ESPALIER_REQUIRE(used == saved.size(),
                     "the saved state of the optimiser has entries that this one does not know: "
                     "it was written with another -train_optimizer or -train_momentum");
    // The key that torch's own optimisers look up.
    this->optimizer->state()[c10::guts::to_string(values.unsafeGetTensorImpl())] = std::move(state);
  }

 private:
  bool momentum_;
};

}  // namespace

const std::vector<std::string>& optimiser_names() {
  static const std::vector<std::string> names = {"adam", "adamw", "rmsprop", "sgd", "adamax"};
  return names;
}

Optimiser::Optimiser(nn::FlatParameters& parameters, const OptimiserOptions& o) : parameters_(parameters) {
  const std::vector<at::Tensor> values = {parameters.values()};
  const auto betas = std::make_tuple(o.beta1, o.beta2);
  const auto make = [&](auto* state, std::unique_ptr<optim::Optimizer> made) {
    using State = std::remove_pointer_t<decltype(state)>;
    method_ = std::make_unique<MethodWith<State, Method>>(std::move(made), o.momentum > 0);
  };
  if (o.name == "adam") {
    const auto options = optim::AdamOptions().betas(betas).eps(o.epsilon).weight_decay(o.weight_decay);
    make(static_cast<optim::AdamParamState*>(nullptr), std::make_unique<optim::Adam>(values, options));
  } else if (o.name == "adamw") {
    const auto options = optim::AdamWOptions().betas(betas).eps(o.epsilon).weight_decay(o.weight_decay);
    make(static_cast<optim::AdamWParamState*>(nullptr), std::make_unique<optim::AdamW>(values, options));
  } else if (o.name == "rmsprop") {
    const auto options =
        optim::RMSpropOptions().alpha(o.smoothing).eps(o.epsilon).weight_decay(o.weight_decay).momentum(o.momentum);
    make(static_cast<optim::RMSpropParamState*>(nullptr), std::make_unique<optim::RMSprop>(values, options));
  } else if (o.name == "sgd") {
    const auto options = optim::SGDOptions(0).momentum(o.momentum).weight_decay(o.weight_decay);
    make(static_cast<optim::SGDParamState*>(nullptr), std::make_unique<optim::SGD>(values, options));
  } else if (o.name == "adamax") {
    AdamaxOptions options;
    options.beta1 = o.beta1;
    options.beta2 = o.beta2;
    options.eps = o.epsilon;
    options.weight_decay = o.weight_decay;
    make(static_cast<AdamaxParamState*>(nullptr), std::make_unique<Adamax>(values, options));
  }
  ESPALIER_REQUIRE(method_, "optimiser '" + o.name + "' is unknown; choose one of: " + core::join(optimiser_names()));
}

Optimiser::~Optimiser() = default;

void Optimiser::step(double rate) {
  const core::EventScope event(core::Event::optimiser);
  method_->optimizer->param_groups().front().options().set_lr(rate);
  method_->optimizer->step();
  parameters_.mark_changed();
}

std::map<std::string, at::Tensor> Optimiser::state() const { return method_->state(); }

void Optimiser::restore(const std::map<std::string, at::Tensor>& state) {
  method_->restore(state, parameters_.values());
}

double gradient_norm(const nn::FlatParameters& parameters) {
  // Squares of float32 overflow long before the norm does.
  return torch::norm(parameters.gradient(), 2, torch::kFloat64).item<double>();
}

void clip_gradient(nn::FlatParameters& parameters, double norm, double limit) {
  // theta_bar *= min(1, limit / (norm + 1e-6))
  const double scale = limit / (norm + 1e-6);
  if (scale < 1) parameters.gradient().mul_(scale);
}

}  // namespace espalier::train
