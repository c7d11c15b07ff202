#include "espalier/nn/network.hpp"

#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "espalier/nn/mlp.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using testing::difference;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

/// An Mlp of one hidden layer once more, in torch operations.
class TorchMlp : public nn::AutogradNetwork {
 public:
  explicit TorchMlp(nn::Mlp& original) : inputs_(original.inputs()), outputs_(original.outputs()) {
    std::vector<at::Tensor> leaves;
    for (const auto& tensor : original.parameters().tensors())
      leaves.push_back(tensor.detach().clone().requires_grad_(true));
    adopt(leaves);
  }
  std::int64_t inputs() const override { return inputs_; }
  std::int64_t outputs() const override { return outputs_; }
  std::size_t tape_bytes(std::int64_t) const override { return 0; }
  std::string fingerprint() const override { return "test"; }
  at::Tensor evaluate(double /*t*/, const at::Tensor& u) override {
    const auto& theta = parameters().tensors();
    return torch::addmm(theta[3], torch::tanh(torch::addmm(theta[1], u, theta[0].t())), theta[2].t());
  }

 private:
  std::int64_t inputs_;
  std::int64_t outputs_;
};

enum class Formula { with_time, without_state, constant, frozen };

/// Small functions [n, 2] -> [n, 2] of a, b and c, that use less than everything.
class Small : public nn::AutogradNetwork {
 public:
  explicit Small(Formula formula) : formula_(formula) {
    const auto leaf = [](double x, bool trainable) {
      return torch::full({2}, x, torch::kDouble).requires_grad_(trainable);
    };
    adopt({leaf(2, true), leaf(3, true), leaf(5, formula != Formula::frozen)});
  }
  std::int64_t inputs() const override { return 2; }
  std::int64_t outputs() const override { return 2; }
  std::size_t tape_bytes(std::int64_t) const override { return 0; }
  std::string fingerprint() const override { return "small"; }
  at::Tensor evaluate(double t, const at::Tensor& u) override {
    const auto& theta = parameters().tensors();
    switch (formula_) {
      case Formula::with_time:
        return theta[0] * u.square() + t * theta[1];  // the third is not used
      case Formula::without_state:
        return (theta[1] + theta[2]).expand_as(u) * t;
      case Formula::constant:
        return torch::ones_like(u.detach());
      case Formula::frozen:
        return theta[0] * theta[2] * u;
    }
    return {};
  }

 private:
  Formula formula_;
};

struct Products {
  at::Tensor y = torch::full({3, 2}, std::nan(""), torch::kDouble);
  at::Tensor u_bar = y.clone();
  at::Tensor y_tan = y.clone();
};

const at::Tensor state = torch::tensor({{1., 2.}, {3., 4.}, {5., 6.}}, torch::kDouble);
const at::Tensor cotangent = torch::tensor({{1., 0.}, {2., -1.}, {0., 1.}}, torch::kDouble);
const at::Tensor tangent = torch::tensor({{1., 1.}, {0., 2.}, {-1., 0.}}, torch::kDouble);

