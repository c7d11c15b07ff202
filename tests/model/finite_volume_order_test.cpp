// Orders of accuracy of FiniteVolumeTerm by manufactured solutions.
#include <boost/test/unit_test.hpp>

#include "espalier/model/gradient_check.hpp"
#include "model/finite_volume_reference.hpp"

using namespace espalier;
using model::Advection;
using model::FaceScheme;
using model::FiniteVolumeSettings;
using model::FiniteVolumeTerm;
using testing::Axes;
using testing::entries_of;
using testing::Numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

using GridPointer = std::shared_ptr<const grid::CellGrid>;

constexpr double pi = 3.14159265358979323846;

Numbers numbers_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

// Mean over all ranks.
double mean_of(const at::Tensor& local) {
  double sums[2] = {local.sum().item<double>(), static_cast<double>(local.numel())};
  MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
  return sums[0] / sums[1];
}

at::Tensor apply(FiniteVolumeTerm& term, const at::Tensor& u) {
  const auto state = vector_of(numbers_of(u), PETSC_COMM_WORLD);
  const auto f = unwritten_like(state.get());
  term.apply(0, state.get(), f.get());
  const Numbers result = entries_of(f.get());
  return at::tensor(result, at::kDouble);
}

// mean |f(u) - (-div F + div(D grad u))| on a periodic square for u = 3/2 + sin x cos y with variable coefficients.
double periodic_error(PetscInt n, Advection advection, FaceScheme scheme) {
  const grid::Axis axis{n, 0, 2 * pi, {}, {}};
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, Axes{axis, axis}, 2);
  const at::Tensor centres = grid->centres();
  const at::Tensor x = centres.select(1, 0);
  const at::Tensor y = centres.select(1, 1);
  const at::Tensor u = 1.5 + x.sin() * y.cos();
  const at::Tensor u_x = x.cos() * y.cos();
  const at::Tensor u_y = -x.sin() * y.sin();
  const at::Tensor v = 1 + 0.3 * x.cos();
  const at::Tensor v_x = -0.3 * x.sin();
  const at::Tensor w = -0.7 + 0.2 * y.sin();
  const at::Tensor w_y = 0.2 * y.cos();
  const at::Tensor d = 0.1 + 0.04 * x.sin() * y.sin();
  const at::Tensor d_x = 0.04 * x.cos() * y.sin();
  const at::Tensor d_y = 0.04 * x.sin() * y.cos();
  at::Tensor expected = d_x * u_x + d_y * u_y - 2 * d * x.sin() * y.cos();
  if (advection == Advection::linear) expected -= (v_x + w_y) * u + v * u_x + w * u_y;
  if (advection == Advection::burgers) expected -= (v_x + w_y) * u * u / 2 + (v * u_x + w * u_y) * u;
  std::vector<std::string> names = {"velocity_x", "diffusivity", "velocity_y"};
  std::vector<at::Tensor> values = {v, d, w};
  if (advection == Advection::none) {
    names = {"diffusivity"};
    values = {d};
  }
  FiniteVolumeSettings settings;
  settings.advection = advection;
  settings.scheme = scheme;
  FiniteVolumeTerm term(grid, settings, std::make_shared<testing::PlainFields>(names, at::stack(values)));
  return mean_of((apply(term, u) - expected).abs());
}

double order(const std::function<double(PetscInt)>& error, PetscInt n) { return std::log2(error(n) / error(2 * n)); }

// u = 1 + sin(2 x) / 2 on [0, 1].
at::Tensor solution(const at::Tensor& x) { return 1 + 0.5 * (2 * x).sin(); }
at::Tensor slope(const at::Tensor& x) { return (2 * x).cos(); }
at::Tensor bend(const at::Tensor& x) { return -2 * (2 * x).sin(); }

// The boundary that u has at x = 0 or 1.
grid::Boundary boundary(grid::BoundaryType type, double x, double outward) {
  const at::Tensor place = at::full({1}, x, at::kDouble);
  const bool dirichlet = type == grid::BoundaryType::dirichlet;
  return {type, dirichlet ? solution(place).item<double>() : outward * slope(place).item<double>()};
}

GridPointer line(PetscInt n, grid::BoundaryType low, grid::BoundaryType high) {
  const grid::Axis axis{n, 0, 1, boundary(low, 0, -1), boundary(high, 1, 1)};
  return std::make_shared<const grid::CellGrid>(PETSC_COMM_SELF, Axes{axis}, 2);
}

// max |u_h - u| where u_h is steady under f + s, s such that u is under the PDE: one linear solve.
double steady_error(PetscInt n, grid::BoundaryType low, grid::BoundaryType high) {
  const auto grid = line(n, low, high);
  const at::Tensor x = grid->centres().select(1, 0);
  // D has no slope at the ends: coefficients there are copied from the last cell.
  const at::Tensor d = 0.3 + 0.1 * (2 * pi * x).cos();
  const at::Tensor d_x = -0.2 * pi * (2 * pi * x).sin();
  const at::Tensor source = 0.8 * slope(x) - d_x * slope(x) - d * bend(x);
  FiniteVolumeSettings settings;
  settings.velocity = {0.8};
  FiniteVolumeTerm term(
      grid, settings, std::make_shared<testing::PlainFields>(std::vector<std::string>{"diffusivity"}, d.view({1, -1})));
  const auto residual = vector_of(numbers_of(-(apply(term, solution(x)) + source)));
  const auto correction = unwritten_like(residual.get());
  const auto linearization = term.linearize(0, residual.get());
  const auto matrix = linearization->create_matrix();
  linearization->add_to_matrix(0, 1, matrix.get());
  petsc::KspHandle ksp;
  PC pc = nullptr;
  ESPALIER_CALL(KSPCreate(PETSC_COMM_SELF, ksp.out()));
  ESPALIER_CALL(KSPSetOperators(ksp.get(), matrix.get(), matrix.get()));
  ESPALIER_CALL(KSPSetType(ksp.get(), KSPPREONLY));
  ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
  ESPALIER_CALL(PCSetType(pc, PCLU));
  ESPALIER_CALL(KSPSolve(ksp.get(), residual.get(), correction.get()));
  PetscReal error = 0;
  ESPALIER_CALL(VecNorm(correction.get(), NORM_INFINITY, &error));
  return error;
}

