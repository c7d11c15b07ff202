#include "espalier/grid/sample_exchange.hpp"

#include <torch/autograd.h>

#include <boost/test/unit_test.hpp>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/ranks.hpp"
#include "grid/grids.hpp"

using namespace espalier;
using grid::CellGrid;
using grid::SampleExchange;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t fields = 2;

/// Uneven samples on the ranks, one of which has none; entry i of field f of sample s of rank r is a number of its own.
struct Setting {
  Setting()
      : grid(std::make_shared<const CellGrid>(PETSC_COMM_WORLD,
                                              testing::Axes{testing::periodic_axis(6), testing::periodic_axis(5)})) {
    rank = testing::rank_of();
    samples = core::counts_of_ranks(PETSC_COMM_WORLD, rank == 1 ? 0 : rank + 2);
    for (std::size_t r = 0; r < samples.size(); ++r) total += samples[r];
    all = at::arange(total * fields * 30, at::kDouble).view({total, fields * 30});
    for (int r = 0; r < rank; ++r) first += samples[static_cast<std::size_t>(r)];
  }
  at::Tensor own() const { return all.narrow(0, first, samples[static_cast<std::size_t>(rank)]); }
  /// This rank's cells of all samples.
  at::Tensor parts() const {
    return grid->part_of(all.view({total * fields, 30})).reshape({total, fields * grid->local_cells()});
  }

  std::shared_ptr<const CellGrid> grid;
  int rank = 0;
  std::vector<int> samples;
  std::int64_t total = 0;
  std::int64_t first = 0;
  at::Tensor all;  // [N, fields * cells]
};

}  // namespace

BOOST_AUTO_TEST_SUITE(grid_sample_exchange, *utf::label("prdp"))

BOOST_AUTO_TEST_CASE(samples_become_parts_and_come_back,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const Setting setting;
  const SampleExchange exchange(setting.grid, setting.samples, fields);
  BOOST_TEST(exchange.all_samples() == setting.total);
  BOOST_TEST(exchange.first_sample() == setting.first);
  BOOST_TEST(at::equal(exchange.to_parts(setting.own()), setting.parts()));
  BOOST_TEST(at::equal(exchange.to_whole(setting.parts()), setting.own()));
}

// <w, parts(u)> over all ranks has the derivative parts^T(w) = whole(w), and the other way round.
BOOST_AUTO_TEST_CASE(cotangents_take_the_way_back,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const Setting setting;
  const SampleExchange exchange(setting.grid, setting.samples, fields);
  const at::Tensor whole = setting.own().clone().requires_grad_(true);
  (exchange.to_parts(whole) * setting.parts().square()).sum().backward();
  BOOST_TEST(at::equal(whole.grad(), setting.own().square()));
  const at::Tensor parts = setting.parts().clone().requires_grad_(true);
  (exchange.to_whole(parts) * setting.own().square()).sum().backward();
  BOOST_TEST(at::equal(parts.grad(), setting.parts().square()));
}

BOOST_AUTO_TEST_CASE(other_shapes_are_refused, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const Setting setting;
  const SampleExchange exchange(setting.grid, setting.samples, fields);
  const std::int64_t own = setting.own().size(0);
  BOOST_CHECK_THROW(exchange.to_parts(at::zeros({own, 30}, at::kDouble)), UserError);
  BOOST_CHECK_THROW(exchange.to_parts(at::zeros({own, fields * 30}, at::kFloat)), UserError);
  BOOST_CHECK_THROW(
      exchange.to_whole(at::zeros({setting.total + 1, fields * setting.grid->local_cells()}, at::kDouble)), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
