#include "espalier/nn/positive_network.hpp"

#include <boost/test/unit_test.hpp>

#include "espalier/core/error.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
namespace utf = boost::unit_test;

namespace {

nn::PositiveNetworkSettings some_settings() {
  nn::PositiveNetworkSettings settings;
  settings.mlp.widths = {1, 6, 1};
  settings.mlp.activation = nn::Activation::tanh;
  settings.mlp.seed = 5;
  settings.centre = 2;
  settings.half_width = 0.5;
  settings.scale = 3;
  return settings;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_positive_network, *utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(values_are_a_softplus_and_exact_at_one_place, *utf::label("unit") * utf::label("np1")) {
  nn::PositiveNetworkSettings settings = some_settings();
  nn::PositiveNetwork network(settings);
  const nn::Mlp plain(settings.mlp);
  const at::Tensor x = torch::linspace(-20, 20, 41, torch::kDouble).view({41, 1});
  const auto law = [&](const at::Tensor& at) { return (plain.evaluate((at - 2) / 0.5).exp() + 1).log(); };
  const at::Tensor y = nn::values_of(network, x);
  BOOST_TEST(testing::difference(y, 3 * law(x).detach()) <= 1e-13);
  BOOST_TEST(y.min().item<double>() > 0);
  BOOST_TEST(nn::values_of(network, x.view({41})).sizes().vec() == std::vector<std::int64_t>{41});
  settings.unit_at = 2.25;
  nn::PositiveNetwork fixed(settings);
  const at::Tensor place = torch::full({1, 1}, 2.25, torch::kDouble);
  BOOST_TEST(testing::difference(nn::values_of(fixed, x), 3 * (law(x) / law(place)).detach()) <= 1e-13);
  fixed.parameters().values().mul_(1.7);
  fixed.parameters().mark_changed();
  BOOST_TEST(std::abs(nn::values_of(fixed, place).item<double>() - 3) <= 1e-14);
}

BOOST_AUTO_TEST_CASE(parameters_of_the_quotient_have_their_derivatives, *utf::label("gradient") * utf::label("np1")) {
  nn::PositiveNetworkSettings settings = some_settings();
  settings.unit_at = 2.25;
  nn::PositiveNetwork network(settings);
  const at::Tensor x = 2 + testing::random_tensor({7, 1}, 1);
  const at::Tensor w = testing::random_tensor({7, 1}, 2);
  const at::Tensor direction = testing::random_tensor({network.parameters().count()}, 3);
  const at::Tensor y = torch::empty_like(x);
  const at::Tensor x_bar = torch::empty_like(x);
  const auto tape = network.record(0, x, y);
  tape->vjp(w, x_bar);
  tape->accumulate(1);
  const double derivative = network.parameters().gradient().dot(direction).item<double>();
  const at::Tensor start = network.parameters().values().clone();
  const auto value = [&](double e) {
    network.parameters().values().copy_(start + e * direction);
    return (w * nn::values_of(network, x)).sum().item<double>();
  };
  const double e = 1e-5;
  BOOST_TEST(std::abs((value(e) - value(-e)) / (2 * e) - derivative) <= 1e-7 * std::abs(derivative));
  settings.scale = 0;
  BOOST_CHECK_THROW(nn::PositiveNetwork{settings}, UserError);
  settings = some_settings();
  settings.mlp.widths = {2, 6, 1};
  BOOST_CHECK_THROW(nn::PositiveNetwork{settings}, UserError);
}

BOOST_AUTO_TEST_SUITE_END()
