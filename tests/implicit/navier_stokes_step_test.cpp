#include "espalier/implicit/navier_stokes_step.hpp"

#include "core/scoped_options.hpp"
#include "espalier/data/filtered_noise.hpp"
#include "espalier/implicit/incompressible_projection.hpp"
#include "implicit/periodic_step.hpp"

using namespace periodic_step;
using implicit::LinearSolve;
using implicit::NavierStokesStep;
using testing::ScopedOptions;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t columns = 6;
constexpr std::int64_t rows = 5;
constexpr std::int64_t cells = columns * rows;
constexpr double width = 1.2;
constexpr double height = 0.9;
constexpr double viscosity = 0.03;
constexpr double step = 0.1;

using Settings = implicit::NavierStokesStepSettings;

std::shared_ptr<const grid::CellGrid> torus(PetscInt nx, PetscInt ny, double lx, double ly) {
  return std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD,
                                                std::vector<grid::Axis>{{nx, 0, lx, {}, {}}, {ny, 0, ly, {}, {}}});
}

at::Tensor along_x(const at::Tensor& line) { return at::kron(at::eye(rows, at::kDouble), line); }
at::Tensor along_y(const at::Tensor& line) { return at::kron(line, at::eye(columns, at::kDouble)); }
at::Tensor shift_x(std::int64_t distance) { return along_x(shift(columns, distance)); }
at::Tensor shift_y(std::int64_t distance) { return along_y(shift(rows, distance)); }
at::Tensor applied(const at::Tensor& matrix, const at::Tensor& fields) { return fields.matmul(matrix.t()); }

/// diag(max((S_- w + w) / 2, 0)) B + diag(min((w + S_+ w) / 2, 0)) F for one axis, of each sample.
at::Tensor upwind(const at::Tensor& w, const at::Tensor& minus, const at::Tensor& plus, const at::Tensor& backward,
                  const at::Tensor& forward) {
  return ((applied(minus, w) + w) / 2).clamp_min(0).unsqueeze(2) * backward +
         ((applied(plus, w) + w) / 2).clamp_max(0).unsqueeze(2) * forward;
}

// Equation 55 of Bhatia, Koehler, Thuerey (2025), the equations of momentum divided by dt.
at::Tensor dense_matrix(const at::Tensor& y) {
  const at::Tensor u = y.select(1, 0);
  const at::Tensor v = y.select(1, 1);
  const at::Tensor one = at::eye(cells, at::kDouble);
  const double h_x = width / columns;
  const double h_y = height / rows;
  const at::Tensor d_x = along_x(forward_difference(columns, h_x));
  const at::Tensor d_y = along_y(forward_difference(rows, h_y));
  const at::Tensor g_x = along_x(backward_difference(columns, h_x));
  const at::Tensor g_y = along_y(backward_difference(rows, h_y));
  const at::Tensor constant =
      one / step - viscosity * (along_x(second_difference(columns, h_x)) + along_y(second_difference(rows, h_y)));
  const auto momentum = [&](const at::Tensor& w_x, const at::Tensor& w_y) {
    return constant + upwind(w_x, shift_x(-1), shift_x(1), g_x, d_x) + upwind(w_y, shift_y(-1), shift_y(1), g_y, d_y);
  };
  const at::Tensor v_at_u = applied((one + shift_x(-1)).matmul(one + shift_y(1)) / 4, v);
  const at::Tensor u_at_v = applied((one + shift_x(1)).matmul(one + shift_y(-1)) / 4, u);
  const at::Tensor of_u = momentum(u, v_at_u);
  const at::Tensor of_v = momentum(u_at_v, v);
  const auto all = [&](const at::Tensor& block) { return block.expand_as(of_u); };
  const at::Tensor zero = at::zeros_like(of_u);
  return at::cat(
      {at::cat({of_u, zero, all(g_x)}, 2), at::cat({zero, of_v, all(g_y)}, 2), at::cat({all(d_x), all(d_y), zero}, 2)},
      1);
}

