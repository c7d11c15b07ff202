// Networks on distributed grids against the same network on the whole grid.
#include <torch/autograd.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <string>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/nn/resnet.hpp"
#include "nn/parts.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using nn::HaloExchange;
using nn::ResnetBoundary;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t samples = 2;

nn::ResnetSettings settings_of(const testing::NetworkGrid& on) {
  nn::ResnetSettings s;
  s.channels_in = 2;
  s.channels_out = 3;
  s.hidden = 4;
  s.blocks = 1;
  s.seed = 3;
  s.boundary = static_cast<ResnetBoundary>(static_cast<int>(on.padding) + 1);
  return s;
}

/// The network's function written with ghosts by definition and torch's convolutions, on the whole grid.
at::Tensor reference(const testing::NetworkGrid& on, const std::vector<at::Tensor>& theta, std::int64_t blocks,
                     at::Tensor u) {
  std::vector<std::int64_t> shape = {u.size(0), 2};
  for (int d = on.grid->dimension() - 1; d >= 0; --d) shape.push_back(on.grid->axis(d).cells);
  auto layer = theta.begin();
  const auto convolve = [&](const at::Tensor& x) {
    const at::Tensor framed = testing::framed(*on.grid, on.padding, x, 1);
    const at::Tensor& weight = *layer++;
    const at::Tensor& bias = *layer++;
    if (x.dim() == 3) return at::conv1d(framed, weight, bias);
    if (x.dim() == 4) return at::conv2d(framed, weight, bias);
    return at::conv3d(framed, weight, bias);
  };
  const auto pointwise = [&](const at::Tensor& x) {
    const at::Tensor& weight = *layer++;
    const at::Tensor& bias = *layer++;
    auto sizes = x.sizes().vec();
    sizes[1] = weight.size(0);
    return (at::matmul(weight, x.flatten(2)) + bias.unsqueeze(1)).view(sizes);
  };
  at::Tensor x = pointwise(u.reshape(shape));
  for (std::int64_t block = 0; block < blocks; ++block) {
    const at::Tensor inner = convolve(x).relu();
    x = (convolve(inner) + x).relu();
  }
  return pointwise(x).flatten(1);
}

/// Largest difference of value and derivatives from those on the whole grid.
double disagreement(const testing::NetworkGrid& on, const nn::ResnetSettings& settings, HaloExchange exchange) {
  nn::Resnet network(settings, on.grid, exchange);
  return testing::disagreement(*on.grid, network, [&](const auto& theta, const at::Tensor& u) {
    return reference(on, theta, settings.blocks, u);
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_grid_resnet, *utf::label("distributed") * utf::label("np1") * utf::label("np2") *
                                          utf::label("np3") * utf::label("np4") * utf::label("np6"))

BOOST_AUTO_TEST_CASE(values_and_products_are_those_on_one_rank, *utf::label("gradient")) {
  for (const auto& on : testing::network_grids())
    for (const auto exchange : {HaloExchange::layer, HaloExchange::once}) {
      auto settings = settings_of(on);
      const std::string name = on.name + " " + nn::halo_exchange_names()[static_cast<std::size_t>(exchange)];
      BOOST_TEST(disagreement(on, settings, exchange) <= 1e-12, name);
      settings.single_precision = true;
      BOOST_TEST(disagreement(on, settings, exchange) <= 1e-5, name << " float");
    }
}

BOOST_AUTO_TEST_CASE(bytes_are_those_of_the_stencil) {
  const auto grid = std::make_shared<grid::CellGrid>(PETSC_COMM_WORLD,
                                                     std::vector<grid::Axis>{{6 * testing::size_of(), 0, 1, {}, {}}});
  nn::ResnetSettings s;
  s.hidden = 5;
  s.blocks = 3;
  s.channels_in = 2;
  for (const auto exchange : {HaloExchange::layer, HaloExchange::once}) {
    nn::Resnet network(s, grid, exchange);
    const at::Tensor u = random_tensor({samples, network.inputs()}, 1);
    const at::Tensor y = at::empty({samples, network.outputs()}, u.options());
    network.forward(0, u, y);
    const bool alone = testing::size_of() == 1;
    // Both sides: one cell of each hidden channel before each of six convolutions, or six cells of each input.
    const std::int64_t numbers = exchange == HaloExchange::layer ? 6 * s.hidden : 6 * s.channels_in;
    const std::int64_t forward = alone ? 0 : 2 * samples * numbers * static_cast<std::int64_t>(sizeof(double));
    BOOST_TEST(network.halo_traffic().bytes == forward);
    // The backward pass sends as many cotangents home.
    network.record(0, u, y)->vjp(y, at::empty_like(u));
    BOOST_TEST(network.halo_traffic().bytes == 3 * forward);
  }
}

BOOST_AUTO_TEST_CASE(impossible_grids_are_refused) {
  const int ranks = testing::size_of();
  const grid::Boundary wall{grid::BoundaryType::neumann, 0};
  const auto grid =
      std::make_shared<grid::CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{3 * ranks, 0, 1, wall, wall}});
  nn::ResnetSettings s;
  s.blocks = 2;
  const auto refusal = [&](HaloExchange exchange) -> std::string {
    try {
      nn::Resnet network(s, grid, exchange);
    } catch (const UserError& error) {
      return error.what();
    }
    return "accepted";
  };
  s.boundary = ResnetBoundary::circular;
  BOOST_TEST(refusal(HaloExchange::layer).find("choose one of zero, reflect, replicate") != std::string::npos);
  s.boundary = ResnetBoundary::zero;
  BOOST_TEST(refusal(HaloExchange::layer) == "accepted");
  const std::string once = refusal(HaloExchange::once);
  BOOST_TEST(
      (ranks == 1 ? once == "accepted" : once.find("needs 4 cells along axis x on every rank") != std::string::npos),
      once);
}

BOOST_AUTO_TEST_SUITE_END()
