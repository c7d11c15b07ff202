#include "espalier/implicit/incompressible_projection.hpp"

#include "core/scoped_options.hpp"
#include "implicit/periodic_step.hpp"

using namespace periodic_step;
using implicit::IncompressibleProjection;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t columns = 7;
constexpr std::int64_t rows = 6;
constexpr double width = 1.4;
constexpr double height = 0.9;

std::shared_ptr<const grid::CellGrid> torus() {
  return std::make_shared<const grid::CellGrid>(
      PETSC_COMM_WORLD, std::vector<grid::Axis>{{columns, 0, width, {}, {}}, {rows, 0, height, {}, {}}});
}

/// D as a dense matrix [cells, 2 cells]; G = -D^T.
at::Tensor divergence() {
  return at::cat({at::kron(at::eye(rows, at::kDouble), forward_difference(columns, width / columns)),
                  at::kron(forward_difference(rows, height / rows), at::eye(columns, at::kDouble))},
                 1);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_incompressible_projection,
                      *utf::label("unit") * utf::label("implicit") * utf::label("prdp"))

// u - D^+ D u is the nearest velocity without divergence; the pressures stay.
BOOST_AUTO_TEST_CASE(gives_the_nearest_velocity_without_divergence,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const auto grid = torus();
  const Problem plane{grid, 3, 3, nullptr, nullptr, nullptr};
  const at::Tensor x = plane.state(1);
  const at::Tensor d = divergence();
  at::Tensor expected = x.clone();
  const at::Tensor u = x.narrow(1, 0, 2).reshape({3, -1});
  expected.narrow(1, 0, 2).copy_((u - u.matmul(d.t()).matmul(at::linalg_pinv(d).t())).view({3, 2, -1}));
  IncompressibleProjection projection(grid);
  const auto vec = plane.vec(x);
  projection.apply(vec.get());
  BOOST_TEST(plane.error(vec.get(), expected) <= 1e-12);
  // Once more changes nothing, and nothing stays nothing.
  projection.apply(vec.get());
  BOOST_TEST(plane.error(vec.get(), expected) <= 1e-12);
  ESPALIER_CALL(VecZeroEntries(vec.get()));
  projection.apply(vec.get());
  PetscReal norm = 1;
  ESPALIER_CALL(VecNorm(vec.get(), NORM_2, &norm));
  BOOST_TEST(norm == 0);
}

BOOST_AUTO_TEST_CASE(bad_grids_states_and_solves_are_told, *utf::label("np1") * utf::label("np2")) {
  const grid::Boundary wall{grid::BoundaryType::dirichlet, 0};
  BOOST_CHECK_THROW(IncompressibleProjection(std::make_shared<const grid::CellGrid>(
                        PETSC_COMM_WORLD, std::vector<grid::Axis>{{6, 0, 1, wall, wall}, {5, 0, 1, {}, {}}})),
                    UserError);
  const auto grid = torus();
  const Problem plane{grid, 1, 3, nullptr, nullptr, nullptr};
  {
    IncompressibleProjection projection(grid);
    const auto one_field =
        testing::vector_of(testing::Numbers(static_cast<std::size_t>(grid->local_cells()), 1), PETSC_COMM_WORLD);
    BOOST_CHECK_THROW(projection.apply(one_field.get()), UserError);
  }
  const testing::ScopedOptions options("-projection_ksp_max_it 2");
  IncompressibleProjection impatient(grid);
  BOOST_CHECK_THROW(impatient.apply(plane.vec(plane.state(1)).get()), NumericalError);
}

BOOST_AUTO_TEST_SUITE_END()
