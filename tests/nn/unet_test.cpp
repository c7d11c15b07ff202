// U-nets on distributed grids against the same function on the whole grid, written with torch's convolutions.
#include "espalier/nn/unet.hpp"

#include <torch/autograd.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <string>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "nn/parts.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using nn::HaloExchange;
using nn::ResnetBoundary;

namespace utf = boost::unit_test;

namespace {

nn::UnetSettings settings_of(const testing::NetworkGrid& on, HaloExchange exchange) {
  nn::UnetSettings s;
  s.channels_in = 2;
  s.channels_out = 1;
  s.hidden = 2;
  s.levels = 2;
  s.boundary = static_cast<ResnetBoundary>(static_cast<int>(on.padding) + 1);
  s.exchange = exchange;
  s.seed = 3;
  return s;
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, std::int64_t stride,
                       bool transposed) {
  const std::vector<std::int64_t> strides(static_cast<std::size_t>(x.dim() - 2), stride);
  const std::vector<std::int64_t> none(strides.size(), 0);
  const std::vector<std::int64_t> one(strides.size(), 1);
  return at::convolution(x, weight, bias, strides, none, one, transposed, none, 1);
}

at::Tensor reference(const testing::NetworkGrid& on, const std::vector<at::Tensor>& theta, std::int64_t levels,
                     const at::Tensor& u) {
  std::vector<std::int64_t> shape = {u.size(0), 2};
  for (int d = on.grid->dimension() - 1; d >= 0; --d) shape.push_back(on.grid->axis(d).cells);
  auto layer = theta.begin();
  const auto twice = [&](at::Tensor x) {
    for (int i = 0; i < 2; ++i, layer += 2)
      x = convolution(testing::framed(*on.grid, on.padding, x, 1), layer[0], layer[1], 1, false).relu();
    return x;
  };
  const std::vector<std::int64_t> block(static_cast<std::size_t>(on.grid->dimension()), 2);
  // The channels of a block's cells, as torch orders them in the weight of a convolution of two cells.
  const auto split = [&](at::IntArrayRef front) {
    std::vector<std::int64_t> sizes = front.vec();
    sizes.insert(sizes.end(), block.begin(), block.end());
    return sizes;
  };
  const std::function<at::Tensor(at::Tensor, std::int64_t)> level = [&](at::Tensor x, std::int64_t depth) {
    x = twice(x);
    if (depth == levels) return x;
    const at::Tensor down = layer[0].reshape(split({layer[0].size(0), x.size(1)}));
    const at::Tensor coarse = convolution(x, down, layer[1], 2, false);
    layer += 2;
    const at::Tensor below = level(coarse, depth + 1);
    const at::Tensor up = layer[0].t().reshape(split({below.size(1), layer[1].size(0)}));
    const at::Tensor fine = convolution(below, up, layer[1], 2, true);
    layer += 2;
    return twice(at::cat({x, fine}, 1));
  };
  const at::Tensor x = level(u.reshape(shape), 0);
  return (at::matmul(layer[0], x.flatten(2)) + layer[1].unsqueeze(1)).flatten(1);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_unet, *utf::label("distributed") * utf::label("np1") * utf::label("np2") * utf::label("np3") *
                                   utf::label("np4") * utf::label("np6"))

BOOST_AUTO_TEST_CASE(values_and_products_are_those_on_one_rank, *utf::label("gradient")) {
  for (const auto& on : testing::network_grids(PETSC_COMM_WORLD, 2 * testing::size_of(), 4)) {
    const auto settings = settings_of(on, HaloExchange::layer);
    nn::Unet network(settings, on.grid);
    const double found = testing::disagreement(*on.grid, network, [&](const auto& theta, const at::Tensor& u) {
      return reference(on, theta, settings.levels, u);
    });
    BOOST_TEST(found <= 1e-12, on.name);
  }
}

BOOST_AUTO_TEST_CASE(one_exchange_gives_the_same, *utf::label("gradient")) {
  // Twenty-two cells are seen on each side.
  for (const auto& on : testing::network_grids(PETSC_COMM_WORLD, 6 * testing::size_of(), 4)) {
    if (on.grid->dimension() > 1) continue;
    const auto settings = settings_of(on, HaloExchange::once);
    nn::Unet network(settings, on.grid);
    const double found = testing::disagreement(*on.grid, network, [&](const auto& theta, const at::Tensor& u) {
      return reference(on, theta, settings.levels, u);
    });
    BOOST_TEST(found <= 1e-12, on.name);
  }
}

BOOST_AUTO_TEST_CASE(parts_that_are_not_aligned_are_refused) {
  for (const auto& on : testing::network_grids()) {
    BOOST_CHECK_EXCEPTION(nn::Unet(settings_of(on, HaloExchange::layer), on.grid), UserError, [](const UserError& e) {
      return std::string(e.what()).find("make the CellGrid with alignment 4") != std::string::npos;
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
