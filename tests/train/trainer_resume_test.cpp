#include <mpi.h>
#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/io/hdf5.hpp"
#include "io/temporary_folder.hpp"
#include "linear_objective.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;
using espalier::testing::mentions;
using espalier::testing::TemporaryFolder;
using espalier::train::testing::Run;

namespace {

// The rows must agree in everything but the time they took.
void check_same_history(Run& a, Run& b) {
  auto rows = a.report.json().at("epochs");
  auto other = b.report.json().at("epochs");
  for (auto* list : {&rows, &other})
    for (auto& row : *list) row.erase("seconds");
  BOOST_TEST(rows.dump() == other.dump());
}

void check_same_end(const TrainResult& a, const TrainResult& b) {
  BOOST_TEST(a.loss == b.loss);
  BOOST_TEST(a.validation == b.validation);
  BOOST_TEST(a.best.validation == b.best.validation);
  BOOST_TEST(a.best.epoch == b.best.epoch);
  BOOST_TEST(a.best.parameters.equal(b.best.parameters));
}

using Prepare = std::function<void(Run&)>;

// Six epochs at once, and three and three with a restart file between them.
void check_resume(const TemporaryFolder& folder, const Prepare& prepare) {
  Run whole;
  Run first;
  Run second;
  for (Run* run : {&whole, &first, &second}) {
    run->options.schedule.horizon = 6;
    prepare(*run);
  }
  first.options.epochs = 3;
  first.output = folder.file("first");
  second.options.resume = folder.file("first/restart.h5");
  second.theta().fill_(7);
  const TrainResult a = whole.train();
  first.train();
  const TrainResult b = second.train();
  BOOST_TEST(whole.theta().equal(second.theta()));
  BOOST_TEST(!whole.theta().equal(first.theta()));
  check_same_end(a, b);
  check_same_history(whole, second);
}

// Counts epochs and says how many, as the refinement of a solver does.
class Counter : public Companion {
 public:
  void epoch_done(HistoryRow& row) override { row.extra["refinement"] = ++level; }
  void save(RestartState& state) const override { state.numbers["refinement"] = level; }
  void restore(const RestartState& state) override { level = state.numbers.at("refinement"); }
  double level = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(train_resume, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(every_optimiser, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  for (const auto& name : optimiser_names())
    for (const double momentum : {0.0, 0.9}) {
      BOOST_TEST_CONTEXT(name << " momentum " << momentum) {
        check_resume(folder, [&](Run& run) {
          run.options.optimiser.name = name;
          run.options.optimiser.momentum = momentum;
          run.options.optimiser.weight_decay = 0.01;
        });
      }
    }
}

BOOST_AUTO_TEST_CASE(every_schedule, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  for (const auto& name : schedule_names()) {
    BOOST_TEST_CONTEXT(name) {
      check_resume(folder, [&](Run& run) {
        run.options.schedule.name = name;
        run.options.schedule.warmup = 1;
        run.options.schedule.patience = 0;
        run.options.lr = 1;  // too large, so that plateau has something to do
      });
    }
  }
  // The last one, plateau, must have reduced its rate before its restart file was written.
  const espalier::io::Hdf5Reader file(folder.file("first/restart.h5"));
  double reductions = 0;
  file.read_into("schedule/reductions", {}, &reductions);
  BOOST_TEST(reductions > 0);
}

BOOST_AUTO_TEST_CASE(float_network, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  check_resume(folder, [](Run& run) { run.objective = testing::LinearObjective(4, torch::kFloat32); });
}

BOOST_AUTO_TEST_CASE(companions_keep_their_state, *utf::label("np1")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  std::deque<Counter> counters;
  check_resume(folder, [&](Run& run) { run.companion = &counters.emplace_back(); });
  // whole, first, second
  BOOST_TEST(counters.at(0).level == 6);
  BOOST_TEST(counters.at(1).level == 3);
  BOOST_TEST(counters.at(2).level == 6);
}

// Stopped behind any batch, at the end of an epoch too, and resumed: the bits of the run that never stopped.
BOOST_AUTO_TEST_CASE(stopped_anywhere, *utf::label("np1") * utf::label("np2") * utf::label("np3")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run whole;
  const TrainResult a = whole.train();
  for (const long at : {0L, 2L, 5L, 6L, 16L, 35L}) {
    BOOST_TEST_CONTEXT("stopped in evaluation " << at) {
      Run stopped;
      stopped.output = folder.file("stopped");
      // One rank alone wants to stop: the others must follow.
      const int rank = espalier::testing::rank_of();
      const int size = espalier::testing::size_of();
      stopped.options.stop_requested = [&, rank, size] {
        return rank == size - 1 && stopped.objective.evaluations() == at + 1;
      };
      BOOST_CHECK_EXCEPTION(stopped.train(), Interrupted, mentions("-train_resume", "stopped/restart.h5"));
      BOOST_TEST(stopped.objective.evaluations() == at + 1);
      Run resumed;
      resumed.options.resume = folder.file("stopped/restart.h5");
      const TrainResult b = resumed.train();
      BOOST_TEST(resumed.objective.evaluations() == 36 - (at + 1));
      BOOST_TEST(whole.theta().equal(resumed.theta()));
      check_same_end(a, b);
      check_same_history(whole, resumed);
    }
  }
}

// The real thing: a signal while a gradient is computed, on one rank. Alone in its process, which stays "interrupted".
BOOST_AUTO_TEST_CASE(signal, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run whole;
  whole.train();
  Run stopped;
  stopped.output = folder.path();
  stopped.options.stop_requested = nullptr;
  const int rank = espalier::testing::rank_of();
  stopped.objective.before_gradient = [rank](long evaluation) {
    if (evaluation == 8 && rank == 0) (void)std::raise(SIGINT);
  };
  BOOST_CHECK_EXCEPTION(stopped.train(), Interrupted, mentions("after 1 epochs and 3 of 6 batches"));
  Run resumed;
  resumed.options.resume = folder.file("restart.h5");
  resumed.train();
  BOOST_TEST(whole.theta().equal(resumed.theta()));
  check_same_history(whole, resumed);
}

BOOST_AUTO_TEST_CASE(other_runs_are_refused, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run run;
  run.options.epochs = 1;
  run.output = folder.path();
  run.train();
  const auto refuse = [&](const Prepare& change, const std::string& complaint) {
    Run other;
    other.options.resume = folder.file("restart.h5");
    change(other);
    const at::Tensor before = other.theta().clone();
    BOOST_CHECK_EXCEPTION(other.train(), espalier::UserError, mentions(complaint, std::string("restart.h5")));
    BOOST_TEST(other.theta().equal(before));
  };
  refuse([](Run& other) { other.fingerprint = "network=wide; precision=double"; }, "network: the file has linear");
  refuse([](Run& other) { other.options.optimiser.name = "sgd"; }, "optimizer: the file has adam, this run sgd");
  refuse([](Run& other) { other.options.seed = 1; }, "seed: the file has 17, this run 1");
  refuse([](Run& other) { other.options.batch_size = 8; }, "batch_size");
  refuse([](Run& other) { other.samples = 39; }, "training samples: the file has 40, this run 39");
  refuse([](Run& other) { other.objective = testing::LinearObjective(4, torch::kFloat32); }, "type Double");
}

BOOST_AUTO_TEST_CASE(a_finished_run_stays_as_it_is, *utf::label("np1")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  Run run;
  run.output = folder.path();
  const TrainResult a = run.train();
  Run again;
  again.options.resume = a.restart_file;
  const TrainResult b = again.train();
  BOOST_TEST(again.objective.evaluations() == 0);
  BOOST_TEST(again.theta().equal(run.theta()));
  check_same_end(a, b);
}

BOOST_AUTO_TEST_SUITE_END()
