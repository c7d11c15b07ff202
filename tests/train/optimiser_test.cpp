#include <torch/optim.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/nn/flat_parameters.hpp"
#include "espalier/train/optimiser.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;
using espalier::nn::FlatParameters;

namespace {

constexpr std::size_t count = 6;
constexpr double lr = 0.05;

struct Fixture {
  FlatParameters parameters;
  explicit Fixture(at::ScalarType type = torch::kFloat64) {
    std::vector<at::Tensor> tensors = {torch::tensor({{0.3, -0.2}, {1.0, 0.0}}, torch::kFloat64).to(type),
                                       torch::tensor({-0.7, 2.0}, torch::kFloat64).to(type)};
    for (auto& tensor : tensors) tensor.requires_grad_(true);
    parameters = FlatParameters(tensors);
  }
  // A gradient that changes from step to step, with an entry that is always zero.
  void set_gradient(int t) {
    for (std::size_t i = 0; i < count; ++i) parameters.gradient()[static_cast<std::int64_t>(i)] = gradient(i, t);
  }
  static double gradient(std::size_t i, int t) {
    return i == 3 ? 0 : std::sin(1.7 * static_cast<double>(i) + 0.9 * t) * (i == 1 ? 1e-5 : 1);
  }
  double value(std::size_t i) const { return parameters.values()[static_cast<std::int64_t>(i)].item<double>(); }
};

// The textbook formulas, one scalar at a time.
struct Scalar {
  double theta = 0, m = 0, v = 0;
  void step(const OptimiserOptions& o, double g, int t) {
    if (o.name != "adamw") g += o.weight_decay * theta;
    if (o.name == "adam" || o.name == "adamw") {
      if (o.name == "adamw") theta -= lr * o.weight_decay * theta;
      m = o.beta1 * m + (1 - o.beta1) * g;
      v = o.beta2 * v + (1 - o.beta2) * g * g;
      const double m_hat = m / (1 - std::pow(o.beta1, t));
      const double v_hat = v / (1 - std::pow(o.beta2, t));
      theta -= lr * m_hat / (std::sqrt(v_hat) + o.epsilon);
    } else if (o.name == "adamax") {
      m = o.beta1 * m + (1 - o.beta1) * g;
      v = std::max(o.beta2 * v, std::abs(g) + o.epsilon);
      theta -= lr / (1 - std::pow(o.beta1, t)) * m / v;
    } else if (o.name == "rmsprop") {
      v = o.smoothing * v + (1 - o.smoothing) * g * g;
      m = o.momentum * m + g / (std::sqrt(v) + o.epsilon);
      theta -= lr * m;
    } else {
      m = o.momentum * m + g;
      theta -= lr * m;
    }
  }
};

std::vector<OptimiserOptions> all_variants() {
  std::vector<OptimiserOptions> variants;
  for (const auto& name : optimiser_names())
    for (const double decay : {0.0, 0.1})
      for (const double momentum : {0.0, 0.9}) {
        OptimiserOptions o;
        o.name = name;
        o.weight_decay = decay;
        o.momentum = momentum;
        variants.push_back(o);
      }
  return variants;
}

std::unique_ptr<torch::optim::Optimizer> torch_optimiser(const OptimiserOptions& o, const at::Tensor& theta) {
  namespace optim = torch::optim;
  const std::vector<at::Tensor> list = {theta};
  const double decay = o.weight_decay;
  if (o.name == "adam") return std::make_unique<optim::Adam>(list, optim::AdamOptions(lr).weight_decay(decay));
  if (o.name == "adamw") return std::make_unique<optim::AdamW>(list, optim::AdamWOptions(lr).weight_decay(decay));
  if (o.name == "rmsprop")
    return std::make_unique<optim::RMSprop>(list, optim::RMSpropOptions(lr).weight_decay(decay).momentum(o.momentum));
  return std::make_unique<optim::SGD>(list, optim::SGDOptions(lr).weight_decay(decay).momentum(o.momentum));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_optimiser, *utf::label("unit") * utf::label("np1"))

BOOST_AUTO_TEST_CASE(updates_follow_the_formulas) {
  for (const auto& options : all_variants()) {
    BOOST_TEST_CONTEXT(options.name << " decay " << options.weight_decay << " momentum " << options.momentum) {
      Fixture fixture;
      std::vector<Scalar> reference(count);
      for (std::size_t i = 0; i < count; ++i) reference[i].theta = fixture.value(i);
      Optimiser optimiser(fixture.parameters, options);
      const long version = fixture.parameters.version();
      for (int t = 1; t <= 20; ++t) {
        fixture.set_gradient(t);
        optimiser.step(lr);
        for (std::size_t i = 0; i < count; ++i) {
          reference[i].step(options, Fixture::gradient(i, t), t);
          BOOST_TEST(std::abs(fixture.value(i) - reference[i].theta) < 1e-12);
        }
      }
      BOOST_TEST(fixture.parameters.version() == version + 20);
      // The network's own tensors are views of what was updated.
      BOOST_TEST(fixture.parameters.tensors()[1][1].item<double>() == fixture.value(5));
    }
  }
}

// More elements than one chunk, in both precisions, against PyTorch's own classes (which have no Adamax).
BOOST_AUTO_TEST_CASE(updates_equal_those_of_torch) {
  for (const auto type : {torch::kFloat64, torch::kFloat32})
    for (const auto& options : all_variants()) {
      if (options.name == "adamax") continue;
      BOOST_TEST_CONTEXT(options.name << " decay " << options.weight_decay << " momentum " << options.momentum) {
        torch::manual_seed(1);
        FlatParameters parameters({torch::randn({2003}, type).requires_grad_(true)});
        const at::Tensor reference = parameters.values().clone();
        const auto theirs = torch_optimiser(options, reference);
        Optimiser ours(parameters, options);
        for (int t = 1; t <= 5; ++t) {
          parameters.gradient().copy_(torch::randn({2003}, type));
          reference.mutable_grad() = parameters.gradient().clone();
          ours.step(lr);
          theirs->step();
        }
        const double tolerance = type == torch::kFloat64 ? 1e-14 : 2e-6;
        BOOST_TEST((parameters.values() - reference).abs().max().item<double>() < tolerance);
      }
    }
}

BOOST_AUTO_TEST_CASE(state_continues_bit_for_bit) {
  for (const auto type : {torch::kFloat64, torch::kFloat32})
    for (const auto& options : all_variants()) {
      BOOST_TEST_CONTEXT(options.name << " decay " << options.weight_decay << " momentum " << options.momentum) {
        Fixture whole(type);
        Fixture parts(type);
        Optimiser uninterrupted(whole.parameters, options);
        auto optimiser = std::make_unique<Optimiser>(parts.parameters, options);
        for (int t = 1; t <= 12; ++t) {
          if (t == 1 || t == 5 || t == 8) {
            const auto state = optimiser->state();
            optimiser = std::make_unique<Optimiser>(parts.parameters, options);
            optimiser->restore(state);
          }
          whole.set_gradient(t);
          parts.set_gradient(t);
          uninterrupted.step(lr / t);
          optimiser->step(lr / t);
          BOOST_TEST(whole.parameters.values().equal(parts.parameters.values()));
        }
      }
    }
}

BOOST_AUTO_TEST_CASE(state_is_a_copy) {
  Fixture fixture;
  Optimiser optimiser(fixture.parameters, {});
  fixture.set_gradient(1);
  optimiser.step(lr);
  const auto state = optimiser.state();
  const at::Tensor before = state.at("exp_avg").clone();
  optimiser.step(lr);
  BOOST_TEST(state.at("exp_avg").equal(before));
  BOOST_TEST(state.at("step").item<std::int64_t>() == 1);
}

BOOST_AUTO_TEST_CASE(foreign_state_is_refused) {
  Fixture fixture;
  OptimiserOptions options;
  Optimiser adam(fixture.parameters, options);
  fixture.set_gradient(1);
  adam.step(lr);
  options.name = "adamax";
  Optimiser adamax(fixture.parameters, options);
  BOOST_CHECK_THROW(adamax.restore(adam.state()), espalier::UserError);
  const at::Tensor kept = adam.state().at("exp_avg_sq");
  auto state = adam.state();
  state["exp_avg"] = torch::zeros({3}, torch::kFloat64);
  BOOST_CHECK_THROW(adam.restore(state), espalier::UserError);
  state = adam.state();
  state["exp_avg"] = state["exp_avg"].to(torch::kFloat32);
  BOOST_CHECK_THROW(adam.restore(state), espalier::UserError);
  state = adam.state();
  state["momentum_buffer"] = state["exp_avg"];
  BOOST_CHECK_THROW(adam.restore(state), espalier::UserError);
  BOOST_TEST(adam.state().at("exp_avg_sq").equal(kept));  // a refused state changes nothing
  options.name = "nadam";
  BOOST_CHECK_THROW(Optimiser(fixture.parameters, options), espalier::UserError);
}

BOOST_AUTO_TEST_CASE(clipping_bounds_the_norm) {
  Fixture fixture;
  fixture.set_gradient(3);
  const double norm = gradient_norm(fixture.parameters);
  double squares = 0;
  for (std::size_t i = 0; i < count; ++i) squares += std::pow(Fixture::gradient(i, 3), 2);
  BOOST_TEST(std::abs(norm - std::sqrt(squares)) < 1e-14);
  const at::Tensor before = fixture.parameters.gradient().clone();
  clip_gradient(fixture.parameters, norm, 2 * norm);
  BOOST_TEST(fixture.parameters.gradient().equal(before));
  clip_gradient(fixture.parameters, norm, 0.25);
  BOOST_TEST(std::abs(gradient_norm(fixture.parameters) - 0.25) < 1e-6);
  BOOST_TEST(fixture.parameters.gradient().allclose(before * (0.25 / norm), 1e-5));
}

BOOST_AUTO_TEST_SUITE_END()
