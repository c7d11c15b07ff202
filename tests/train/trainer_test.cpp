#include <mpi.h>
#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"
#include "linear_objective.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;
using espalier::testing::TemporaryFolder;
using espalier::train::testing::example_states;
using espalier::train::testing::LinearObjective;
using espalier::train::testing::Run;

namespace {

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

double epoch_figure(Run& run, std::size_t row, const char* key) {
  return run.report.json().at("epochs").at(row).at(key).get<double>();
}

// Stochastic gradient descent written down plainly, on one rank: no class of the training layer but the objective, the
// sample order and the symmetry. Returns the loss of each epoch.
std::vector<double> plain_descent(LinearObjective& model, const Run& run) {
  const std::int64_t k = run.options.window;
  const at::Tensor states = example_states(run.samples + run.held_out + 2 * k, run.dof);
  std::vector<double> losses;
  for (int epoch = 0; epoch < run.options.epochs; ++epoch) {
    const auto order = epoch_order(run.samples, run.options.seed, static_cast<std::uint64_t>(epoch));
    double total = 0;
    for (std::int64_t first = 0; first < run.samples; first += run.options.batch_size) {
      const std::int64_t n = std::min(run.options.batch_size, run.samples - first);
      Batch batch{torch::empty({n, run.dof}, torch::kFloat64), torch::empty({n, k, run.dof}, torch::kFloat64)};
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t start = order[static_cast<std::size_t>(first + i)];
        batch.u0[i].copy_(states[start]);
        batch.targets[i].copy_(states.narrow(0, start + 1, k));
      }
      const SampleRandom random(run.options.seed, static_cast<std::uint64_t>(epoch), first);
      if (run.options.augment != "none") PeriodicShiftReflection(run.dof).apply(batch, random);
      model.parameters().zero_gradient();
      total += model.sum_and_gradient(batch.u0, batch.targets, 1.0 / static_cast<double>(n * k * run.dof));
      model.parameters().values().sub_(model.parameters().gradient() * run.options.lr);
    }
    losses.push_back(total / static_cast<double>(run.samples * k * run.dof));
  }
  return losses;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_trainer, *utf::label("unit"))

// 40 samples in batches of 7 leave 5; 3 samples on 4 ranks leave one rank without any.
BOOST_AUTO_TEST_CASE(ranks_change_nothing_but_rounding,
                     *utf::label("np1") * utf::label("np2") * utf::label("np3") * utf::label("np4")) {
  for (const std::int64_t samples : {40, 3, 1}) {
    Run run;
    run.samples = samples;
    run.options.optimiser.name = "sgd";
    const TrainResult result = run.train();
    LinearObjective reference(run.dof);
    const std::vector<double> losses = plain_descent(reference, run);
    for (std::size_t i = 0; i < losses.size(); ++i)
      BOOST_TEST(std::abs(epoch_figure(run, i, "loss") - losses[i]) <= 1e-12 * losses[i]);
    BOOST_TEST(losses.back() < 0.95 * losses.front());
    BOOST_TEST(result.loss == epoch_figure(run, losses.size() - 1, "loss"));
    BOOST_TEST(relative_difference(run.theta(), reference.parameters().values()) < 1e-12);
    // Held-out error, by one sum over all samples.
    const std::int64_t k = run.options.window;
    const at::Tensor states = example_states(samples + run.held_out + 2 * k, run.dof);
    const WindowDataset held_out(states.narrow(0, samples + k, run.held_out + k), k);
    const Batch all = held_out.gather_range(0, held_out.size());
    const double error = reference.sum(all.u0, all.targets) / static_cast<double>(all.targets.numel());
    BOOST_TEST(std::abs(result.validation - error) <= 1e-12 * error);
  }
}

// Adam, cosine, clipping, dropped batches: the same on all ranks as on each rank alone.
BOOST_AUTO_TEST_CASE(trajectory_equals_that_of_one_rank, *utf::label("np2") * utf::label("np3") * utf::label("np4")) {
  const auto prepare = [](Run& run) {
    run.options.drop_last = true;
    run.options.schedule.name = "cosine";
    run.options.clip = 0.5;
  };
  Run together;
  Run alone(MPI_COMM_SELF);
  prepare(together);
  prepare(alone);
  const TrainResult a = together.train();
  const TrainResult b = alone.train();
  BOOST_TEST(relative_difference(together.theta(), alone.theta()) < 1e-12);
  for (std::size_t i = 0; i < 6; ++i) {
    const double one = epoch_figure(alone, i, "loss");
    BOOST_TEST(std::abs(epoch_figure(together, i, "loss") - one) <= 1e-12 * one);
  }
  BOOST_TEST(std::abs(a.validation - b.validation) <= 1e-12 * b.validation);
  BOOST_TEST(a.best.epoch == b.best.epoch);
}