at::Tensor dense_right(const at::Tensor& y) {
  const at::Tensor momentum = at::tensor({1 / step, 1 / step, 0.0}, at::kDouble);
  return (y * momentum.view({1, 3, 1})).reshape({y.size(0), -1});
}

// The solution with pressures of mean 0: constants of p are the null space on both sides.
at::Tensor dense_solve(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor mean = at::zeros({3 * cells, 3 * cells}, at::kDouble);
  mean.narrow(0, 2 * cells, cells).narrow(1, 2 * cells, cells).fill_(1.0 / cells);
  return at::linalg_solve(a + mean, b);
}

Problem problem() {
  const auto grid = torus(columns, rows, width, height);
  return {grid, 2, 3, std::make_shared<NavierStokesStep>(grid, Settings{viscosity, step}), dense_matrix, dense_right};
}

std::unique_ptr<LinearSolve> solver_of(const std::shared_ptr<NavierStokesStep>& residual, Vec like,
                                       const std::string& prefix = "") {
  auto solver = std::make_unique<LinearSolve>(residual, like, prefix);
  residual->attach_null_space(solver->ksp());
  residual->attach_null_space(solver->adjoint_ksp());
  return solver;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_navier_stokes_step, *utf::label("implicit") * utf::label("prdp"))

BOOST_AUTO_TEST_CASE(products_and_matrices_are_those_of_the_dense_equation,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const Problem dense = problem();
  check_products(dense);
  check_data_product(dense);
  check_matrices(dense);
}

// Weights and the functions between steps give pressures cotangents whose mean is not 0.
BOOST_AUTO_TEST_CASE(gradients_of_chains_are_those_of_dense_solves,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options(
      "-ksp_rtol 1e-13 -ksp_gmres_restart 200 -adjoint_ksp_gmres_restart 200 -j_pc_type jacobi -j_ksp_rtol 1e-13 "
      "-j_ksp_gmres_restart 200 -j_adjoint_ksp_gmres_restart 200");
  const Problem dense = problem();
  const auto like = dense.vec(dense.state(1));
  const auto residual = std::dynamic_pointer_cast<NavierStokesStep>(dense.step);
  for (const std::string prefix : {"", "j_"}) {
    const auto solver = solver_of(residual, like.get(), prefix);
    BOOST_TEST_CONTEXT("prefix " << prefix) check_chain(dense, *solver, dense_solve);
  }
}

// u = sin(k x) cos(k y) exp(-2 nu k^2 t), v with the signs that make it free of divergence, and its pressure.
BOOST_AUTO_TEST_CASE(the_vortex_of_taylor_and_green_decays_with_order_one, *utf::label("unit") * utf::label("np1")) {
  constexpr double nu = 0.02;
  constexpr double end = 0.2;
  const double k = 2 * M_PI;
  const ScopedOptions options("-ksp_rtol 1e-9 -ksp_gmres_restart 60");
  const torch::NoGradGuard no_grad;
  std::vector<double> errors;
  std::vector<double> pressure_errors;
  for (const PetscInt n : {16, 32, 64}) {
    const auto grid = torus(n, n, 1, 1);
    const at::Tensor centres = grid->centres();
    const at::Tensor x = k * centres.select(1, 0);
    const at::Tensor y = k * centres.select(1, 1);
    const double half = 0.5 * k / n;
    const auto exact = [&](double t) {
      const double decay = std::exp(-2 * nu * k * k * t);
      return at::stack({decay * (x - half).sin() * y.cos(), -decay * x.cos() * (y - half).sin(),
                        decay * decay * ((2 * x).cos() + (2 * y).cos()) / 4})
          .unsqueeze(0);
    };
    const int steps = n / 4;
    const auto residual = std::make_shared<NavierStokesStep>(grid, Settings{nu, end / steps});
    const Problem plane{grid, 1, 3, residual, nullptr, nullptr};
    LinearSolve solver(residual, plane.vec(exact(0)).get());
    at::Tensor u = exact(0);
    for (int i = 0; i < steps; ++i) u = implicit::linear_solve(solver, u);
    errors.push_back(relative(u.narrow(1, 0, 2), exact(end).narrow(1, 0, 2)));
    pressure_errors.push_back(relative(u.select(1, 2), exact(end).select(1, 2)));
    BOOST_TEST(std::abs(u.select(1, 2).mean().item<double>()) <= 1e-12);
    const at::Tensor plane_u = u.view({3, n, n});
    const at::Tensor divergence = n * (plane_u[0].roll(-1, 1) - plane_u[0] + plane_u[1].roll(-1, 0) - plane_u[1]);
    BOOST_TEST(divergence.norm().item<double>() <= 1e-9 * (steps / end) * exact(0).norm().item<double>());
  }
  BOOST_TEST(errors[2] < 0.04);
  BOOST_TEST(std::abs(errors[1] / errors[2] - 2) < 0.2);
  BOOST_TEST(std::abs(pressure_errors[1] / pressure_errors[2] - 2) < 0.3);
}

