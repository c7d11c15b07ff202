// Chemical vapour infiltration against dense equations in torch, which differentiates them by itself.
#include "espalier/implicit/infiltration_term.hpp"

#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/nn/positive_network.hpp"
#include "espalier/ts/integrator.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using implicit::Differentiation;
using implicit::InfiltrationLaws;
using implicit::InfiltrationSettings;
using implicit::InfiltrationTerm;
using testing::some_numbers;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t samples = 2;
constexpr PetscInt columns = 6;
constexpr PetscInt rows = 5;
constexpr double beta = 0.8;
constexpr double step = 0.05;
const std::vector<double> times = {0, 0.1, 0.15};

std::shared_ptr<nn::Network> network(double scale, std::uint64_t seed, std::optional<double> unit_at = {}) {
  nn::PositiveNetworkSettings settings;
  settings.mlp.widths = {1, 7, 1};
  settings.mlp.activation = nn::Activation::tanh;
  settings.mlp.seed = seed;
  settings.scale = scale;
  settings.unit_at = unit_at;
  return std::make_shared<nn::PositiveNetwork>(settings);
}

const InfiltrationLaws& laws() {
  static const InfiltrationLaws all = {network(0.3, 1), network(2, 2), network(1, 3, 1.0)};
  return all;
}

at::Tensor numbers(at::IntArrayRef shape, int seed) {
  std::int64_t count = 1;
  for (const auto extent : shape) count *= extent;
  return torch::tensor(at::ArrayRef<double>(some_numbers(static_cast<std::size_t>(count), seed)), torch::kDouble)
      .view(shape);
}

/// The same batch on any number of ranks; porosities [samples, cells] and temperatures [samples, 1] in natural order.
class Problem {
 public:
  explicit Problem(InfiltrationSettings settings) {
    const grid::Boundary gas{grid::BoundaryType::dirichlet, 1};
    grid = std::make_shared<const grid::CellGrid>(
        PETSC_COMM_WORLD, std::vector<grid::Axis>{{columns, 0, 1.2, gas, gas}, {rows, 0, 1, gas, gas}});
    settings.consumption = beta;
    term = std::make_shared<InfiltrationTerm>(grid, laws(), settings);
    parameters = model::joined_parameters({term, nullptr});
    porosity = 0.5 + 0.2 * numbers({samples, columns * rows}, 1);
    temperature = 1 + 0.05 * numbers({samples, 1}, 2);
    weights = numbers({2, samples, columns * rows}, 3);
    u0 = state(porosity, temperature);
  }
  at::Tensor state(const at::Tensor& eps, const at::Tensor& tau) const {
    return at::cat({grid->part_of(eps), tau}, 1).contiguous();
  }
  petsc::VecHandle vec(const at::Tensor& u) const {
    return testing::vector_of({u.data_ptr<double>(), u.data_ptr<double>() + u.numel()}, PETSC_COMM_WORLD);
  }
  std::unique_ptr<ts::Integrator> integrator(const std::string& method) const {
    ts::IntegratorSettings settings;
    settings.method = method;
    settings.step = step;
    return std::make_unique<ts::Integrator>(PETSC_COMM_WORLD, ts::BatchShape{samples, grid->local_cells() + 1},
                                            model::SplitSystem{term, nullptr}, settings);
  }
  at::Tensor sum(at::Tensor local) const {
    local = local.to(at::kDouble).contiguous().clone();
    MPI_Allreduce(MPI_IN_PLACE, local.data_ptr<double>(), static_cast<int>(local.numel()), MPI_DOUBLE, MPI_SUM,
                  PETSC_COMM_WORLD);
    return local;
  }
  at::Tensor local_weights() const {
    const at::Tensor part = grid->part_of(weights.view({2 * samples, -1})).view({2, samples, -1});
    return at::cat({part, at::zeros({2, samples, 1}, at::kDouble)}, 2).contiguous();
  }
  /// s = sum over snapshots of <weights, eps>.
  double value(ts::Integrator& integrator, const at::Tensor& u) const {
    return sum((integrator.forward(u, times, ts::Record::no) * local_weights()).sum()).item<double>();
  }
  struct Gradient {
    at::Tensor theta;        // of all ranks
    at::Tensor porosity;     // of this rank's cells
    at::Tensor temperature;  // of all ranks
  };
  Gradient gradient(ts::Integrator& integrator) {
    parameters.zero_gradient();
    integrator.forward(u0, times, ts::Record::yes);
    const at::Tensor u_bar = integrator.adjoint(local_weights()).clone();
    const std::int64_t cells = grid->local_cells();
    return {sum(parameters.gradient()), u_bar.narrow(1, 0, cells).clone(), sum(u_bar.narrow(1, cells, 1))};
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::shared_ptr<InfiltrationTerm> term;
  nn::FlatParameters parameters;
  at::Tensor porosity, temperature, weights, u0;
};

/// Euler's steps with dense matrices: A = diag(R) + G^T diag(t) G, t = B D the coefficients of the faces, on the
/// boundary twice those of the cell.
class Dense {
 public:
  Dense() {
    std::vector<at::Tensor> differences;
    std::vector<at::Tensor> averages;
    std::vector<double> boundary;
    const auto add = [&](long a, long b, double spacing) {
      at::Tensor g = at::zeros({columns * rows}, at::kDouble);
      at::Tensor t = at::zeros({columns * rows}, at::kDouble);
      g[a] = 1;
      if (b >= 0) g[b] = -1;
      t[a] = (b >= 0 ? 0.5 : 2) / (spacing * spacing);
      if (b >= 0) t[b] = t[a];
      differences.push_back(g);
      averages.push_back(t);
      boundary.push_back(b >= 0 ? 0 : 1);
    };
    const auto cell = [](long i, long j) { return j * columns + i; };
    for (long j = 0; j < rows; ++j)
      for (long i = 0; i < columns; ++i) {
        add(cell(i, j), i + 1 < columns ? cell(i + 1, j) : -1, 1.2 / columns);
        add(cell(i, j), j + 1 < rows ? cell(i, j + 1) : -1, 1.0 / rows);
        if (i == 0) add(cell(i, j), -1, 1.2 / columns);
        if (j == 0) add(cell(i, j), -1, 1.0 / rows);
      }
    g_ = at::stack(differences);
    b_ = at::stack(averages);
    boundary_ = torch::tensor(boundary, torch::kDouble);
  }

