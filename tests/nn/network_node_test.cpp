#include "espalier/nn/network_node.hpp"

#include <torch/autograd.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>

#include "espalier/nn/mlp.hpp"
#include "espalier/nn/positive_network.hpp"

using namespace espalier;

namespace utf = boost::unit_test;

namespace {

nn::MlpSettings settings(bool single_precision) {
  nn::MlpSettings s;
  s.widths = {5, 7, 5};
  s.activation = nn::Activation::tanh;
  s.single_precision = single_precision;
  s.seed = 3;
  return s;
}

at::Tensor numbers(std::int64_t rows) { return at::linspace(-1, 1, rows * 5, at::kDouble).view({rows, 5}).sin(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_network_node, *utf::label("prdp"))

// Twice in a chain, so that both the state's and the parameters' cotangents go through.
BOOST_AUTO_TEST_CASE(a_chain_has_the_gradient_of_torch, *utf::label("gradient")) {
  for (const bool single : {false, true}) {
    nn::Mlp network(settings(single));
    const at::Tensor u = numbers(4).requires_grad_(true);
    network.parameters().zero_gradient();
    (nn::evaluate_as_node(network, 0, nn::evaluate_as_node(network, 0, u)).cos()).sum().backward();
    const at::Tensor theta_bar = network.parameters().gradient().clone();

    const at::Tensor same = numbers(4).requires_grad_(true);
    network.parameters().zero_gradient();
    const auto type = network.parameters().values().scalar_type();
    const auto evaluate = [&](const at::Tensor& x) { return network.evaluate(x.to(type)).to(at::kDouble); };
    evaluate(evaluate(same)).cos().sum().backward();
    const double tolerance = single ? 1e-5 : 1e-13;
    BOOST_TEST((u.grad() - same.grad()).norm().item<double>() <= tolerance * same.grad().norm().item<double>());
    const at::Tensor expected = network.parameters().gradient();
    BOOST_TEST((theta_bar - expected).norm().item<double>() <= tolerance * expected.norm().item<double>());
  }
}

BOOST_AUTO_TEST_CASE(without_grad_mode_nothing_is_recorded, *utf::label("unit")) {
  nn::Mlp network(settings(false));
  const torch::NoGradGuard no_graph;
  const at::Tensor y = nn::evaluate_as_node(network, 0, numbers(3));
  BOOST_TEST(!y.requires_grad());
  BOOST_TEST((y - network.evaluate(numbers(3))).abs().max().item<double>() <= 1e-14);
}

// A network without parameters that are trained still passes cotangents on.
BOOST_AUTO_TEST_CASE(known_functions_are_nodes_too, *utf::label("gradient")) {
  nn::KnownFunction square("square", [](const at::Tensor& x) { return x.square(); });
  const at::Tensor x = at::arange(1, 4, at::kDouble).view({3, 1}).requires_grad_(true);
  nn::evaluate_as_node(square, 0, x).sum().backward();
  BOOST_TEST(at::allclose(x.grad(), 2 * x.detach()));
}

BOOST_AUTO_TEST_SUITE_END()
