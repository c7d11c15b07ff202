// Chains of implicit solves against the integrator's adjoint of the same steps, and what both keep.
#include "espalier/train/implicit_objective.hpp"

#include <boost/test/unit_test.hpp>

#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/model/grid_fields.hpp"
#include "espalier/model/neural_fields.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using implicit::Differentiation;
using implicit::RootSolver;
using testing::some_numbers;
using train::ImplicitObjective;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t samples = 2;
// Three steps of 0.05 / 3, then three of 0.06 / 3.
const std::vector<double> times = {0, 0.05, 0.11};
constexpr double step = 0.02;
constexpr double number_of_steps = 6;

at::Tensor numbers(std::int64_t rows, std::int64_t columns, int seed) {
  const auto values = some_numbers(static_cast<std::size_t>(rows * columns), seed);
  return at::tensor(at::ArrayRef<double>(values), at::kDouble).view({rows, columns});
}

/// One problem whatever the number of ranks: fields whose cell values are trained, or moving neural ones.
class Problem {
 public:
  explicit Problem(model::Advection advection, double diffusivity = 0.03, bool moving = false) {
    grid_ = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD,
                                                   std::vector<grid::Axis>{{12, 0, 1, {}, {}}, {8, 0, 1, {}, {}}});
    const std::vector<std::string> names = {"velocity_x", "velocity_y", "diffusivity"};
    if (moving) {
      nn::ConditionalFieldSettings settings;
      settings.names = names;
      settings.hypernetwork = {4};
      settings.latent = 3;
      settings.hidden = {6};
      settings.omega = 5;
      settings.scale = {1, 1, 0.01};
      settings.offset = {0.3, 0.2, diffusivity};
      fields_ = std::make_shared<model::NeuralFields>(std::make_shared<nn::ConditionalField>(settings),
                                                      grid_->centres(), model::Motion::moving);
    } else {
      at::Tensor coefficients = numbers(3, grid_->global_cells(), 3);
      coefficients[2].mul_(0.3 * diffusivity).add_(diffusivity);
      fields_ = std::make_shared<model::GridFields>(names, grid_->part_of(coefficients));
    }
    moving_ = moving;
    model::FiniteVolumeSettings settings;
    settings.advection = advection;
    term_ = std::make_shared<model::FiniteVolumeTerm>(grid_, settings, fields_);
    u0 = grid_->part_of(numbers(samples, grid_->global_cells(), 1));
    targets_ = grid_->part_of(numbers(2 * samples, grid_->global_cells(), 2)).view({samples, 2, -1});
  }

  train::IntegratorObjective integrator(const std::string& method) const {
    ts::IntegratorSettings settings;
    settings.method = method;
    settings.step = step;
    settings.fit_steps = true;
    return {PETSC_COMM_WORLD, {nullptr, term_}, nullptr, settings, times};
  }
  std::unique_ptr<ImplicitObjective> chain(const train::ImplicitSettings& settings) const {
    return std::make_unique<ImplicitObjective>(PETSC_COMM_WORLD, model::SplitSystem{nullptr, term_}, settings, times);
  }

  /// 0.5 ds/dtheta of all ranks.
  at::Tensor gradient(train::Objective& objective) const {
    nn::FlatParameters& parameters = objective.parameters();
    parameters.zero_gradient();
    (void)objective.sum_and_gradient(u0, targets_, 0.5);
    at::Tensor all = parameters.gradient().clone();
    if (!moving_) {
      // Each rank has the parameters of its own cells.
      const at::Tensor mine = all.view({3, -1});
      all = at::zeros({3, grid_->global_cells()}, at::kDouble).index_copy_(1, grid_->natural_indices(), mine).flatten();
    }
    MPI_Allreduce(MPI_IN_PLACE, all.data_ptr<double>(), static_cast<int>(all.numel()), MPI_DOUBLE, MPI_SUM,
                  PETSC_COMM_WORLD);
    return all;
  }
  /// s of this rank, as both functions give it.
  at::Tensor sums(train::Objective& objective) const {
    return at::tensor({objective.sum(u0, targets_), objective.sum_and_gradient(u0, targets_, 1)}, at::kDouble);
  }

  double vector_bytes() const { return static_cast<double>(u0.numel()) * sizeof(double); }

  at::Tensor u0;

 private:
  std::shared_ptr<const grid::CellGrid> grid_;
  std::shared_ptr<model::CoefficientFields> fields_;
  std::shared_ptr<model::FiniteVolumeTerm> term_;
  at::Tensor targets_;
  bool moving_ = false;
};

train::ImplicitSettings solves(RootSolver solver, const std::string& method = "cn", double damping = 1) {
  train::ImplicitSettings settings;
  settings.method = method;
  settings.step = step;
  settings.fit_steps = true;
  settings.root.solver = solver;
  settings.root.damping = damping;
  return settings;
}

train::ImplicitSettings unrolled(long iterations, double damping = 0.8) {
  train::ImplicitSettings settings = solves(RootSolver::fixed_point, "cn", damping);
  settings.root.differentiation = Differentiation::unrolled;
  settings.root.iterations = iterations;
  return settings;
}

