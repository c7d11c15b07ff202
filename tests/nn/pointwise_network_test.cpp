// Networks of the fields in a cell, applied in every cell of a distributed grid.
#include "espalier/nn/pointwise_network.hpp"

#include <boost/test/unit_test.hpp>

#include "espalier/nn/mlp.hpp"
#include "nn/parts.hpp"

using namespace espalier;

namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(nn_pointwise_network, *utf::label("distributed") * utf::label("np1") * utf::label("np2") *
                                                utf::label("np3") * utf::label("np4") * utf::label("np6"))

BOOST_AUTO_TEST_CASE(values_and_products_are_those_on_one_rank, *utf::label("gradient")) {
  nn::MlpSettings settings;
  settings.widths = {2, 5, 3};
  settings.activation = nn::Activation::tanh;
  for (const auto& on : testing::network_grids()) {
    const auto in_cell = std::make_shared<nn::Mlp>(settings);
    nn::PointwiseNetwork network(in_cell, on.grid->local_cells());
    const std::int64_t cells = on.grid->global_cells();
    const double found = testing::disagreement(*on.grid, network, [&](const auto& theta, const at::Tensor& u) {
      const at::Tensor by_cell = u.reshape({u.size(0), 2, cells}).transpose(1, 2);
      const at::Tensor inner = (at::matmul(by_cell, theta[0].t()) + theta[1]).tanh();
      return (at::matmul(inner, theta[2].t()) + theta[3]).transpose(1, 2).reshape({u.size(0), 3 * cells});
    });
    BOOST_TEST(found <= 1e-12, on.name);
  }
}

BOOST_AUTO_TEST_SUITE_END()
