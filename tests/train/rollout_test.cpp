#include "espalier/train/rollout.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/model/linear_term.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/train/batches.hpp"
#include "linear_objective.hpp"

using namespace espalier;
using train::Rollout;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t dof = 4;
constexpr double step = 0.25;

struct System {
  std::shared_ptr<model::NeuralTerm> network;
  model::SplitSystem split;
};

// u_t = G(u) + growth u, with a network that is zero.
System system_of(double growth) {
  nn::MlpSettings settings;
  settings.widths = {dof, 3, dof};
  const auto network = std::make_shared<model::NeuralTerm>(std::make_shared<nn::Mlp>(settings));
  network->network().parameters().values().zero_();
  const auto matrix = grid::periodic_stencil(dof, {0.0, growth, 0.0});
  return {network, {network, std::make_shared<model::LinearTerm>(matrix.get(), model::LinearSolver::lu_dense)}};
}

train::IntegratorObjective objective(double growth, const std::string& method) {
  const System system = system_of(growth);
  ts::IntegratorSettings integrator;
  integrator.method = method;
  integrator.step = step;
  return {MPI_COMM_WORLD, system.split, system.network, integrator, step};
}

// The same at given times, without a network that is counted.
train::IntegratorObjective objective_at(double growth, const std::vector<double>& times) {
  ts::IntegratorSettings integrator;
  integrator.method = "rk4";
  integrator.step = 0.01;
  return {MPI_COMM_WORLD, system_of(growth).split, nullptr, integrator, times};
}

// This rank's part of `count` states.
at::Tensor my_states(std::int64_t count) {
  const train::Range mine = train::rank_slice({0, count}, MPI_COMM_WORLD);
  return train::testing::example_states(count, dof).narrow(0, mine.first, mine.count);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_rollout, *utf::label("unit") * utf::label("sinode") * utf::label("np1") * utf::label("np2"))

BOOST_AUTO_TEST_CASE(windows_may_have_times_of_their_own, *utf::label("impindiff")) {
  const std::vector<double> times = {0, 0.1, 0.35};
  auto decay = objective_at(-0.8, times);
  const at::Tensor u0 = my_states(3);
  const at::Tensor& predicted = decay.predict(u0, 2);
  BOOST_REQUIRE(predicted.size(0) == 2);
  for (const int k : {1, 2})
    BOOST_TEST(
        torch::allclose(predicted[k - 1], u0 * std::exp(-0.8 * times[static_cast<std::size_t>(k)]), 1e-8, 1e-10));
  // A target that is zero: the sum of squares of what is predicted.
  const at::Tensor targets = torch::zeros({u0.size(0), 2, dof}, torch::kDouble);
  const double expected = predicted.square().sum().item<double>();
  BOOST_TEST(std::abs(decay.sum(u0, targets) - expected) <= 1e-12 * (1 + expected));
  BOOST_TEST(decay.counters().nfe_forward == 0);
  BOOST_CHECK_THROW(decay.predict(u0, 3), UserError);
  BOOST_CHECK_THROW(objective_at(-0.8, {0}), UserError);
}

BOOST_AUTO_TEST_CASE(every_interval_follows_the_one_before) {
  auto decay = objective(-0.8, "cn");
  for (const std::int64_t samples : {5, 1}) {  // with one sample, only the first rank has any
    const at::Tensor u0 = my_states(samples);
    const Rollout rollout = train::roll_out(MPI_COMM_WORLD, decay, u0, 6, "rollout");
    BOOST_TEST(rollout.complete());
    BOOST_TEST(rollout.time_reached == 1.5);
    BOOST_TEST((rollout.states.sizes() == at::IntArrayRef{7, u0.size(0), dof}));
    // Crank-Nicolson: u_{k+1} = (1 + h growth / 2) / (1 - h growth / 2) u_k.
    const double factor = (1 - 0.1) / (1 + 0.1);
    for (std::int64_t k = 0; k <= 6; ++k)
      BOOST_TEST(torch::allclose(rollout.states[k], u0 * std::pow(factor, static_cast<double>(k)), 1e-12, 1e-12),
                 "interval " << k);
    const std::vector<double> values = train::to_vector(rollout.states.transpose(0, 1));
    BOOST_REQUIRE(values.size() == static_cast<std::size_t>(7 * dof * u0.size(0)));
    if (!values.empty()) BOOST_TEST(values[dof] == rollout.states[1][0][0].item<double>());
  }
}

BOOST_AUTO_TEST_CASE(a_model_that_blows_up_ends_the_rollout_of_all) {
  // Runge-Kutta multiplies by (h growth)^4 / 24, about 1e200: one interval is finite, two are not.
  auto explosion = objective(4e50 * std::pow(24, 0.25), "rk4");
  at::Tensor u0 = my_states(3).zero_();
  const train::Range mine = train::rank_slice({0, 3}, MPI_COMM_WORLD);
  if (mine.first + mine.count == 3) u0[-1][2] = 1;  // on one rank alone
  const Rollout rollout = train::roll_out(MPI_COMM_WORLD, explosion, u0, 6, "rollout");
  BOOST_TEST(!rollout.complete());
  BOOST_TEST(rollout.stopped_by.find("not finite") != std::string::npos, rollout.stopped_by);
  BOOST_TEST(rollout.time_reached == step);
  BOOST_TEST((rollout.states.sizes() == at::IntArrayRef{2, u0.size(0), dof}));
  BOOST_TEST(rollout.states.isfinite().all().item<bool>());
  BOOST_TEST(rollout.states[1].equal(u0) == !(mine.first + mine.count == 3));
}

BOOST_AUTO_TEST_CASE(input_that_makes_no_sense_is_an_error) {
  auto decay = objective(-0.8, "cn");
  BOOST_CHECK_THROW(train::roll_out(MPI_COMM_WORLD, decay, my_states(2), 0, "rollout"), UserError);
  BOOST_CHECK_THROW(train::roll_out(MPI_COMM_WORLD, decay, my_states(2).narrow(1, 0, 3), 2, "rollout"), Error);
}

BOOST_AUTO_TEST_SUITE_END()
