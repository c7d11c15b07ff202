// Residual networks against the same function written with torch's padding and convolutions.
#include "espalier/nn/resnet.hpp"

#include <ATen/Context.h>
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/messages.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using nn::ResnetBoundary;
using testing::difference;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

nn::ResnetSettings settings_of(std::vector<std::int64_t> cells, ResnetBoundary boundary) {
  nn::ResnetSettings s;
  s.cells = std::move(cells);
  s.channels_in = 2;
  s.channels_out = 3;
  s.hidden = 4;
  s.blocks = 2;
  s.boundary = boundary;
  s.seed = 7;
  return s;
}

/// Grids of one to three axes, some of one cell, with each boundary.
std::vector<nn::ResnetSettings> all_settings() {
  std::vector<nn::ResnetSettings> all;
  for (const auto boundary : {ResnetBoundary::circular, ResnetBoundary::zero})
    for (const std::vector<std::int64_t>& cells :
         {std::vector<std::int64_t>{6}, {1}, {4, 5}, {2, 1}, {3, 4, 5}, {2, 1, 3}})
      all.push_back(settings_of(cells, boundary));
  return all;
}

at::Tensor torch_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             ResnetBoundary boundary) {
  const std::vector<std::int64_t> one_each(2 * (static_cast<std::size_t>(x.dim()) - 2), 1);
  at::Tensor padded = x;
  if (weight.size(-1) == 3) {
    padded = boundary == ResnetBoundary::circular ? at::pad(x, one_each, "circular") : at::pad(x, one_each);
  }
  if (x.dim() == 3) return at::conv1d(padded, weight, bias);
  if (x.dim() == 4) return at::conv2d(padded, weight, bias);
  return at::conv3d(padded, weight, bias);
}

/// The network once more, with the parameters `theta`.
at::Tensor torch_resnet(const nn::ResnetSettings& s, const std::vector<at::Tensor>& theta, const at::Tensor& u) {
  std::vector<std::int64_t> shape = {u.size(0), s.channels_in};
  shape.insert(shape.end(), s.cells.begin(), s.cells.end());
  const auto pointwise = [&](const at::Tensor& weight) {
    std::vector<std::int64_t> sizes = {weight.size(0), weight.size(1)};
    sizes.resize(2 + s.cells.size(), 1);
    return weight.reshape(sizes);
  };
  auto layer = theta.begin();
  const auto convolve = [&](const at::Tensor& x, bool wide) {
    const at::Tensor& weight = *layer++;
    const at::Tensor& bias = *layer++;
    return torch_convolution(x, wide ? weight : pointwise(weight), bias, s.boundary);
  };
  at::Tensor x = convolve(u.reshape(shape), false);
  for (std::int64_t block = 0; block < s.blocks; ++block) {
    const at::Tensor inner = convolve(x, true).relu();
    x = (convolve(inner, true) + x).relu();
  }
  return convolve(x, false).reshape({u.size(0), -1});
}

std::vector<at::Tensor> copies(nn::Network& network) {
  std::vector<at::Tensor> theta;
  for (const auto& tensor : network.parameters().tensors())
    theta.push_back(tensor.detach().clone().requires_grad_(true));
  return theta;
}

/// Value and both vector-Jacobian products of the network against those of torch_resnet(); the largest difference.
double disagreement(const nn::ResnetSettings& s, std::int64_t samples) {
  nn::Resnet network(s);
  const at::Tensor u = random_tensor({samples, network.inputs()}, 1);
  const at::Tensor w = random_tensor({samples, network.outputs()}, 2);
  auto theta = copies(network);
  auto with_respect_to = theta;
  with_respect_to.push_back(u.clone().requires_grad_(true));
  const at::Tensor expected = torch_resnet(s, theta, with_respect_to.back());
  const auto expected_bar = torch::autograd::grad({expected}, with_respect_to, {w});

  const at::Tensor y = torch::empty_like(w);
  const at::Tensor u_bar = torch::empty_like(u);
  const auto tape = network.record(0, u, y);
  tape->vjp(w, u_bar);
  tape->accumulate(0.5);
  double largest = std::max(difference(y, expected), difference(u_bar, expected_bar.back()));
  for (std::size_t i = 0; i < theta.size(); ++i)
    largest = std::max(largest, difference(2 * network.parameters().gradients()[i], expected_bar[i]));
  network.forward(0, u, y);
  return std::max(largest, difference(y, expected));
}

