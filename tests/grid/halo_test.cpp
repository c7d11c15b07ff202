#include "espalier/grid/halo.hpp"

#include <ATen/ATen.h>

#include <boost/test/unit_test.hpp>

#include "grid/grids.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using grid::Beyond;
using grid::CellGrid;
using testing::Index;
using testing::Numbers;

namespace utf = boost::unit_test;

namespace {

/// max |buffer - definition| over the cells of this rank and their ghosts along the axes, of one sample.
double error_of(const CellGrid& grid, const testing::Axes& axes, const Numbers& whole, Beyond beyond,
                const double* buffer) {
  const auto ghosted = grid.ghosted_extent();
  const PetscInt width = grid.stencil_width();
  double error = 0;
  for (PetscInt k = 0; k < ghosted[2]; ++k)
    for (PetscInt j = 0; j < ghosted[1]; ++j)
      for (PetscInt i = 0; i < ghosted[0]; ++i, ++buffer) {
        const std::array<PetscInt, 3> place = {i, j, k};
        Index cell = {0, 0, 0};
        int outside = 0;
        for (std::size_t d = 0; d < axes.size(); ++d) {
          const PetscInt local = place[d] - width;
          cell[d] = grid.corner()[d] + local;
          outside += local < 0 || local >= grid.extent()[d] ? 1 : 0;
        }
        if (outside > 1) continue;
        const double difference = std::abs(*buffer - testing::value_at(axes, whole, cell, beyond));
        if (!(difference <= error)) error = difference;
      }
  return error;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(grid_halo, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(ghosts_are_those_of_the_whole_grid, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const auto& axes : testing::various_axes())
    for (const PetscInt width : {1, 2}) {
      const auto grid = std::make_shared<const CellGrid>(PETSC_COMM_WORLD, axes, width);
      const std::size_t cells = testing::count_of(axes);
      for (const std::int64_t samples : {1, 3}) {
        Numbers whole = testing::some_numbers(static_cast<std::size_t>(samples) * cells, 3);
        const at::Tensor state =
            grid->part_of(at::from_blob(whole.data(), {samples, grid->global_cells()}, at::kDouble));
        const grid::Halo halo(grid, samples);
        Numbers buffer(static_cast<std::size_t>(halo.length()), std::nan(""));
        for (const Beyond beyond : {Beyond::values, Beyond::tangents, Beyond::zero, Beyond::nearest}) {
          halo.fill(state.data_ptr<double>(), beyond, buffer.data());
          for (std::int64_t s = 0; s < samples; ++s) {
            const auto start = whole.begin() + s * static_cast<long>(cells);
            const Numbers sample(start, start + static_cast<long>(cells));
            BOOST_TEST(error_of(*grid, axes, sample, beyond, buffer.data() + s * halo.ghosted_cells()) <= 1e-14);
          }
        }
      }
    }
}

BOOST_AUTO_TEST_SUITE_END()
