// A trained linear part in the integrator: its gradient against autograd through the unrolled steps, with every solver,
// steps and weights that change, and the factorisations that this takes.
#include <cmath>

#include "espalier/model/gradient_check.hpp"
#include "espalier/model/trainable_linear_term.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
using model::LinearSolver;
namespace utf = boost::unit_test;

namespace {

constexpr double stiffness = 3;

/// u_t = MLP(u; theta) + A(theta') u; the parameters of both are in one buffer, as in a trainer.
struct Trained {
  System frozen;  // for its network
  bool dense;
  std::shared_ptr<model::TrainableLinearTerm> linear;
  nn::FlatParameters parameters;

  Trained(bool is_dense, LinearSolver solver) : dense(is_dense) {
    const std::vector<double> c = {0.2 * stiffness, 0.6 * stiffness, -2 * stiffness, 1.3 * stiffness, -0.1 * stiffness};
    if (dense)
      linear = std::make_shared<model::DenseLinearTerm>(to_mat(frozen.j).get(), solver);
    else
      linear = std::make_shared<model::StencilLinearTerm>(dof, c, solver);
    parameters = model::joined_parameters(split());
  }
  model::SplitSystem split() const { return {frozen.neural, linear}; }
  nn::FlatParameters& theta() const { return *linear->parameters().front(); }

  /// A as a function of its parameters, for autograd.
  at::Tensor matrix() const {
    const at::Tensor& entries = theta().tensors().front();
    if (dense) return entries.t();
    at::Tensor a = torch::zeros({dof, dof}, torch::kDouble);
    for (std::int64_t k = 0; k < entries.numel(); ++k)
      a = a + entries[k] * torch::eye(dof, torch::kDouble).roll(k - entries.numel() / 2, 1);
    return a;
  }
};

Gradient adjoint_of(Trained& system, ts::Integrator& integrator, const at::Tensor& u0, const std::vector<double>& times,
                    const at::Tensor& weights) {
  system.parameters.zero_gradient();
  Gradient g;
  g.snapshots = integrator.forward(mine(u0), times, ts::Record::yes).clone();
  g.u0_bar = integrator.adjoint(mine(weights, 1)).clone();
  g.theta_bar = sum_over_ranks(system.parameters.gradient());
  return g;
}

Gradient unrolled(const Trained& system, const std::string& method, const at::Tensor& u0,
                  const std::vector<double>& steps, const std::vector<std::size_t>& observed,
                  const at::Tensor& weights) {
  const torch::AutoGradMode with_grad(true);
  const at::Tensor leaf = u0.clone().requires_grad_(true);
  const reference::Problem problem{[&](const at::Tensor& u) { return system.frozen.network->evaluate(u); },
                                   system.matrix()};
  const auto states = reference::integrate(method, problem, leaf, steps);
  std::vector<at::Tensor> snapshots;
  for (const std::size_t index : observed) snapshots.push_back(states.at(index - 1));
  const at::Tensor stacked = at::stack(snapshots);
  std::vector<at::Tensor> inputs = {leaf};
  for (const auto& theta : system.parameters.tensors()) inputs.push_back(theta);
  const auto bars = torch::autograd::grad({(stacked * weights).sum()}, inputs);
  std::vector<at::Tensor> flat;
  for (std::size_t i = 1; i < bars.size(); ++i) flat.push_back(bars[i].reshape({-1}));
  return {mine(stacked.detach(), 1), mine(bars[0]), at::cat(flat)};
}

void check(const Trained& system, const Gradient& ours, const Gradient& expected, const std::string& what) {
  const std::int64_t network = system.frozen.network->parameters().count();
  BOOST_TEST_CONTEXT(what << (system.dense ? ", dense" : ", stencil")) {
    BOOST_TEST(relative(ours.snapshots, expected.snapshots) <= 1e-10);
    BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= 1e-10);
    BOOST_TEST(relative(ours.theta_bar.slice(0, 0, network), expected.theta_bar.slice(0, 0, network)) <= 1e-10);
    BOOST_TEST(relative(ours.theta_bar.slice(0, network), expected.theta_bar.slice(0, network)) <= 1e-10);
  }
}

std::vector<double> steps_to(double end, double dt) {
  const auto whole = static_cast<std::size_t>(end / dt + 1e-9);
  std::vector<double> steps(whole, dt);
  if (end - dt * static_cast<double>(whole) > 1e-9) steps.push_back(end - dt * static_cast<double>(whole));
  return steps;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ts_trainable_linear, *utf::label("gradient") * utf::label("sinode"))

