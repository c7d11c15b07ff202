// The discrete adjoint against autograd through an independent, unrolled integrator; on any number of ranks.
#include <cmath>

#include "espalier/model/gradient_check.hpp"
#include "espalier/model/sum_term.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
namespace utf = boost::unit_test;

namespace {

const std::vector<std::string> referenced = {"l2",  "3",   "4",   "5",   "ars122", "cn",  "beuler", "rk4",
                                             "5dp", "ab2", "ab3", "ab4", "am2",    "am3", "am4"};

void check_against_unrolled(const std::string& method, const std::vector<double>& times, double dt,
                            const std::vector<double>& steps, const std::vector<std::size_t>& observed,
                            const Setup& setup = {}, double tolerance = 1e-10) {
  const System system(setup);
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({static_cast<std::int64_t>(observed.size()), samples, dof}, 2);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), settings(method, dt));
  const Gradient ours = discrete_adjoint(system, integrator, u0, times, weights);
  const Gradient expected = unrolled(system, method, u0, steps, observed, weights);
  BOOST_TEST_CONTEXT("method " << method << ", " << steps.size() << " steps") {
    BOOST_TEST(integrator.steps() == static_cast<long>(steps.size()));
    BOOST_TEST(relative(ours.snapshots, expected.snapshots) <= tolerance);
    BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= tolerance);
    BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= tolerance);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ts_integrator_gradient, *utf::label("gradient"))

BOOST_AUTO_TEST_CASE(equals_the_unrolled_gradient,
                     *utf::label("np1") * utf::label("np2") * utf::label("np3") * utf::label("np4")) {
  for (const auto& method : referenced)
    for (const int count : {1, 2, 7}) {
      const double dt = 0.1;
      check_against_unrolled(method, {0, dt * count}, dt, std::vector<double>(static_cast<std::size_t>(count), dt),
                             {static_cast<std::size_t>(count)});
    }
}

BOOST_AUTO_TEST_CASE(observation_times_are_hit_and_each_has_its_cotangent, *utf::label("np1") * utf::label("np2")) {
  // Two whole steps and a short one, a short one, a whole one.
  for (const auto& method : referenced)
    check_against_unrolled(method, {0.2, 0.45, 0.5, 0.6}, 0.1, {0.1, 0.1, 0.05, 0.05, 0.1}, {3, 4, 5});
}

BOOST_AUTO_TEST_CASE(adaptive_steps_are_frozen_in_the_adjoint, *utf::label("np1") * utf::label("np2")) {
  const Option adapt("-ts_adapt_type", "basic");
  const Option tolerance("-ts_rtol", "1e-5");
  const Option absolute("-ts_atol", "1e-5");
  for (const std::string method : {"3", "4", "5dp"}) {
    const System system;
    const at::Tensor u0 = random_tensor({samples, dof}, 1);
    const at::Tensor weights = random_tensor({2, samples, dof}, 2);
    const std::vector<double> times = {0, 0.33, 1.0};
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), settings(method, 0.05));
    const Gradient ours = discrete_adjoint(system, integrator, u0, times, weights);
    const std::vector<double> steps = integrator.step_sizes();
    double t = 0;
    std::size_t first = 0;
    while (t < 0.33 - 1e-9) t += steps.at(first++);
    const Gradient expected = unrolled(system, method, u0, steps, {first, steps.size()}, weights);
    BOOST_TEST_CONTEXT("method " << method) {
      BOOST_TEST(steps.size() > 3U);
      BOOST_TEST(std::abs(steps[1] - steps[0]) > 1e-6);
      BOOST_TEST(relative(ours.snapshots, expected.snapshots) <= 1e-10);
      BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= 1e-10);
      BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= 1e-10);
    }
  }
}

BOOST_AUTO_TEST_CASE(float_network_under_the_double_solver) {
  Setup setup;
  setup.single_precision = true;
  const System rounded(setup);
  const System exact;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  for (const auto& method : referenced) {
    ts::Integrator a(PETSC_COMM_WORLD, shape_of(u0), rounded.split(), settings(method, 0.1));
    ts::Integrator b(PETSC_COMM_WORLD, shape_of(u0), exact.split(), settings(method, 0.1));
    const Gradient ours = discrete_adjoint(rounded, a, u0, {0, 0.3}, weights);
    const Gradient expected = discrete_adjoint(exact, b, u0, {0, 0.3}, weights);
    BOOST_TEST_CONTEXT("method " << method) {
      BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= 1e-5);
      BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= 1e-5);
    }
  }
}