Products products_of(nn::Network& network, double t) {
  Products p;
  const auto tape = network.record(t, state, p.y);
  tape->vjp(cotangent, p.u_bar);
  tape->accumulate(1);
  tape->jvp(tangent, p.y_tan);
  return p;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_network, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(autograd_tapes_equal_hand_written_ones, *utf::label("gradient")) {
  for (const bool single : {false, true}) {
    const double tolerance = single ? 1e-5 : 1e-13;
    nn::MlpSettings settings;
    settings.widths = {3, 8, 4};
    settings.activation = nn::Activation::tanh;
    settings.single_precision = single;
    nn::Mlp mlp(settings);
    TorchMlp torch_mlp(mlp);
    const auto u = random_tensor({5, 3}, 1);
    const auto w = random_tensor({5, 4}, 2);
    const auto v = random_tensor({5, 3}, 3);
    const auto nans = [](std::int64_t columns) { return torch::full({5, columns}, std::nan(""), torch::kDouble); };
    std::vector<at::Tensor> results[2];
    nn::Network* networks[] = {&mlp, &torch_mlp};
    for (int k = 0; k < 2; ++k) {
      const auto y = nans(4);
      const auto again = nans(4);
      const auto u_bar = nans(3);
      const auto y_tan = nans(4);
      networks[k]->forward(0, u, again);
      const auto tape = networks[k]->record(0, u, y);
      tape->vjp(w, u_bar);
      tape->accumulate(0.5);
      tape->jvp(v, y_tan);
      tape->accumulate(-3);
      results[k] = {y, again, u_bar, y_tan, networks[k]->parameters().gradient(), tape->input()};
    }
    for (std::size_t i = 0; i < results[0].size(); ++i)
      BOOST_TEST(difference(results[1][i], results[0][i]) <= tolerance, "result " << i);
  }
}

BOOST_AUTO_TEST_CASE(time_and_unused_parameters, *utf::label("gradient")) {
  Small network(Formula::with_time);
  for (const double t : {0.0, 10.0}) {
    network.parameters().zero_gradient();
    const Products p = products_of(network, t);
    BOOST_TEST(difference(p.y, 2 * state.square() + 3 * t) <= 1e-15);
    BOOST_TEST(difference(p.u_bar, 4 * state * cotangent) <= 1e-15);
    BOOST_TEST(difference(p.y_tan, 4 * state * tangent) <= 1e-15);
    const auto a_bar = (state.square() * cotangent).sum(0);
    const auto b_bar = t * cotangent.sum(0);
    BOOST_TEST(difference(network.parameters().gradient(), torch::cat({a_bar, b_bar, torch::zeros_like(a_bar)})) <=
               1e-15);
  }
}

BOOST_AUTO_TEST_CASE(a_source_that_does_not_see_the_state, *utf::label("gradient")) {
  Small network(Formula::without_state);
  const Products p = products_of(network, 2);
  BOOST_TEST(difference(p.y, torch::full({3, 2}, 16, torch::kDouble)) == 0);
  BOOST_TEST(p.u_bar.abs().max().item<double>() == 0);
  BOOST_TEST(p.y_tan.abs().max().item<double>() == 0);
  const auto b_bar = 2 * cotangent.sum(0);
  BOOST_TEST(difference(network.parameters().gradient(), torch::cat({torch::zeros_like(b_bar), b_bar, b_bar})) == 0);
}

BOOST_AUTO_TEST_CASE(a_constant_has_zero_products) {
  Small network(Formula::constant);
  const Products p = products_of(network, 2);
  BOOST_TEST(difference(p.y, torch::ones({3, 2}, torch::kDouble)) == 0);
  BOOST_TEST(p.u_bar.abs().max().item<double>() == 0);
  BOOST_TEST(p.y_tan.abs().max().item<double>() == 0);
  BOOST_TEST(network.parameters().gradient().abs().max().item<double>() == 0);
}

BOOST_AUTO_TEST_CASE(frozen_parameters_get_no_gradient, *utf::label("gradient")) {
  Small network(Formula::frozen);
  const Products p = products_of(network, 0);
  BOOST_TEST(difference(p.u_bar, 10 * cotangent) == 0);
  BOOST_TEST(difference(p.y_tan, 10 * tangent) == 0);
  const auto a_bar = 5 * (state * cotangent).sum(0);
  BOOST_TEST(difference(network.parameters().gradient(), torch::cat({a_bar, torch::zeros({4}, torch::kDouble)})) == 0);
}

BOOST_AUTO_TEST_CASE(tapes_work_where_gradients_are_switched_off, *utf::label("gradient")) {
  const torch::NoGradGuard no_grad;
  Small network(Formula::with_time);
  const Products p = products_of(network, 1);
  BOOST_TEST(difference(p.u_bar, 4 * state * cotangent) <= 1e-15);
  BOOST_TEST(difference(p.y_tan, 4 * state * tangent) <= 1e-15);
}

BOOST_AUTO_TEST_CASE(a_tape_keeps_its_point_when_the_state_changes, *utf::label("gradient")) {
  Small network(Formula::with_time);
  const auto u = state.clone();
  const auto y = torch::empty_like(u);
  const auto tape = network.record(0, u, y);
  u.zero_();
  const auto u_bar = torch::empty_like(u);
  tape->vjp(cotangent, u_bar);
  BOOST_TEST(difference(u_bar, 4 * state * cotangent) <= 1e-15);
}

BOOST_AUTO_TEST_CASE(a_vjp_alone_leaves_the_gradient_buffer_alone) {
  Small network(Formula::with_time);
  const auto y = torch::empty_like(state);
  const auto tape = network.record(1, state, y);
  tape->vjp(cotangent, y);
  BOOST_TEST(network.parameters().gradient().abs().max().item<double>() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