// Bhatia, Koehler, Thuerey (2025), whose programs take 42 restarts of GMRES(8) to leave 1e-5 of the residual.
BOOST_AUTO_TEST_CASE(short_gmres_takes_as_many_restarts_as_published, *utf::label("unit") * utf::label("np1")) {
  constexpr std::size_t n = 48;
  const ScopedOptions options("-ksp_gmres_restart 8 -ksp_rtol 1e-5");
  const auto grid = torus(n, n, 1, 1);
  const auto residual = std::make_shared<NavierStokesStep>(grid, Settings{1e-4, 0.1});
  const at::Tensor start = at::zeros({1, 3, n * n}, at::kDouble);
  for (std::size_t d = 0; d < 2; ++d)
    start[0][static_cast<std::int64_t>(d)].copy_(torch::tensor(data::filtered_noise({n, n, 4, 1}, d), torch::kDouble));
  const Problem plane{grid, 1, 3, residual, nullptr, nullptr};
  const auto y = plane.vec(start);
  const auto x = testing::unwritten_like(y.get());
  implicit::IncompressibleProjection(grid).apply(y.get());
  LinearSolve solver(residual, y.get());
  solver.solve(y.get(), x.get(), implicit::Record::no);
  const long restarts = (solver.iterations_forward() + 7) / 8;
  BOOST_TEST(restarts >= 36);
  BOOST_TEST(restarts <= 48);
}

BOOST_AUTO_TEST_CASE(bad_grids_settings_and_states_are_refused,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const grid::Boundary wall{grid::BoundaryType::neumann, 0};
  const auto channel = std::make_shared<const grid::CellGrid>(
      PETSC_COMM_WORLD, std::vector<grid::Axis>{{6, 0, 1, {}, {}}, {5, 0, 1, wall, wall}});
  const auto line =
      std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{9, 0, 1, {}, {}}});
  const auto plane = torus(6, 5, 1, 1);
  BOOST_CHECK_THROW(NavierStokesStep(channel, Settings{viscosity, step}), UserError);
  BOOST_CHECK_THROW(NavierStokesStep(line, Settings{viscosity, step}), UserError);
  BOOST_CHECK_THROW(NavierStokesStep(plane, Settings{-viscosity, step}), UserError);
  BOOST_CHECK_THROW(NavierStokesStep(plane, Settings{viscosity, 0}), UserError);
  NavierStokesStep inviscid(plane, Settings{0, step});
  // Whole samples of one field, but not of three.
  const auto u =
      testing::vector_of(testing::Numbers(static_cast<std::size_t>(plane->local_cells()), 0.5), PETSC_COMM_WORLD);
  const auto f = testing::unwritten_like(u.get());
  BOOST_CHECK_THROW(inviscid.apply(u.get(), u.get(), f.get()), UserError);
  BOOST_CHECK_THROW(inviscid.remove_mean_pressure(u.get()), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
