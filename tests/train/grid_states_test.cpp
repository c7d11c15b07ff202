#include "espalier/train/grid_states.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <memory>

#include "espalier/core/error.hpp"
#include "espalier/train/rollout.hpp"

using namespace espalier;
namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(train_grid_states, *utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(times_are_found_or_refused, *utf::label("unit") * utf::label("np1")) {
  io::GridSeries data;
  data.times = {0, 0.1, 0.2, 0.3};
  const auto found = train::indices_of(data, {0.1, 0.3 * (1 + 1e-12)}, "-times");
  BOOST_TEST(found == (std::vector<std::int64_t>{0, 1, 3}));
  BOOST_TEST(train::times_at(data, found) == (std::vector<double>{0, 0.1, 0.3}));
  for (const std::vector<double>& bad :
       std::vector<std::vector<double>>{{}, {0.0}, {0.2, 0.1}, {0.1, 0.1}, {0.15}, {0.4}})
    BOOST_CHECK_EXCEPTION(train::indices_of(data, bad, "-times"), UserError,
                          [](const UserError& error) { return std::string(error.what()).find("-times: ") == 0; });
}

BOOST_AUTO_TEST_CASE(parts_and_errors_are_those_of_the_whole,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const grid::CellGrid grid(PETSC_COMM_WORLD, {{6, 0, 1, {}, {}}, {5, 0, 1, {}, {}}});
  const at::Tensor truth = torch::arange(1, 2 * 3 * 30 + 1, torch::kDouble).view({2, 3, 30});
  const at::Tensor prediction = truth + truth.remainder(7) - 3;
  io::GridSeries data;
  data.axes = {{"y", std::vector<double>(5)}, {"x", std::vector<double>(6)}};
  data.times = {0, 1, 2};
  data.trajectories = 2;
  const io::GridQuantity quantity{"u", true, true, train::to_vector(truth)};
  const io::GridQuantity found{"v", true, true, train::to_vector(prediction)};
  const at::Tensor part = train::local_part(data, quantity, grid);
  BOOST_TEST(part.sizes().vec() == (std::vector<std::int64_t>{2, 3, grid.local_cells()}));
  BOOST_TEST(at::equal(part.view({6, -1}), grid.part_of(truth.view({6, 30}))));
  const at::Tensor error = (prediction - truth).abs();
  const at::Tensor l1 = train::relative_l1_errors(PETSC_COMM_WORLD, train::local_part(data, found, grid), part);
  const at::Tensor l2 = train::relative_l2_errors(PETSC_COMM_WORLD, train::local_part(data, found, grid), part);
  BOOST_TEST(at::allclose(l1, error.sum(2) / truth.sum(2), 1e-14));
  BOOST_TEST(at::allclose(l2, (error.square().sum(2) / truth.square().sum(2)).sqrt(), 1e-14));
  data.axes[0].centres.resize(4);
  BOOST_CHECK_THROW(train::local_part(data, {"u", false, false, std::vector<double>(24)}, grid), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