  // sweeps = 0: solved exactly.
  at::Tensor molarity(const at::Tensor& d, const at::Tensor& r, long sweeps) const {
    const at::Tensor t = d.matmul(b_.t());
    const at::Tensor a = at::diag_embed(r) + g_.t().matmul(t.unsqueeze(2) * g_);
    const at::Tensor right = (t * boundary_).matmul(g_);
    if (sweeps == 0) return at::linalg_solve(a, right.unsqueeze(2)).squeeze(2);
    at::Tensor c = at::ones_like(r);
    const at::Tensor diagonal = a.diagonal(0, 1, 2);
    for (long k = 0; k < sweeps; ++k) c = c - (a.matmul(c.unsqueeze(2)).squeeze(2) - right) / diagonal;
    return c;
  }

  at::Tensor rate(const at::Tensor& eps, const at::Tensor& tau, long sweeps) const {
    const auto value = [](const std::shared_ptr<nn::Network>& law, const at::Tensor& x) {
      return std::dynamic_pointer_cast<nn::AutogradNetwork>(law)->evaluate(0, x.reshape({-1, 1})).view(x.sizes());
    };
    const at::Tensor r = value(laws().rate, tau) * value(laws().surface, eps);
    return -beta * r * molarity(value(laws().diffusivity, eps), r, sweeps);
  }

