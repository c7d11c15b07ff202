#include "espalier/implicit/burgers_step.hpp"

#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "implicit/periodic_step.hpp"

using namespace periodic_step;
using implicit::BurgersStep;
using implicit::LinearSolve;
using testing::ScopedOptions;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t points = 11;
constexpr double length = 1.3;
constexpr double viscosity = 0.05;
constexpr double step = 0.15;

std::shared_ptr<const grid::CellGrid> ring(PetscInt cells, double extent = length) {
  return std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{cells, 0, extent, {}, {}}});
}

// A = I + dt (diag(max((S_- y + y) / 2, 0)) B + diag(min((y + S_+ y) / 2, 0)) F) - dt nu L
at::Tensor dense_matrix(const at::Tensor& y) {
  const double h = length / points;
  const at::Tensor u = y.view({-1, points});
  const auto wind = [&](std::int64_t distance) { return (u.matmul(shift(points, distance).t()) + u).unsqueeze(2) / 2; };
  return at::eye(points, at::kDouble) - step * viscosity * second_difference(points, h) +
         step * (wind(-1).clamp_min(0) * backward_difference(points, h) +
                 wind(1).clamp_max(0) * forward_difference(points, h));
}

Problem problem() {
  const auto grid = ring(points);
  return {grid,
          3,
          1,
          std::make_shared<BurgersStep>(grid, implicit::BurgersStepSettings{viscosity, step}),
          dense_matrix,
          [](const at::Tensor& y) {
            return y.view({-1, points});
          }};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_burgers_step, *utf::label("implicit") * utf::label("prdp"))

BOOST_AUTO_TEST_CASE(products_and_matrices_are_those_of_the_dense_equation,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const Problem dense = problem();
  check_products(dense);
  check_data_product(dense);
  check_matrices(dense);
}

BOOST_AUTO_TEST_CASE(gradients_of_chains_are_those_of_dense_solves,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options(
      "-ksp_rtol 1e-13 -short_ksp_gmres_restart 2 -short_ksp_rtol 1e-13 -short_adjoint_ksp_gmres_restart 2 "
      "-b_pc_type bjacobi -b_ksp_rtol 1e-13");
  const Problem dense = problem();
  const auto like = dense.vec(dense.state(1));
  for (const std::string prefix : {"", "short_", "b_"}) {
    LinearSolve solver(dense.step, like.get(), prefix);
    BOOST_TEST_CONTEXT("prefix " << prefix)
    check_chain(dense, solver, [](const at::Tensor& a, const at::Tensor& b) { return at::linalg_solve(a, b); });
  }
}

// Cole and Hopf: u = c - 2 nu (log phi)_x with phi = 3/2 + exp(-nu k^2 t) cos(k (x - c t)); u has both signs.
BOOST_AUTO_TEST_CASE(converges_with_order_one, *utf::label("unit") * utf::label("np1")) {
  constexpr double c = 0.2;
  constexpr double end = 0.2;
  const double k = 2 * M_PI;
  std::vector<double> errors;
  for (const PetscInt cells : {64, 128, 256}) {
    const auto grid = ring(cells, 1);
    const at::Tensor x = grid->centres().view({-1});
    const auto exact = [&](double t) {
      const double decay = std::exp(-viscosity * k * k * t);
      const at::Tensor phase = k * (x - c * t);
      return c + 2 * viscosity * k * decay * phase.sin() / (1.5 + decay * phase.cos());
    };
    const int steps = cells / 4;
    const auto residual = std::make_shared<BurgersStep>(grid, implicit::BurgersStepSettings{viscosity, end / steps});
    const Problem line{grid, 1, 1, residual, nullptr, nullptr};
    LinearSolve solver(residual, line.vec(exact(0)).get());
    const torch::NoGradGuard no_grad;
    at::Tensor u = exact(0);
    for (int n = 0; n < steps; ++n) u = implicit::linear_solve(solver, u);
    errors.push_back(relative(u, exact(end)));
  }
  BOOST_TEST(errors[2] < 0.02);
  BOOST_TEST(std::abs(errors[0] / errors[1] - 2) < 0.15);
  BOOST_TEST(std::abs(errors[1] / errors[2] - 2) < 0.1);
}

// Bhatia, Koehler, Thuerey (2025), F.3: 23 restarts of GMRES(2) leave 1e-5 of the residual in the second step.
BOOST_AUTO_TEST_CASE(short_gmres_takes_as_many_restarts_as_published, *utf::label("unit") * utf::label("np1")) {
  const ScopedOptions options("-ksp_gmres_restart 2 -ksp_rtol 1e-5");
  const auto grid = ring(256, 1);
  const auto residual = std::make_shared<BurgersStep>(grid, implicit::BurgersStepSettings{1e-3, 0.01});
  const at::Tensor phases =
      2 * M_PI * torch::arange(1, 21, torch::kDouble).unsqueeze(1) * grid->centres().view({1, -1});
  torch::manual_seed(1);
  const auto amplitudes = [] { return 2 * torch::rand({25, 20}, torch::kDouble) - 1; };
  const at::Tensor start = amplitudes().matmul(phases.sin()) + amplitudes().matmul(phases.cos());
  const Problem line{grid, 25, 1, residual, nullptr, nullptr};
  LinearSolve solver(residual, line.vec(start).get());
  const torch::NoGradGuard no_grad;
  const at::Tensor first = implicit::linear_solve(solver, start.contiguous());
  const long before = solver.iterations_forward();
  (void)implicit::linear_solve(solver, first);
  const long restarts = (solver.iterations_forward() - before + 1) / 2;
  BOOST_TEST(restarts >= 18);
  BOOST_TEST(restarts <= 28);
}

BOOST_AUTO_TEST_CASE(bad_grids_settings_and_states_are_refused,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  using Settings = implicit::BurgersStepSettings;
  const grid::Boundary wall{grid::BoundaryType::dirichlet, 0};
  const auto line = [](grid::Boundary end) {
    return std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{9, 0, 1, end, end}});
  };
  const auto plane = std::make_shared<const grid::CellGrid>(
      PETSC_COMM_WORLD, std::vector<grid::Axis>{{9, 0, 1, {}, {}}, {9, 0, 1, {}, {}}});
  BOOST_CHECK_THROW(BurgersStep(line(wall), Settings{viscosity, step}), UserError);
  BOOST_CHECK_THROW(BurgersStep(plane, Settings{viscosity, step}), UserError);
  BOOST_CHECK_THROW(BurgersStep(line({}), Settings{-1e-9, step}), UserError);
  BOOST_CHECK_THROW(BurgersStep(line({}), Settings{std::nan(""), step}), UserError);
  BOOST_CHECK_THROW(BurgersStep(line({}), Settings{viscosity, 0}), UserError);
  BOOST_CHECK_THROW(BurgersStep(line({}), Settings{viscosity, -step}), UserError);
  BurgersStep inviscid(line({}), Settings{0, step});
  const int rank = testing::rank_of();
  // One entry too many, on one rank only.
  const auto cells = static_cast<std::size_t>(inviscid.grid().local_cells());
  const auto u = testing::vector_of(testing::Numbers(2 * cells + (rank == 0 ? 1 : 0), 0.5), PETSC_COMM_WORLD);
  const auto f = testing::unwritten_like(u.get());
  BOOST_CHECK_THROW(inviscid.apply(u.get(), u.get(), f.get()), UserError);
  BOOST_CHECK_THROW((void)inviscid.linearize(u.get(), u.get()), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