// mean |u_h - u| of the steady state that Heun's method comes to: pure advection from a Dirichlet to a Neumann
// boundary.
double marched_error(PetscInt n, Advection advection, FaceScheme scheme) {
  const auto grid = line(n, grid::BoundaryType::dirichlet, grid::BoundaryType::neumann);
  const at::Tensor x = grid->centres().select(1, 0);
  const at::Tensor exact = solution(x);
  const at::Tensor source = advection == Advection::linear ? slope(x) : exact * slope(x);
  FiniteVolumeSettings settings;
  settings.advection = advection;
  settings.scheme = scheme;
  settings.velocity = {1};
  FiniteVolumeTerm term(grid, settings);
  const double step = 0.3 / static_cast<double>(n);
  at::Tensor u = exact.clone();
  for (int k = 0; k < static_cast<int>(3 / step); ++k) {
    const at::Tensor first = apply(term, u) + source;
    u = u + 0.5 * step * (first + apply(term, u + step * first) + source);
  }
  return (u - exact).abs().mean().item<double>();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_finite_volume_order, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(schemes_have_their_order, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const Advection advection : {Advection::none, Advection::linear, Advection::burgers})
    for (const FaceScheme scheme : {FaceScheme::central, FaceScheme::upwind, FaceScheme::limited}) {
      const bool first = scheme == FaceScheme::upwind && advection != Advection::none;
      const double found = order([&](PetscInt n) { return periodic_error(n, advection, scheme); }, 64);
      BOOST_TEST(std::abs(found - (first ? 1 : 2)) <= 0.2,
                 found << " for scheme " << static_cast<int>(scheme) << " of " << static_cast<int>(advection));
    }
}

BOOST_AUTO_TEST_CASE(boundaries_are_second_order) {
  using grid::BoundaryType;
  for (const BoundaryType low : {BoundaryType::dirichlet, BoundaryType::neumann})
    for (const BoundaryType high : {BoundaryType::dirichlet, BoundaryType::neumann}) {
      // Without an inflow value u is known up to what diffusion brings upstream; with none at all not even that.
      if (low == BoundaryType::neumann && high == BoundaryType::neumann) continue;
      const double found = order([&](PetscInt n) { return steady_error(n, low, high); }, 64);
      BOOST_TEST(std::abs(found - 2) <= 0.15, found);
    }
}

BOOST_AUTO_TEST_CASE(inflow_and_outflow_keep_the_order) {
  for (const Advection advection : {Advection::linear, Advection::burgers})
    for (const FaceScheme scheme : {FaceScheme::upwind, FaceScheme::limited}) {
      const double found = order([&](PetscInt n) { return marched_error(n, advection, scheme); }, 24);
      BOOST_TEST(std::abs(found - (scheme == FaceScheme::upwind ? 1 : 2)) <= 0.25,
                 found << " for scheme " << static_cast<int>(scheme) << " of " << static_cast<int>(advection));
    }
}

BOOST_AUTO_TEST_CASE(tangents_of_limited_burgers_leave_a_square,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const grid::Axis axis{9, 0, 1, {grid::BoundaryType::dirichlet, 0.3}, {grid::BoundaryType::neumann, -1}};
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, Axes{axis, testing::periodic_axis(6)}, 2);
  FiniteVolumeSettings settings;
  settings.advection = Advection::burgers;
  settings.scheme = FaceScheme::limited;
  settings.velocity = {1, -0.6};
  settings.diffusivity = 0.1;
  FiniteVolumeTerm term(grid, settings);
  const std::size_t cells = static_cast<std::size_t>(3 * grid->local_cells());
  const auto u = vector_of(testing::some_numbers(cells, 1), PETSC_COMM_WORLD);
  const auto v = vector_of(testing::some_numbers(cells, 2), PETSC_COMM_WORLD);
  const auto w = vector_of(testing::some_numbers(cells, 3), PETSC_COMM_WORLD);
  const auto y = unwritten_like(u.get());
  PetscScalar derivative = 0;
  term.linearize(0, u.get())->jvp(v.get(), y.get());
  ESPALIER_CALL(VecDot(w.get(), y.get(), &derivative));
  const auto value = [&](double e) {
    PetscScalar result = 0;
    const auto moved = unwritten_like(u.get());
    ESPALIER_CALL(VecWAXPY(moved.get(), e, v.get(), u.get()));
    term.apply(0, moved.get(), y.get());
    ESPALIER_CALL(VecDot(w.get(), y.get(), &result));
    return result;
  };
  const auto taylor = model::taylor_test(value, derivative, 1e-4);
  BOOST_TEST(taylor.passed(), "slope " << taylor.slope());
  BOOST_TEST(model::dot_product_error(term, 0, u.get(), 5) <= 1e-12);
}

BOOST_AUTO_TEST_SUITE_END()