 private:
  at::Tensor g_, b_, boundary_;
};

InfiltrationSettings settings_of(long sweeps) {
  InfiltrationSettings settings;
  if (sweeps == 0) return settings;
  settings.differentiation = Differentiation::unrolled;
  settings.iterations = sweeps;
  return settings;
}

double relative(const at::Tensor& a, const at::Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_infiltration_term, *utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(gradients_are_those_of_dense_equations_in_torch,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const long sweeps : {0L, 5L}) {
    Problem problem(settings_of(sweeps));
    const auto integrator = problem.integrator("euler");
    const auto found = problem.gradient(*integrator);
    const at::Tensor states = integrator->forward(problem.u0, times, ts::Record::no).clone();

    const torch::AutoGradMode with_grad(true);
    const Dense dense;
    const at::Tensor porosity = problem.porosity.clone().requires_grad_(true);
    const at::Tensor temperature = problem.temperature.clone().requires_grad_(true);
    at::Tensor eps = porosity;
    at::Tensor sum = torch::zeros({}, torch::kDouble);
    for (int n = 1; n <= 3; ++n) {
      eps = eps + step * dense.rate(eps, temperature, sweeps);
      if (n > 1) sum = sum + (eps * problem.weights[n - 2]).sum();
    }
    problem.parameters.zero_gradient();
    sum.backward();
    const torch::NoGradGuard no_grad;
    const at::Tensor last = problem.grid->part_of(eps.detach());
    BOOST_TEST(relative(states[1].narrow(1, 0, problem.grid->local_cells()), last) <= 1e-11);
    BOOST_TEST(relative(found.theta, problem.parameters.gradient()) <= 1e-10);
    BOOST_TEST(relative(found.porosity, problem.grid->part_of(porosity.grad())) <= 1e-10);
    BOOST_TEST(relative(found.temperature, temperature.grad()) <= 1e-10);
  }
}

BOOST_AUTO_TEST_CASE(products_are_transposed_and_remainders_have_slope_two,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const long sweeps : {0L, 4L}) {
    Problem problem(settings_of(sweeps));
    BOOST_TEST(model::dot_product_error(*problem.term, 0, problem.vec(problem.u0).get(), 5) <= 1e-12);
    const auto integrator = problem.integrator("2a");
    const auto gradient = problem.gradient(*integrator);
    const at::Tensor start = problem.parameters.values().clone();
    const at::Tensor direction = numbers({start.numel()}, 4);
    const auto along_theta = [&](double e) {
      problem.parameters.values().copy_(start + e * direction);
      problem.parameters.mark_changed();
      return problem.value(*integrator, problem.u0);
    };
    BOOST_TEST(model::taylor_test(along_theta, gradient.theta.dot(direction).item<double>(), 1e-1, 5).passed(0.1));
    along_theta(0);
    const at::Tensor eps_tan = 0.3 * numbers({samples, columns * rows}, 5);
    const at::Tensor tau_tan = 0.3 * numbers({samples, 1}, 6);
    const double derivative = problem.sum((gradient.porosity * problem.grid->part_of(eps_tan)).sum()).item<double>() +
                              (gradient.temperature * tau_tan).sum().item<double>();
    const auto along_state = [&](double e) {
      return problem.value(*integrator,
                           problem.state(problem.porosity + e * eps_tan, problem.temperature + e * tau_tan));
    };
    BOOST_TEST(model::taylor_test(along_state, derivative, 1e-1, 5).passed(0.1));
  }
}

BOOST_AUTO_TEST_CASE(sweeps_converge_to_the_implicit_gradient, *utf::label("gradient") * utf::label("np1")) {
  Problem exact(settings_of(0));
  const at::Tensor expected = exact.gradient(*exact.integrator("euler")).theta;
  std::vector<double> errors;
  for (const long sweeps : {10L, 30L, 90L, 270L}) {
    Problem problem(settings_of(sweeps));
    errors.push_back(relative(problem.gradient(*problem.integrator("euler")).theta, expected));
    BOOST_TEST(problem.term->iterations_forward() == 3 * sweeps);
  }
  BOOST_TEST(errors[1] < 0.5 * errors[0]);
  BOOST_TEST(errors[2] < 0.1 * errors[1]);
  BOOST_TEST(errors[3] <= 1e-10);
}

BOOST_AUTO_TEST_CASE(solvers_are_chosen_by_option,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  Problem plain(settings_of(0));
  const at::Tensor expected = plain.gradient(*plain.integrator("euler")).theta;
  // Point Jacobi, and an algebraic multigrid with another one for the adjoint.
  for (const auto& [options, most] : {std::make_pair("-molarity_ksp_type richardson -molarity_pc_type jacobi "
                                                     "-molarity_adjoint_ksp_type richardson "
                                                     "-molarity_adjoint_pc_type jacobi",
                                                     2000L),
                                      std::make_pair("-molarity_ksp_type gmres -molarity_pc_type gamg "
                                                     "-molarity_adjoint_pc_type jacobi",
                                                     100L)}) {
    const testing::ScopedOptions scope(options);
    Problem problem(settings_of(0));
    BOOST_TEST(relative(problem.gradient(*problem.integrator("euler")).theta, expected) <= 1e-9);
    BOOST_TEST((problem.term->iterations_forward() > 0 && problem.term->iterations_forward() < most));
    BOOST_TEST(problem.term->iterations_adjoint() > 0);
  }
  const testing::ScopedOptions too_few("-molarity_ksp_max_it 1");
  Problem problem(settings_of(0));
  BOOST_CHECK_THROW(problem.value(*problem.integrator("euler"), problem.u0), NumericalError);
}