BOOST_AUTO_TEST_CASE(every_linear_solver_gives_the_same_gradient, *utf::label("np1") * utf::label("np2")) {
  for (const auto solver : {model::LinearSolver::lu_dense, model::LinearSolver::lu_sparse, model::LinearSolver::krylov,
                            model::LinearSolver::lu_inverse})
    for (const std::string method : {"l2", "5", "cn"}) {
      Setup setup;
      setup.solver = solver;
      check_against_unrolled(method, {0, 0.3}, 0.1, {0.1, 0.1, 0.1}, {3}, setup);
    }
}

BOOST_AUTO_TEST_CASE(kept_and_repeated_evaluations_give_the_same_bits) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({2, samples, dof}, 2);
  for (const auto& method : referenced) {
    std::vector<Gradient> results;
    for (const std::size_t bytes : {model::NeuralTerm::default_keep_bytes, std::size_t{0}, std::size_t{5000}}) {
      Setup setup;
      setup.keep_bytes = bytes;
      const System system(setup);
      ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method, 0.1));
      results.push_back(discrete_adjoint(system, integrator, u0, {0, 0.2, 0.5}, weights));
    }
    BOOST_TEST_CONTEXT("method " << method) {
      for (std::size_t i = 1; i < results.size(); ++i) {
        BOOST_TEST(at::equal(results[0].u0_bar, results[i].u0_bar));
        BOOST_TEST(at::equal(results[0].theta_bar, results[i].theta_bar));
      }
    }
  }
}

// All methods, those without a tableau in the reference too: Taylor remainders in theta and in u0.
BOOST_AUTO_TEST_CASE(taylor_remainders_fall_with_slope_two) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({2, samples, dof}, 2);
  const at::Tensor u0_tan = random_tensor({samples, dof}, 3);
  const std::vector<double> times = {0, 0.1, 0.25};
  for (const auto& method : ts::methods()) {
    Setup setup;
    setup.stiffness = 1;
    const System system(setup);
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method.name, 0.1));
    const Gradient g = discrete_adjoint(system, integrator, u0, times, weights);
    at::Tensor& theta = system.network->parameters().values();
    const at::Tensor start = theta.clone();
    const at::Tensor theta_tan = random_tensor(start.sizes(), 4);
    const auto value = [&](double in_theta, double in_u0) {
      theta.copy_(start + in_theta * theta_tan);
      const at::Tensor u = integrator.forward(u0 + in_u0 * u0_tan, times, ts::Record::no);
      theta.copy_(start);
      return (u * weights).sum().item<double>();
    };
    const auto in_theta =
        model::taylor_test([&](double e) { return value(e, 0); }, g.theta_bar.dot(theta_tan).item<double>(), 1e-3, 5);
    const auto in_u0 =
        model::taylor_test([&](double e) { return value(0, e); }, (g.u0_bar * u0_tan).sum().item<double>(), 1e-3, 5);
    BOOST_TEST_CONTEXT("method " << method.name) {
      BOOST_TEST(std::abs(in_theta.slope() - 2) <= 0.1);
      BOOST_TEST(std::abs(in_u0.slope() - 2) <= 0.1);
    }
  }
}

