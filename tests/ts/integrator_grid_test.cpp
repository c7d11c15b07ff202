// Integration of PDEs on distributed grids: gradients of coefficient fields, preconditioned solves, fitted steps.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/model/grid_fields.hpp"
#include "espalier/ts/integrator.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using testing::some_numbers;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t samples = 2;
const std::vector<double> times = {0, 0.05, 0.12};

/// One problem whatever the number of ranks, [samples, cells] in natural order at first.
class Problem {
 public:
  explicit Problem(model::Advection advection = model::Advection::linear) {
    grid_ = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD,
                                                   std::vector<grid::Axis>{{12, 0, 1, {}, {}}, {8, 0, 1, {}, {}}});
    at::Tensor coefficients = numbers(3, 3);
    coefficients[2].mul_(0.01).add_(0.03);
    fields = std::make_shared<model::GridFields>(std::vector<std::string>{"velocity_x", "velocity_y", "diffusivity"},
                                                 grid_->part_of(coefficients));
    model::FiniteVolumeSettings settings;
    settings.advection = advection;
    term = std::make_shared<model::FiniteVolumeTerm>(grid_, settings, fields);
    u0 = grid_->part_of(numbers(samples, 1));
    weights = grid_->part_of(numbers(2 * samples, 2)).view({2, samples, -1});
  }

  std::unique_ptr<ts::Integrator> integrator(const std::string& method, bool assembled = false) const {
    ts::IntegratorSettings settings;
    settings.method = method;
    settings.step = 0.01;
    if (assembled) settings.jacobian = ts::Jacobian::assembled;
    return std::make_unique<ts::Integrator>(PETSC_COMM_WORLD, ts::BatchShape{samples, grid_->local_cells()},
                                            model::SplitSystem{nullptr, term}, settings);
  }

  double sum(double local) const {
    MPI_Allreduce(MPI_IN_PLACE, &local, 1, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
    return local;
  }
  /// s = sum over snapshots of <weights, u>.
  double value(ts::Integrator& integrator) const {
    return sum((integrator.forward(u0, times, ts::Record::no) * weights).sum().item<double>());
  }
  /// ds/dc in natural order on rank 0, [3, cells].
  at::Tensor gradient(ts::Integrator& integrator) const {
    nn::FlatParameters& parameters = *fields->parameters().front();
    parameters.zero_gradient();
    integrator.forward(u0, times, ts::Record::yes);
    integrator.adjoint(weights);
    return grid_->gather_natural(parameters.gradient().view({3, -1}));
  }

  std::shared_ptr<model::GridFields> fields;
  std::shared_ptr<model::FiniteVolumeTerm> term;
  at::Tensor u0;
  at::Tensor weights;

 private:
  at::Tensor numbers(std::int64_t rows, int seed) const {
    const auto values = some_numbers(static_cast<std::size_t>(rows * grid_->global_cells()), seed);
    return at::tensor(at::ArrayRef<double>(values), at::kDouble).view({rows, -1});
  }
  std::shared_ptr<const grid::CellGrid> grid_;
};

double relative(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == 0 ? 0 : ((a - b).norm() / b.norm()).item<double>();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ts_integrator_grid, *utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(gradients_of_fields_have_slope_two,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const model::Advection advection : {model::Advection::linear, model::Advection::burgers})
    for (const std::string method : {"cn", "beuler", "rk4", "euler"}) {
      const Problem problem(advection);
      const auto integrator = problem.integrator(method);
      nn::FlatParameters& parameters = *problem.fields->parameters().front();
      (void)problem.gradient(*integrator);
      const at::Tensor start = parameters.values().clone();
      // Towards larger coefficients, so that the diffusivity stays positive.
      const at::Tensor direction = start.abs();
      const double derivative = problem.sum((parameters.gradient() * direction).sum().item<double>());
      const auto along = [&](double e) {
        parameters.values().copy_(start + e * direction);
        parameters.mark_changed();
        return problem.value(*integrator);
      };
      BOOST_TEST_CONTEXT(method) {
        BOOST_TEST(std::abs(derivative) > 1e-6);
        BOOST_TEST(model::taylor_test(along, derivative, 1e-2).passed(0.1));
      }
    }
}

BOOST_AUTO_TEST_CASE(preconditioned_solves_give_the_same_gradient_with_fewer_iterations,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const testing::ScopedOptions options("-samples_pc_type bjacobi -adjoint_samples_pc_type gamg");
  for (const model::Advection advection : {model::Advection::linear, model::Advection::burgers}) {
    const Problem problem(advection);
    const auto plain = problem.integrator("cn");
    const auto preconditioned = problem.integrator("cn", true);
    const at::Tensor expected = problem.gradient(*plain).clone();
    BOOST_TEST(relative(problem.gradient(*preconditioned), expected) <= 1e-9);
    BOOST_TEST(preconditioned->ksp_iterations_forward() < plain->ksp_iterations_forward());
    BOOST_TEST(preconditioned->ksp_iterations_adjoint() < plain->ksp_iterations_adjoint());
  }
}

// An affine term takes one linear solve per step: Newton's method would evaluate the residual twice as often.
BOOST_AUTO_TEST_CASE(affine_terms_need_no_newton_iterations, *utf::label("unit") * utf::label("np1")) {
  const Problem linear(model::Advection::linear);
  const Problem burgers(model::Advection::burgers);
  BOOST_TEST(linear.term->affine());
  BOOST_TEST(!burgers.term->affine());
  const auto iterations = [](const Problem& problem) {
    const auto integrator = problem.integrator("cn");
    (void)problem.value(*integrator);
    PetscInt count = 0;
    ESPALIER_CALL(TSGetSNESIterations(integrator->ts(), &count));
    return std::make_pair(count, integrator->steps());
  };
  BOOST_TEST(iterations(linear).first <= iterations(linear).second);
  BOOST_TEST(iterations(burgers).first > iterations(burgers).second);
}

BOOST_AUTO_TEST_CASE(fitted_steps_are_equal_between_observations, *utf::label("unit") * utf::label("np1")) {
  const Problem problem;
  ts::IntegratorSettings settings;
  settings.method = "cn";
  settings.step = 0.02;
  settings.fit_steps = true;
  const auto shape = ts::BatchShape{samples, problem.u0.size(1)};
  ts::Integrator integrator(PETSC_COMM_WORLD, shape, {nullptr, problem.term}, settings);
  // 0.05 / 0.02 rounds to 3 (or 2), 0.052 / 0.02 to 3, 0.007 / 0.02 to 0, so 1.
  const std::vector<double> observed = {0, 0.058, 0.11, 0.117};
  integrator.forward(problem.u0, observed, ts::Record::no);
  std::vector<double> expected(3, 0.058 / 3);
  expected.insert(expected.end(), 3, 0.052 / 3);
  expected.push_back(0.007);
  BOOST_REQUIRE(integrator.step_sizes().size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    BOOST_TEST(std::abs(integrator.step_sizes()[i] - expected[i]) <= 1e-12);
  const testing::ScopedOptions adaptive("-ts_adapt_type basic");
  settings.method = "rk4";
  BOOST_CHECK_THROW(ts::Integrator(PETSC_COMM_WORLD, shape, {nullptr, problem.term}, settings), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
