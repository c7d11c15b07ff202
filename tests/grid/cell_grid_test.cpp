#include "espalier/grid/cell_grid.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "grid/grids.hpp"

using namespace espalier;
using grid::BoundaryType;
using grid::CellGrid;
using testing::bounded_axis;
using testing::periodic_axis;

namespace utf = boost::unit_test;

namespace {

/// Centres of all cells in natural order, [dimension, global cells].
at::Tensor all_centres(const testing::Axes& axes) {
  const auto n = testing::cells_of(axes);
  at::Tensor centres = at::empty({static_cast<std::int64_t>(axes.size()), n[2], n[1], n[0]}, at::kDouble);
  for (std::size_t d = 0; d < axes.size(); ++d) {
    const double h = testing::spacing_of(axes[d]);
    std::vector<std::int64_t> shape = {1, 1, 1};
    shape[2 - d] = axes[d].cells;
    const at::Tensor line = axes[d].lower + h / 2 + h * at::arange(axes[d].cells, at::kDouble);
    centres.select(0, static_cast<std::int64_t>(d)).copy_(line.view(shape).expand({n[2], n[1], n[0]}));
  }
  return centres.flatten(1);
}

bool refuses(const testing::Axes& axes, PetscInt width = 1) {
  try {
    CellGrid(PETSC_COMM_WORLD, axes, width);
  } catch (const UserError&) {
    return true;
  }
  return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(grid_cell_grid, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(parts_make_up_the_whole, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const auto& axes : testing::various_axes()) {
    const CellGrid grid(PETSC_COMM_WORLD, axes, 2);
    std::int64_t cells = grid.local_cells();
    MPI_Allreduce(MPI_IN_PLACE, &cells, 1, MPI_INT64_T, MPI_SUM, PETSC_COMM_WORLD);
    BOOST_TEST(cells == grid.global_cells());
    BOOST_TEST(static_cast<std::size_t>(cells) == testing::count_of(axes));
    BOOST_TEST(grid.dimension() == static_cast<int>(axes.size()));
    const at::Tensor centres = all_centres(axes);
    const at::Tensor part = grid.part_of(centres);
    BOOST_TEST((part - grid.centres().t()).abs().max().item<double>() <= 1e-14);
    // From rank 0 and back; the others need no array.
    const at::Tensor scattered = grid.scatter_natural(testing::rank_of() == 0 ? centres : at::Tensor());
    BOOST_TEST(at::equal(scattered, part));
    const at::Tensor gathered = grid.gather_natural(scattered);
    BOOST_TEST(gathered.size(0) == centres.size(0));
    if (testing::rank_of() == 0) {
      BOOST_TEST(at::equal(gathered, centres));
    } else {
      BOOST_TEST(gathered.numel() == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_shorter_surfaces_are_cut, *utf::label("np4")) {
  const CellGrid square(PETSC_COMM_WORLD, {periodic_axis(16), periodic_axis(16)});
  BOOST_TEST(square.extent()[0] == 8);
  BOOST_TEST(square.extent()[1] == 8);
  // Two ranks side by side find no room.
  const CellGrid grid(PETSC_COMM_WORLD, {periodic_axis(3), periodic_axis(64)});
  BOOST_TEST(grid.extent()[0] == 3);
  BOOST_TEST(grid.extent()[1] == 16);
}

BOOST_AUTO_TEST_CASE(axes_that_make_no_sense_are_refused, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  BOOST_TEST(refuses({}));
  BOOST_TEST(refuses({periodic_axis(8), periodic_axis(8), periodic_axis(8), periodic_axis(8)}));
  BOOST_TEST(refuses({periodic_axis(2)}));
  BOOST_TEST(refuses({periodic_axis(8), periodic_axis(4)}, 2));
  BOOST_TEST(refuses({periodic_axis(8)}, 3));
  BOOST_TEST(refuses({bounded_axis(8, {BoundaryType::periodic, 0}, {BoundaryType::neumann, 0})}));
  BOOST_TEST(refuses({bounded_axis(8, {BoundaryType::dirichlet, std::nan("")}, {BoundaryType::neumann, 0})}));
  BOOST_TEST(refuses({{8, 1.0, 1.0, {}, {}}}));
  // Four ranks leave some rank fewer than two of seven cells.
  BOOST_TEST(refuses({periodic_axis(7)}, 2) == (testing::size_of() == 4));
  BOOST_TEST(!refuses({periodic_axis(8)}, 2));
}

BOOST_AUTO_TEST_CASE(arrays_of_another_shape_are_refused_everywhere, *utf::label("np1") * utf::label("np2")) {
  const CellGrid grid(PETSC_COMM_WORLD, {periodic_axis(8)});
  BOOST_CHECK_THROW(grid.part_of(at::zeros({1, 7}, at::kDouble)), UserError);
  BOOST_CHECK_THROW(grid.scatter_natural(testing::rank_of() == 0 ? at::zeros({8}, at::kDouble) : at::Tensor()),
                    UserError);
  // One rank alone is wrong.
  const std::int64_t cells = grid.local_cells() + (testing::rank_of() == 0 ? 1 : 0);
  BOOST_CHECK_THROW(grid.gather_natural(at::zeros({1, cells}, at::kDouble)), UserError);
}

BOOST_AUTO_TEST_CASE(points_lie_between_given_ends, *utf::label("prdp")) {
  const CellGrid grid(PETSC_COMM_SELF, {grid::point_axis(30, 1, 3, 0.5)});
  const at::Tensor x = grid.centres().select(1, 0);
  BOOST_TEST(grid.spacing(0) == 2.0 / 31, boost::test_tools::tolerance(1e-14));
  BOOST_TEST(x[0].item<double>() == 1 + 2.0 / 31, boost::test_tools::tolerance(1e-14));
  BOOST_TEST(x[29].item<double>() == 1 + 60.0 / 31, boost::test_tools::tolerance(1e-14));
  BOOST_TEST(grid.axis(0).low.value == 0.5);
  BOOST_TEST((grid.axis(0).high.type == BoundaryType::dirichlet_point));
}

BOOST_AUTO_TEST_CASE(boundaries_have_names) {
  BOOST_TEST((grid::boundary_type("periodic") == BoundaryType::periodic));
  BOOST_TEST((grid::boundary_type("dirichlet") == BoundaryType::dirichlet));
  BOOST_TEST((grid::boundary_type("neumann") == BoundaryType::neumann));
  BOOST_TEST((grid::boundary_type("dirichlet_point") == BoundaryType::dirichlet_point));
  BOOST_CHECK_THROW(grid::boundary_type("open"), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