std::string refusal(const nn::ResnetSettings& s) {
  return testing::message_of<UserError>([&] { nn::Resnet network(s); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_resnet, *utf::label("prdp"))

BOOST_AUTO_TEST_CASE(values_and_products_are_those_of_torch, *utf::label("gradient") * utf::label("np1")) {
  for (const auto& s : all_settings()) BOOST_TEST(disagreement(s, 3) <= 1e-12, nn::Resnet(s).fingerprint());
  // Large batches go in parts.
  for (const auto boundary : {ResnetBoundary::circular, ResnetBoundary::zero}) {
    auto s = settings_of({24, 30}, boundary);
    s.hidden = 6;
    s.blocks = 1;
    BOOST_TEST(disagreement(s, 145) <= 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(products_with_the_jacobian_are_transposed, *utf::label("gradient") * utf::label("np1")) {
  for (const auto& s : all_settings()) {
    nn::Resnet network(s);
    const at::Tensor u = random_tensor({2, network.inputs()}, 1);
    const at::Tensor v = random_tensor({2, network.inputs()}, 2);
    const at::Tensor w = random_tensor({2, network.outputs()}, 3);
    const at::Tensor y = torch::empty_like(w);
    const at::Tensor jv = torch::empty_like(w);
    const at::Tensor u_bar = torch::empty_like(u);
    const auto tape = network.record(0, u, y);
    tape->jvp(v, jv);
    tape->vjp(w, u_bar);
    tape->accumulate(1);
    const double forwards = (w * jv).sum().item<double>();
    BOOST_TEST(std::abs(forwards - (u_bar * v).sum().item<double>()) <= 1e-12 * std::max(1.0, std::abs(forwards)));
    // Along a direction of u and theta at once; all is smooth between the kinks of the activations.
    const at::Tensor direction = random_tensor({network.parameters().count()}, 4);
    const double derivative = forwards + network.parameters().gradient().dot(direction).item<double>();
    const at::Tensor start = network.parameters().values().clone();
    const auto value = [&](double e) {
      network.parameters().values().copy_(start + e * direction);
      network.forward(0, u + e * v, y);
      return (w * y).sum().item<double>();
    };
    const double e = 1e-6;
    BOOST_TEST(std::abs((value(e) - value(-e)) / (2 * e) - derivative) <= 1e-7 * std::max(1.0, std::abs(derivative)));
  }
}

BOOST_AUTO_TEST_CASE(second_derivatives_are_those_of_torch, *utf::label("gradient") * utf::label("np1")) {
  for (const auto& s : all_settings()) {
    nn::Resnet network(s);
    const at::Tensor w = random_tensor({2, network.outputs()}, 2);
    // d/du of the product of d/dtheta (w, y) with a direction
    const auto mixed = [&](const std::vector<at::Tensor>& theta, const std::function<at::Tensor(at::Tensor)>& f) {
      const at::Tensor u = random_tensor({2, network.inputs()}, 1).requires_grad_(true);
      at::Tensor sum = torch::zeros({}, torch::kDouble);
      for (const auto& theta_bar : torch::autograd::grad({f(u)}, theta, {w}, true, true))
        sum = sum + (theta_bar * random_tensor(theta_bar.sizes(), 3)).sum();
      return torch::autograd::grad({sum}, {u})[0];
    };
    const auto theta = copies(network);
    const at::Tensor expected = mixed(theta, [&](const at::Tensor& u) { return torch_resnet(s, theta, u); });
    const at::Tensor found =
        mixed(network.parameters().tensors(), [&](const at::Tensor& u) { return network.evaluate(0, u); });
    BOOST_TEST(difference(found, expected) <= 1e-12, network.fingerprint());
  }
}

BOOST_AUTO_TEST_CASE(float_is_double_rounded, *utf::label("gradient") * utf::label("np1")) {
  const auto results_of = [](nn::Resnet& network, std::int64_t samples) {
    const at::Tensor u = random_tensor({samples, network.inputs()}, 1);
    const at::Tensor w = random_tensor({samples, network.outputs()}, 2);
    const at::Tensor y = torch::empty_like(w);
    const at::Tensor u_bar = torch::empty_like(u);
    network.parameters().zero_gradient();
    const auto tape = network.record(0, u, y);
    tape->vjp(w, u_bar);
    tape->accumulate(1);
    return std::vector<at::Tensor>{y, u_bar, network.parameters().gradient().clone()};
  };
  const bool had_onednn = at::globalContext().userEnabledMkldnn();
  for (const bool onednn : {had_onednn, false}) {
    at::globalContext().setUserEnabledMkldnn(onednn);
    for (auto s : {settings_of({40}, ResnetBoundary::circular), settings_of({9, 8}, ResnetBoundary::zero),
                   settings_of({5, 6, 7}, ResnetBoundary::circular), settings_of({5, 6, 7}, ResnetBoundary::zero)}) {
      nn::Resnet exact(s);
      s.single_precision = true;
      nn::Resnet rounded(s);
      BOOST_TEST(difference(rounded.parameters().values(), exact.parameters().values()) <= 1e-7);
      for (const std::int64_t samples : {0, 1, 5}) {
        const auto expected = results_of(exact, samples);
        const auto results = results_of(rounded, samples);
        for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(difference(results[i], expected[i]) <= 1e-5);
      }
    }
  }
  at::globalContext().setUserEnabledMkldnn(had_onednn);
}

BOOST_AUTO_TEST_CASE(a_shifted_state_gives_shifted_values, *utf::label("unit") * utf::label("np1")) {
  for (const auto boundary : {ResnetBoundary::circular, ResnetBoundary::zero}) {
    nn::Resnet network(settings_of({5, 6, 4}, boundary));
    const auto shift = [](const at::Tensor& x, std::int64_t channels) {
      return x.view({2, channels, 5, 6, 4}).roll({2, -1, 1}, {2, 3, 4}).reshape({2, -1});
    };
    const at::Tensor u = random_tensor({2, network.inputs()}, 1);
    const double change = difference(network.evaluate(0, shift(u, 2)), shift(network.evaluate(0, u), 3));
    BOOST_TEST((change <= 1e-14) == (boundary == ResnetBoundary::circular));
    // A constant state has no edges on a periodic grid.
    const at::Tensor values = network.evaluate(0, torch::ones_like(u)).detach().view({2, 3, -1});
    const at::Tensor spread = std::get<0>(values.max(2)) - std::get<0>(values.min(2));
    BOOST_TEST((spread.max().item<double>() <= 1e-13) == (boundary == ResnetBoundary::circular));
  }
}

BOOST_AUTO_TEST_CASE(parameters_start_within_their_bounds, *utf::label("unit") * utf::label("np1")) {
  nn::ResnetSettings s;
  s.cells = {8, 8, 8};
  nn::Resnet network(s);
  // Lifting, 12 convolutions of 32 channels, projection.
  BOOST_TEST(network.parameters().count() == 2 * 32 + 12 * (32 * 32 * 27 + 32) + 32 + 1);
  const auto& theta = network.parameters().tensors();
  BOOST_TEST(theta.size() == 28);
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const double fan_in = i < 2 ? 1 : i >= 26 ? 32 : 32 * 27;
    const at::Tensor scaled = theta[i].detach() * std::sqrt(fan_in);
    BOOST_TEST(scaled.abs().max().item<double>() <= 1);
    if (scaled.numel() < 1000) continue;
    BOOST_TEST(scaled.max().item<double>() > 0.999);
    BOOST_TEST(scaled.min().item<double>() < -0.999);
    BOOST_TEST(std::abs(scaled.mean().item<double>()) < 0.02);
    BOOST_TEST(std::abs(scaled.pow(2).mean().item<double>() - 1.0 / 3) < 0.01);
  }
  BOOST_TEST(difference(nn::Resnet(s).parameters().values(), network.parameters().values()) == 0);
  s.seed = 1;
  BOOST_TEST(difference(nn::Resnet(s).parameters().values(), network.parameters().values()) > 0.1);
  BOOST_TEST(network.fingerprint() == "resnet 8x8x8 channels 1/32/1 blocks 6 circular double");
  BOOST_TEST(network.tape_bytes(2) == 2u * 8u * 512u * (1u + 32u * 13u));
}

BOOST_AUTO_TEST_CASE(settings_are_read_and_checked, *utf::label("unit") * utf::label("np1")) {
  nn::ResnetSettings s = settings_of({4, 4}, ResnetBoundary::zero);
  {
    const testing::ScopedOptions options(
        "-network_hidden 9 -network_blocks 3 -network_precision float -network_seed 11");
    s.read(PETSC_COMM_WORLD);
  }
  BOOST_TEST((s.hidden == 9 && s.blocks == 3 && s.single_precision && s.seed == 11));
  BOOST_TEST((s.channels_in == 2 && s.boundary == ResnetBoundary::zero && s.cells.size() == 2));
  BOOST_TEST(refusal(s).empty());
  const auto refused = [&](const auto& change, const std::string& reason) {
    nn::ResnetSettings bad = s;
    change(bad);
    BOOST_TEST(refusal(bad).find(reason) != std::string::npos, reason);
  };
  refused([](auto& bad) { bad.cells = {}; }, "one to three axes, not 0");
  refused([](auto& bad) { bad.cells = {2, 2, 2, 2}; }, "one to three axes, not 4");
  refused([](auto& bad) { bad.cells = {2, 0}; }, "at least one cell");
  refused([](auto& bad) { bad.channels_in = 0; }, "at least one channel");
  refused([](auto& bad) { bad.channels_out = -1; }, "at least one channel");
  refused([](auto& bad) { bad.hidden = 0; }, "at least one channel");
  refused([](auto& bad) { bad.blocks = 0; }, "at least one block");
  nn::Resnet network(s);
  BOOST_CHECK_THROW(network.evaluate(0, torch::zeros({2, 31}, torch::kFloat)), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