// H a network as well: Newton in every stage, dH/dtheta in IJacobianP.
BOOST_AUTO_TEST_CASE(nonlinear_trainable_implicit_part) {
  const System outer;
  nn::MlpSettings inner;
  inner.widths = {dof, 6, dof};
  inner.activation = nn::Activation::tanh;
  inner.initialisation = nn::Initialisation::xavier;
  inner.seed = 23;
  const auto network = std::make_shared<nn::Mlp>(inner);
  const auto implicit = std::make_shared<model::SumTerm>(
      std::vector<std::shared_ptr<model::Term>>{std::make_shared<model::NeuralTerm>(network), outer.linear});
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  for (const std::string method : {"l2", "ars122", "3", "cn", "beuler", "am4"}) {
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {outer.neural, implicit}, settings(method, 0.1));
    network->parameters().zero_gradient();
    discrete_adjoint(outer, integrator, u0, {0, 0.3}, weights);
    at::Tensor& theta = network->parameters().values();
    const at::Tensor start = theta.clone();
    const at::Tensor theta_tan = random_tensor(start.sizes(), 4);
    const auto value = [&](double e) {
      theta.copy_(start + e * theta_tan);
      const double sum = (integrator.forward(u0, {0, 0.3}, ts::Record::no) * weights).sum().item<double>();
      theta.copy_(start);
      return sum;
    };
    const double derivative = network->parameters().gradient().dot(theta_tan).item<double>();
    const auto test = model::taylor_test(value, derivative, 1e-2, 5);
    BOOST_TEST_CONTEXT("method " << method) { BOOST_TEST(std::abs(test.slope() - 2) <= 0.1); }
  }
}

BOOST_AUTO_TEST_CASE(changed_weights_and_changed_steps_between_runs) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  for (const std::string method : {"l2", "3", "cn", "rk4", "ab4", "am3"}) {
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method, 0.1));
    // A recorded run that no adjoint follows, other and the same lengths, other weights: each answer stands alone.
    integrator.forward(u0, {0, 0.4}, ts::Record::yes);
    for (const double end : {0.1, 0.35, 0.35, 0.2, 0.2, 0.2}) {
      system.network->parameters().values().mul_(0.9);
      const std::size_t whole = static_cast<std::size_t>(end / 0.1 + 1e-9);
      std::vector<double> steps(whole, 0.1);
      if (end - 0.1 * static_cast<double>(whole) > 1e-9) steps.push_back(end - 0.1 * static_cast<double>(whole));
      const Gradient ours = discrete_adjoint(system, integrator, u0, {0, end}, weights);
      const Gradient expected = unrolled(system, method, u0, steps, {steps.size()}, weights);
      BOOST_TEST_CONTEXT("method " << method << " to " << end) {
        BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= 1e-10);
        BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= 1e-10);
      }
    }
  }
}

// A right-hand side that depends on time: the adjoint must meet the forward run's stage times.
BOOST_AUTO_TEST_CASE(explicit_dependence_on_time) {
  class Forced : public nn::AutogradNetwork {
   public:
    Forced() { adopt({random_tensor({dof, dof}, 8).mul_(0.3).requires_grad_(true)}); }
    std::int64_t inputs() const override { return dof; }
    std::int64_t outputs() const override { return dof; }
    std::size_t tape_bytes(std::int64_t n) const override { return static_cast<std::size_t>(n * dof) * 64; }
    std::string fingerprint() const override { return "forced"; }
    at::Tensor evaluate(double t, const at::Tensor& u) override {
      return (u.mm(parameters().tensors()[0]) + std::sin(5 * t)).tanh() * (1 + t * t);
    }
  };
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  const auto mat = to_mat(operator_matrix(1));
  for (const auto& method : ts::methods()) {
    for (const std::size_t bytes : {model::NeuralTerm::default_keep_bytes, std::size_t{0}}) {
      const auto network = std::make_shared<Forced>();
      const auto linear = std::make_shared<model::LinearTerm>(mat.get(), model::LinearSolver::lu_dense);
      ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0),
                                {std::make_shared<model::NeuralTerm>(network, bytes), linear},
                                settings(method.name, 0.1));
      integrator.forward(u0, {0.2, 0.45}, ts::Record::yes);
      integrator.adjoint(weights);
      at::Tensor& theta = network->parameters().values();
      const at::Tensor start = theta.clone();
      const at::Tensor theta_tan = random_tensor(start.sizes(), 4);
      const double derivative = network->parameters().gradient().dot(theta_tan).item<double>();
      const auto value = [&](double e) {
        theta.copy_(start + e * theta_tan);
        return (integrator.forward(u0, {0.2, 0.45}, ts::Record::no) * weights).sum().item<double>();
      };
      const auto test = model::taylor_test(value, derivative, 1e-2, 5);
      BOOST_TEST_CONTEXT("method " << method.name << ", keep " << bytes) {
        BOOST_TEST(std::abs(test.slope() - 2) <= 0.1);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