double relative(const at::Tensor& a, const at::Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(train_implicit_objective, *utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(a_chain_equals_the_integrator,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const auto advection : {model::Advection::linear, model::Advection::burgers})
    for (const std::string method : {"cn", "beuler"}) {
      const Problem problem(advection);
      auto integrator = problem.integrator(method);
      const at::Tensor expected = problem.gradient(integrator);
      const at::Tensor states = integrator.predict(problem.u0, times).clone();
      for (const auto solver :
           {RootSolver::newton, RootSolver::picard, RootSolver::fixed_point, RootSolver::anderson}) {
        const auto chain = problem.chain(solves(solver, method, solver == RootSolver::fixed_point ? 0.8 : 1));
        BOOST_TEST_CONTEXT(method << ", solver " << static_cast<int>(solver)) {
          BOOST_TEST(relative(problem.gradient(*chain), expected) <= 1e-9);
          BOOST_TEST(relative(problem.sums(*chain), problem.sums(integrator)) <= 1e-10);
          BOOST_TEST(relative(chain->predict(problem.u0, times), states) <= 1e-10);
          BOOST_TEST(chain->checkpoint_bytes() == number_of_steps * 2 * problem.vector_bytes());
          BOOST_TEST(chain->iterations() >= 2 * number_of_steps);
        }
      }
    }
}

// Each step must know its time.
BOOST_AUTO_TEST_CASE(a_chain_of_moving_fields_equals_the_integrator,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const Problem problem(model::Advection::linear, 0.03, true);
  auto integrator = problem.integrator("cn");
  const at::Tensor expected = problem.gradient(integrator);
  BOOST_TEST(relative(problem.gradient(*problem.chain(solves(RootSolver::newton))), expected) <= 1e-9);
  BOOST_TEST(relative(problem.gradient(*problem.chain(unrolled(60))), expected) <= 1e-9);
}

BOOST_AUTO_TEST_CASE(unrolled_sweeps_converge_to_the_implicit_gradient,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const Problem problem(model::Advection::burgers);
  const at::Tensor expected = problem.gradient(*problem.chain(solves(RootSolver::newton)));
  double before = 1;
  for (const long iterations : {4, 8, 16}) {
    const double error = relative(problem.gradient(*problem.chain(unrolled(iterations))), expected);
    BOOST_TEST(error > 1e-14);
    BOOST_TEST(error < 0.1 * before);
    before = error;
  }
  BOOST_TEST(relative(problem.gradient(*problem.chain(unrolled(60))), expected) <= 1e-11);
}

// Strong diffusion: without weights the sweeps are no contraction.
BOOST_AUTO_TEST_CASE(jacobi_weights_make_a_contraction,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  for (const auto advection : {model::Advection::linear, model::Advection::burgers}) {
    const Problem problem(advection, 0.6);
    auto integrator = problem.integrator("cn");
    train::ImplicitSettings settings = unrolled(160, 1);
    BOOST_TEST(relative(problem.gradient(*problem.chain(settings)), problem.gradient(integrator)) <= 1e-9);
    settings.jacobi = false;
    const auto plain = problem.chain(settings);
    BOOST_CHECK_THROW((void)plain->predict(problem.u0, times), NumericalError);
  }
}

BOOST_AUTO_TEST_CASE(memory_of_an_implicit_chain_does_not_depend_on_iterations,
                     *utf::label("unit") * utf::label("np1")) {
  const Problem problem(model::Advection::linear);
  for (const long iterations : {5, 500}) {
    const testing::ScopedOptions options("-step_snes_convergence_test skip -step_snes_max_it " +
                                         std::to_string(iterations));
    const auto chain = problem.chain(solves(RootSolver::fixed_point, "cn", 0.8));
    (void)problem.gradient(*chain);
    BOOST_TEST(static_cast<double>(chain->iterations()) == static_cast<double>(iterations) * number_of_steps);
    BOOST_TEST(chain->checkpoint_bytes() == number_of_steps * 2 * problem.vector_bytes());
    const auto naive = problem.chain(unrolled(iterations));
    (void)problem.gradient(*naive);
    const double kept = static_cast<double>(iterations + 1) * number_of_steps;
    BOOST_TEST(naive->checkpoint_bytes() == kept * problem.vector_bytes());
  }
}

// Without -ts_fit_steps a step before an observation is shorter.
BOOST_AUTO_TEST_CASE(steps_that_are_not_fitted, *utf::label("unit") * utf::label("np1")) {
  const Problem problem(model::Advection::linear);
  train::ImplicitSettings settings = solves(RootSolver::newton);
  settings.fit_steps = false;
  const auto chain = problem.chain(settings);
  (void)problem.gradient(*chain);
  // 0.02, 0.02, 0.01; 0.02, 0.02, 0.02.
  BOOST_TEST(chain->checkpoint_bytes() == 6 * 2 * problem.vector_bytes());
  settings.step = 0.03;
  const auto coarse = problem.chain(settings);
  (void)problem.gradient(*coarse);
  BOOST_TEST(coarse->checkpoint_bytes() == 4 * 2 * problem.vector_bytes());
}

BOOST_AUTO_TEST_CASE(settings_that_make_no_chain, *utf::label("unit") * utf::label("np1")) {
  const Problem problem(model::Advection::linear);
  train::ImplicitSettings settings = solves(RootSolver::newton, "rk4");
  BOOST_CHECK_THROW((void)problem.chain(settings), UserError);
  settings = unrolled(3);
  settings.root.solver = RootSolver::newton;
  const auto chain = problem.chain(settings);
  BOOST_CHECK_THROW((void)chain->predict(problem.u0, times), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
