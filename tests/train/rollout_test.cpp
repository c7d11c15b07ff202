#include "espalier/train/rollout.hpp"

#include <torch/torch.h>

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

// u_t = G(u) + growth u, with a network that is zero.
train::IntegratorObjective objective(double growth, const std::string& method) {
  nn::MlpSettings settings;
  settings.widths = {dof, 3, dof};
  const auto network = std::make_shared<model::NeuralTerm>(std::make_shared<nn::Mlp>(settings));
  network->network().parameters().values().zero_();
  const auto matrix = grid::periodic_stencil(dof, {0.0, growth, 0.0});
  const auto linear = std::make_shared<model::LinearTerm>(matrix.get(), model::LinearSolver::lu_dense);
  ts::IntegratorSettings integrator;
  integrator.method = method;
  integrator.step = step;
  return {MPI_COMM_WORLD, {network, linear}, network, integrator, step};
}

// This rank's part of `count` states.
at::Tensor my_states(std::int64_t count) {
  const train::Range mine = train::rank_slice({0, count}, MPI_COMM_WORLD);
  return train::testing::example_states(count, dof).narrow(0, mine.first, mine.count);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_rollout, *utf::label("unit") * utf::label("sinode") * utf::label("np1") * utf::label("np2"))

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