// Two whole steps and a short one, then one and a short one.
BOOST_AUTO_TEST_CASE(equals_the_unrolled_gradient, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({2, samples, dof}, 2);
  for (const bool dense : {false, true})
    for (const std::string method : {"l2", "3", "4", "cn", "beuler", "rk4"}) {
      Trained system(dense, LinearSolver::lu_inverse);
      ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), settings(method, 0.1));
      const Gradient ours = adjoint_of(system, integrator, u0, {0.2, 0.45, 0.6}, weights);
      check(system, ours, unrolled(system, method, u0, {0.1, 0.1, 0.05, 0.1, 0.05}, {3, 5}, weights), method);
    }
}

// A product with the last Krylov vector instead of the adjoint vector, or a factorisation of other weights or of
// another step, would show here.
BOOST_AUTO_TEST_CASE(changed_weights_and_steps_with_every_solver, *utf::label("np1") * utf::label("np2")) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  for (const bool dense : {false, true})
    for (const auto solver :
         {LinearSolver::lu_dense, LinearSolver::lu_sparse, LinearSolver::krylov, LinearSolver::lu_inverse})
      for (const std::string method : {"l2", "3", "cn"}) {
        Trained system(dense, solver);
        ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), settings(method, 0.1));
        for (const double end : {0.2, 0.25, 0.2}) {
          const std::vector<double> steps = steps_to(end, 0.1);
          const Gradient ours = adjoint_of(system, integrator, u0, {0, end}, weights);
          check(system, ours, unrolled(system, method, u0, steps, {steps.size()}, weights),
                method + " to " + std::to_string(end) + ", " +
                    model::linear_solver_names()[static_cast<std::size_t>(solver)]);
          system.parameters.values().mul_(0.9);
          system.parameters.mark_changed();
        }
      }
}

BOOST_AUTO_TEST_CASE(taylor_remainders_fall_with_slope_two) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({2, samples, dof}, 2);
  const std::vector<double> times = {0, 0.1, 0.25};
  for (const bool dense : {false, true})
    for (const auto solver : {LinearSolver::krylov, LinearSolver::lu_inverse})
      for (const std::string method : {"l2", "3", "4", "5", "cn", "rk4"}) {
        Trained system(dense, solver);
        ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method, 0.1));
        adjoint_of(system, integrator, u0, times, weights);
        auto& theta = system.theta();
        const at::Tensor start = theta.values().clone();
        const at::Tensor theta_tan = random_tensor(start.sizes(), 4);
        const auto value = [&](double e) {
          theta.values().copy_(start + e * theta_tan);
          theta.mark_changed();
          return (integrator.forward(u0, times, ts::Record::no) * weights).sum().item<double>();
        };
        const auto test = model::taylor_test(value, theta.gradient().dot(theta_tan).item<double>(), 1e-2, 5);
        BOOST_TEST_CONTEXT("method " << method) { BOOST_TEST(std::abs(test.slope() - 2) <= 0.1); }
      }
}

// All stages, steps, samples and batch sizes between two steps of the optimiser share the factorisations.
BOOST_AUTO_TEST_CASE(one_factorisation_per_version_and_shift) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  for (const bool dense : {false, true})
    for (const std::string method : {"l2", "3", "4", "cn", "beuler"}) {
      Trained system(dense, LinearSolver::lu_dense);
      ts::Integrator one(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method, 0.1));
      ts::Integrator two(PETSC_COMM_WORLD, {3, dof}, system.split(), settings(method, 0.1));
      BOOST_TEST_CONTEXT("method " << method) {
        for (long version = 1; version <= 3; ++version) {
          adjoint_of(system, one, u0, {0, 0.4}, weights);
          two.forward(u0.slice(0, 0, 3), {0, 0.2}, ts::Record::no);
          adjoint_of(system, one, u0, {0, 0.2}, weights);
          BOOST_TEST(system.linear->factorisations() == 2 * version - 1);
          adjoint_of(system, one, u0, {0, 0.25}, weights);  // the last step has a shift of its own
          BOOST_TEST(system.linear->factorisations() == 2 * version);
          system.parameters.mark_changed();
        }
      }
    }
}

BOOST_AUTO_TEST_SUITE_END()