// Nothing kept: solves are repeated. The memory of implicit solves does not grow with iterations, of sweeps it does.
BOOST_AUTO_TEST_CASE(molarities_are_kept_once_or_solved_for_again,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  // Of each of the three steps c, and of sweeps all iterates with what they began at.
  for (const long sweeps : {0L, 6L}) {
    Problem keeping(settings_of(sweeps));
    const auto integrator = keeping.integrator("euler");
    const at::Tensor expected = keeping.gradient(*integrator).theta;
    const double bytes =
        static_cast<double>(3 * (sweeps == 0 ? 1 : sweeps + 2) * samples * columns * rows) * sizeof(double);
    const int size = testing::size_of();
    BOOST_TEST(keeping.term->peak_kept_bytes() == bytes / size);
    const long solved = keeping.term->iterations_forward();
    InfiltrationSettings settings = settings_of(sweeps);
    settings.keep_bytes = 0;
    Problem forgetting(settings);
    BOOST_TEST(relative(forgetting.gradient(*forgetting.integrator("euler")).theta, expected) <= 1e-14);
    BOOST_TEST(forgetting.term->iterations_forward() > solved);
    BOOST_TEST(forgetting.term->peak_kept_bytes() == 0);
    // A second run, and a rate that is asked for twice, take no more.
    (void)keeping.gradient(*integrator);
    keeping.term->keep_evaluations(true);
    const auto u = keeping.vec(keeping.u0);
    const auto y = keeping.vec(keeping.u0);
    for (int n = 0; n < 5; ++n) keeping.term->apply(0, u.get(), y.get());
    BOOST_TEST(keeping.term->peak_kept_bytes() == bytes / size);
  }
}

// D c'' = R c between walls with c = 1: c = cosh(phi (x - 1/2)) / cosh(phi / 2), phi^2 = R / D.
BOOST_AUTO_TEST_CASE(molarity_between_walls_is_a_cosine_of_second_order, *utf::label("unit") * utf::label("np1")) {
  const auto constant = [](double value) {
    return std::make_shared<nn::KnownFunction>("constant", [=](const at::Tensor& x) { return 0 * x + value; });
  };
  const double phi = std::sqrt(1.5 * 2 / 0.25);
  std::vector<double> errors;
  for (const PetscInt cells : {16, 32, 64}) {
    const grid::Boundary gas{grid::BoundaryType::dirichlet, 1};
    const auto grid =
        std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{cells, 0, 1, gas, gas}});
    InfiltrationTerm term(grid, {constant(0.25), constant(2), constant(1.5)});
    const at::Tensor x = grid->centres().flatten();
    const at::Tensor exact = ((x - 0.5) * phi).cosh() / std::cosh(phi / 2);
    const at::Tensor c = term.molarity(at::full({1, cells + 1}, 0.5, at::kDouble));
    errors.push_back((c[0] - exact).square().mean().sqrt().item<double>());
  }
  BOOST_TEST(errors[0] < 1e-2);
  for (const int k : {0, 1}) BOOST_TEST(std::abs(std::log2(errors[k] / errors[k + 1]) - 2) <= 0.1);
}

BOOST_AUTO_TEST_CASE(bad_states_and_laws_are_refused, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const Problem problem(settings_of(0));
  const auto longer = problem.vec(at::full({samples * (problem.grid->local_cells() + 1) + 1}, 0.5, at::kDouble));
  const auto y = testing::unwritten_like(longer.get());
  BOOST_CHECK_THROW(problem.term->apply(0, longer.get(), y.get()), UserError);
  InfiltrationLaws bad = laws();
  bad.diffusivity = std::make_shared<nn::KnownFunction>("negative", [](const at::Tensor& x) { return x - 10; });
  InfiltrationTerm negative(problem.grid, bad);
  const auto u = problem.vec(problem.u0);
  const auto f = testing::unwritten_like(u.get());
  BOOST_CHECK_THROW(negative.apply(0, u.get(), f.get()), NumericalError);
  bad.diffusivity = testing::small_mlp(2);
  BOOST_CHECK_THROW(InfiltrationTerm(problem.grid, bad), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