BOOST_AUTO_TEST_CASE(float_network_on_ranks, *utf::label("np1") * utf::label("np3")) {
  Run together;
  Run alone(MPI_COMM_SELF);
  together.objective = LinearObjective(4, torch::kFloat32);
  alone.objective = LinearObjective(4, torch::kFloat32);
  together.train();
  alone.train();
  BOOST_TEST((together.theta().scalar_type() == torch::kFloat32));
  BOOST_TEST(relative_difference(together.theta(), alone.theta()) < 1e-5);
  // Before the first update the loss must carry double precision.
  Run first;
  Run first_alone(MPI_COMM_SELF);
  for (Run* run : {&first, &first_alone}) {
    run->objective = LinearObjective(4, torch::kFloat32);
    run->options.epochs = 1;
    run->options.batch_size = 40;
  }
  const double loss = first.train().loss;
  const double expected = first_alone.train().loss;
  BOOST_TEST(std::abs(loss - expected) <= 1e-14 * expected);
}

BOOST_AUTO_TEST_CASE(same_seed_same_bits, *utf::label("np1") * utf::label("np3")) {
  Run a;
  Run b;
  Run c;
  c.options.seed = 18;
  a.train();
  b.train();
  c.train();
  BOOST_TEST(a.theta().equal(b.theta()));
  BOOST_TEST(!a.theta().equal(c.theta()));
  BOOST_TEST(epoch_figure(a, 5, "loss") == epoch_figure(b, 5, "loss"));
}

BOOST_AUTO_TEST_CASE(ranks_start_from_rank_0, *utf::label("np2")) {
  Run run;
  Run other;
  if (espalier::testing::rank_of() == 1) run.theta().add_(1);
  run.train();
  other.train();
  BOOST_TEST(run.theta().equal(other.theta()));
}

BOOST_AUTO_TEST_CASE(report_rows, *utf::label("np1") * utf::label("np2")) {
  Run run;
  run.options.validate_every = 2;
  run.train();
  const auto& json = run.report.json();
  BOOST_REQUIRE(json.at("epochs").size() == 6U);
  BOOST_TEST(json.at("seed").get<long>() == 17);
  BOOST_TEST(json.at("checkpoint_bytes").get<double>() == 1234);
  for (std::size_t i = 0; i < 6; ++i) {
    const auto& row = json.at("epochs").at(i);
    BOOST_TEST(row.at("epoch").get<int>() == static_cast<int>(i) + 1);
    // 6 batches an epoch; validation is not counted.
    BOOST_TEST(row.at("nfe_forward").get<long>() == 12);
    BOOST_TEST(row.at("nfe_adjoint").get<long>() == 6);
    BOOST_TEST(row.at("jvp_forward").get<double>() == 18);
    BOOST_TEST(row.at("ksp_its_forward").get<long>() == 30);
    BOOST_TEST(row.at("ksp_its_adjoint").get<long>() == 42);
    BOOST_TEST(row.at("seconds").get<double>() > 0);
    BOOST_TEST(row.at("validation").is_number() == (i % 2 == 1));
  }
  BOOST_TEST(json.at("metrics").at("loss").get<double>() == epoch_figure(run, 5, "loss"));
  BOOST_TEST(json.at("metrics").at("ksp_its_forward").get<double>() == 6 * 30);
  BOOST_TEST(json.at("metrics").at("ksp_its_adjoint").get<double>() == 6 * 42);
}

BOOST_AUTO_TEST_CASE(best_model_is_that_of_the_smallest_validation, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run run;
  run.output = folder.file("run");
  run.options.lr = 1;  // too large: the error goes up and down
  const TrainResult result = run.train();
  double least = std::numeric_limits<double>::infinity();
  int best = 0;
  for (std::size_t i = 0; i < 6; ++i)
    if (epoch_figure(run, i, "validation") < least) {
      least = epoch_figure(run, i, "validation");
      best = static_cast<int>(i) + 1;
    }
  BOOST_TEST_REQUIRE(best < 6);
  BOOST_TEST(result.best.epoch == best);
  BOOST_TEST(result.best.validation == least);
  Run shorter;
  shorter.options = run.options;
  shorter.options.epochs = best;
  shorter.train();
  const Model model = read_model(MPI_COMM_WORLD, result.best_file, run.fingerprint);
  BOOST_TEST(model.parameters.equal(shorter.theta()));
}

// A command given twice by mistake.
BOOST_AUTO_TEST_CASE(restart_files_of_earlier_runs_stay, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run first;
  first.output = folder.file("out");
  first.train();
  MPI_Barrier(MPI_COMM_WORLD);
  const std::string before = espalier::testing::contents(folder.file("out/restart.h5"));
  Run second;
  second.output = first.output;
  second.options.overwrite = false;
  BOOST_CHECK_EXCEPTION(second.train(), espalier::UserError,
                        espalier::testing::mentions("-train_resume", "-train_overwrite"));
  BOOST_TEST((espalier::testing::contents(folder.file("out/restart.h5")) == before));
  // What trains nothing overwrites nothing.
  second.options.epochs = 0;
  second.train();
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST((espalier::testing::contents(folder.file("out/restart.h5")) == before));
}

BOOST_AUTO_TEST_CASE(a_model_file_is_a_start, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run first;
  first.output = folder.file("out");
  const TrainResult trained = first.train();
  MPI_Barrier(MPI_COMM_WORLD);
  Run second;
  // Another method or other data do not matter.
  second.fingerprint = "network=linear; precision=float; data=other";
  second.options.start = trained.best_file;
  second.options.epochs = 0;
  second.train();
  BOOST_TEST(second.theta().equal(trained.best.parameters));
  Run other;
  other.fingerprint = "network=other";
  other.options.start = trained.best_file;
  BOOST_CHECK_EXCEPTION(other.train(), espalier::UserError, espalier::testing::mentions("network", "linear"));
}

BOOST_AUTO_TEST_CASE(no_epochs_write_no_restart_file, *utf::label("np1") * utf::label("np3")) {
  Run run;
  run.options.epochs = 0;
  const TrainResult result = run.train();
  BOOST_TEST(std::isnan(result.loss));
  BOOST_TEST(result.restart_file.empty());
}

BOOST_AUTO_TEST_CASE(without_held_out_samples, *utf::label("np1")) {
  Run run;
  run.held_out = 0;
  const TrainResult result = run.train();
  BOOST_TEST(std::isnan(result.validation));
  BOOST_TEST(result.best.parameters.defined());
}

BOOST_AUTO_TEST_CASE(too_few_samples_for_a_batch, *utf::label("np1")) {
  Run run;
  run.options.batch_size = 256;
  run.options.drop_last = true;
  BOOST_CHECK_EXCEPTION(run.train(), espalier::UserError, espalier::testing::mentions("40", "-train_drop_last"));
}

BOOST_AUTO_TEST_CASE(time_limit_stops, *utf::label("np1")) {
  Run run;
  run.options.minutes = 1e-9;
  BOOST_CHECK_EXCEPTION(run.train(), Interrupted, espalier::testing::mentions("after 0 epochs"));
}

// --- what goes wrong during a step ----------------------------------------------------------------------------------

// A value that is not finite on one rank stops all, and what is on disk stays.
BOOST_AUTO_TEST_CASE(loss_that_is_not_finite, *utf::label("np1") * utf::label("np3")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run run;
  run.output = folder.path();
  run.options.restart_every = 1;
  run.objective.spoil = [](long evaluation) {
    return evaluation == 15 && espalier::testing::rank_of() == 0 ? std::numeric_limits<double>::quiet_NaN() : 0.0;
  };
  BOOST_CHECK_EXCEPTION(run.train(), espalier::NumericalError,
                        espalier::testing::mentions("loss", "epoch 3, batch 4 of 6", "-train_lr", "0.02"));
  Run two;
  two.options.epochs = 2;
  two.train();
  Run resumed;
  resumed.options.epochs = 2;
  resumed.options.resume = folder.file("restart.h5");
  resumed.train();
  BOOST_TEST(resumed.theta().equal(two.theta()));
}

BOOST_AUTO_TEST_CASE(gradient_that_is_not_finite, *utf::label("np1") * utf::label("np2")) {
  Run run;
  run.objective.before_gradient = [&](long evaluation) {
    if (evaluation == 6) run.objective.parameters().gradient()[2] = std::numeric_limits<double>::infinity();
  };
  const at::Tensor before = run.theta().clone();
  BOOST_CHECK_EXCEPTION(run.train(), espalier::NumericalError,
                        espalier::testing::mentions("gradient", "epoch 2, batch 1 of 6"));
  BOOST_TEST(run.theta().isfinite().all().item<bool>());
}

// An exception on one rank becomes one on every rank, with its text.
BOOST_AUTO_TEST_CASE(failure_on_one_rank, *utf::label("np1") * utf::label("np3")) {
  const int size = espalier::testing::size_of();
  Run run;
  run.objective.before_gradient = [&](long evaluation) {
    if (evaluation == 8 && espalier::testing::rank_of() == size - 1)
      throw espalier::NumericalError("Krylov solver diverged", __FILE__, __LINE__);
  };
  BOOST_CHECK_EXCEPTION(run.train(), espalier::NumericalError,
                        espalier::testing::mentions("Krylov solver diverged", "epoch 2, batch 3 of 6"));
}

BOOST_AUTO_TEST_SUITE_END()
