// The trajectory type "espalier": the bits of PETSc's memory trajectory within any number of units.
#include "espalier/checkpoint/trajectory.hpp"

#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "espalier/checkpoint/schedule.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/model/neural_fields.hpp"
#include "io/temporary_folder.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
using espalier::testing::mentions;
using espalier::testing::ScopedOptions;
using espalier::testing::TemporaryFolder;
namespace utf = boost::unit_test;

namespace {

const std::vector<std::string> repeatable = {"rk4", "3", "cn", "beuler"};
// Steps of 0.1, and three short ones.
const std::vector<double> times = {0, 0.3, 0.35, 0.6, 0.93};
constexpr long steps = 11;

std::string budget(long units) { return "-checkpoint_units " + std::to_string(units); }

void check_same_bits(const Gradient& ours, const Gradient& expected) {
  BOOST_TEST(at::equal(ours.snapshots, expected.snapshots));
  BOOST_TEST(at::equal(ours.u0_bar, expected.u0_bar));
  BOOST_TEST(at::equal(ours.theta_bar, expected.theta_bar));
}

PetscInt rejections(TS ts) {
  PetscInt count = 0;
  ESPALIER_CALL(TSGetStepRejections(ts, &count));
  return count;
}

long largest(double bytes) {
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_MAX, PETSC_COMM_WORLD);
  return static_cast<long>(bytes);
}

long sum(double bytes) {
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
  return static_cast<long>(bytes);
}

/// u_t = MLP(u) + J u with several observation times.
class Problem {
 public:
  explicit Problem(const std::string& method, const Setup& setup = {}, bool fit_steps = false) : system(setup) {
    auto chosen = settings(method, 0.1, "run_");
    chosen.fit_steps = fit_steps;
    integrator = std::make_unique<ts::Integrator>(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), chosen);
  }
  Gradient gradient() { return discrete_adjoint(system, *integrator, u0, times, weights); }

  System system;
  at::Tensor u0 = random_tensor({samples, dof}, 1);
  at::Tensor weights = random_tensor({static_cast<std::int64_t>(times.size()) - 1, samples, dof}, 2);
  std::unique_ptr<ts::Integrator> integrator;
};

/// Advection and diffusion by moving neural fields on a grid.
class FieldProblem {
 public:
  explicit FieldProblem(const std::string& method) {
    const auto grid = std::make_shared<const grid::CellGrid>(
        PETSC_COMM_WORLD, std::vector<grid::Axis>{{8, 0, 1, {}, {}}, {6, 0, 1, {}, {}}});
    nn::ConditionalFieldSettings field;
    field.names = {"velocity_x", "velocity_y"};
    field.hypernetwork = {6};
    field.hidden = {8};
    field.omega = 3;
    field.seed = 4;
    field_ = std::make_shared<nn::ConditionalField>(field);
    model::FiniteVolumeSettings flow;
    flow.advection = model::Advection::burgers;
    flow.diffusivity = 0.02;
    const auto term = std::make_shared<model::FiniteVolumeTerm>(
        grid, flow, std::make_shared<model::NeuralFields>(field_, grid->centres(), model::Motion::moving));
    const at::Tensor all = random_tensor({2 + 2 * 2, 48}, 6);
    u0_ = grid->part_of(all.narrow(0, 0, 2));
    weights_ = grid->part_of(all.narrow(0, 2, 4)).view({2, 2, -1});
    auto chosen = settings(method, 0.01);
    chosen.fit_steps = true;
    integrator_ = std::make_unique<ts::Integrator>(PETSC_COMM_WORLD, ts::BatchShape{2, grid->local_cells()},
                                                   model::SplitSystem{nullptr, term}, chosen);
  }

  Gradient gradient() {
    field_->parameters().zero_gradient();
    Gradient g;
    g.snapshots = integrator_->forward(u0_, {0, 0.034, 0.08}, ts::Record::yes).clone();
    g.u0_bar = integrator_->adjoint(weights_).clone();
    g.theta_bar = field_->parameters().gradient().clone();
    return g;
  }
  long repeated_steps() const { return integrator_->repeated_steps(); }
  long steps() const { return integrator_->steps(); }

 private:
  std::shared_ptr<nn::ConditionalField> field_;
  std::unique_ptr<ts::Integrator> integrator_;
  at::Tensor u0_;
  at::Tensor weights_;
};

/// A TS of a caller's own, as a plain PETSc program has it, integrates a network.
class OwnTs {
 public:
  explicit OwnTs(const std::string& options) : options_("-ts_adapt_type none -ts_dt 0.1 -ts_max_time 1 " + options) {
    checkpoint::register_trajectory();
    ESPALIER_CALL(VecCreateMPI(PETSC_COMM_WORLD, dof, PETSC_DETERMINE, state_.out()));
    ESPALIER_CALL(VecDuplicate(state_.get(), lambda_.out()));
    mu_ = system_.neural->create_mu(PETSC_COMM_WORLD);
    ESPALIER_CALL(TSCreate(PETSC_COMM_WORLD, ts_.out()));
    ESPALIER_CALL(TSSetType(ts_.get(), TSRK));
    ESPALIER_CALL(TSRKSetType(ts_.get(), TSRK4));
    ESPALIER_CALL(TSSetExactFinalTime(ts_.get(), TS_EXACTFINALTIME_MATCHSTEP));
    system_.neural->attach_explicit(ts_.get(), state_.get());
    lambdas_[0] = lambda_.get();
    mus_[0] = mu_.get();
    ESPALIER_CALL(TSSetCostGradients(ts_.get(), 1, lambdas_, mus_));
    ESPALIER_CALL(TSSetSaveTrajectory(ts_.get()));
    ESPALIER_CALL(TSSetFromOptions(ts_.get()));
  }

  at::Tensor gradient(const std::vector<double>& ends = {1.0}) {
    run(ends);
    return adjoint();
  }
  /// One TSSolve to each of the times.
  void run(const std::vector<double>& ends) {
    ESPALIER_CALL(VecSet(state_.get(), 0.4));
    ESPALIER_CALL(VecSet(lambda_.get(), 1));
    ESPALIER_CALL(VecSet(mu_.get(), 0));
    ESPALIER_CALL(TSSetTime(ts_.get(), 0));
    ESPALIER_CALL(TSSetStepNumber(ts_.get(), 0));
    for (const double end : ends) {
      ESPALIER_CALL(TSSetTimeStep(ts_.get(), 0.1));
      ESPALIER_CALL(TSSetMaxTime(ts_.get(), end));
      ESPALIER_CALL(TSSolve(ts_.get(), state_.get()));
    }
  }
  at::Tensor adjoint() {
    ESPALIER_CALL(TSAdjointSolve(ts_.get()));
    return at::cat({entries(lambda_.get()), entries(mu_.get())});
  }
  TSTrajectory trajectory() const {
    TSTrajectory trajectory = nullptr;
    ESPALIER_CALL(TSGetTrajectory(ts_.get(), &trajectory));
    return trajectory;
  }
  TS ts() const { return ts_.get(); }

 private:
  static at::Tensor entries(Vec vec) {
    const PetscScalar* array = nullptr;
    PetscInt size = 0;
    ESPALIER_CALL(VecGetLocalSize(vec, &size));
    ESPALIER_CALL(VecGetArrayRead(vec, &array));
    const at::Tensor copy = at::from_blob(const_cast<double*>(array), {size}, at::kDouble).clone();
    ESPALIER_CALL(VecRestoreArrayRead(vec, &array));
    return copy;
  }

  ScopedOptions options_;
  System system_;
  petsc::VecHandle state_;
  petsc::VecHandle lambda_;
  petsc::VecHandle mu_;
  Vec lambdas_[1] = {nullptr};
  Vec mus_[1] = {nullptr};
  petsc::TsHandle ts_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_trajectory,
                      *utf::label("checkpoint") * utf::label("checkpointing") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(gradients_have_the_bits_of_the_memory_trajectory,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  for (const auto& method : repeatable)
    for (const std::size_t keep_bytes : {std::size_t{0}, model::NeuralTerm::default_keep_bytes}) {
      Setup setup;
      setup.keep_bytes = keep_bytes;
      Problem problem(method, setup);
      const Gradient expected = problem.gradient();
      const auto state_bytes = static_cast<double>(mine(problem.u0).numel() * sizeof(double));
      const auto kept = problem.system.neural->kept_bytes();
      const auto forward = problem.system.neural->counters().forward;
      BOOST_TEST(problem.integrator->steps() == steps);
      for (const long units : {1L, 2L, 3L, 5L, 10L, 40L}) {
        const ScopedOptions options("-run_" + budget(units).substr(1));
        BOOST_TEST_CONTEXT(method << ", " << units << " units, " << keep_bytes << " bytes for the network") {
          const auto before = problem.system.neural->counters().forward;
          check_same_bits(problem.gradient(), expected);
          BOOST_TEST(problem.integrator->repeated_steps() == checkpoint::binomial_repetitions(steps, units));
          BOOST_TEST(problem.integrator->checkpoint_bytes() ==
                     static_cast<double>(std::min(units, steps - 1)) * state_bytes);
          BOOST_TEST(problem.integrator->step_sizes().size() == static_cast<std::size_t>(steps));
          BOOST_TEST(problem.system.neural->kept_bytes() == kept);
          BOOST_TEST(problem.system.neural->counters().forward - before == forward);
        }
      }
      const ScopedOptions all("-run_checkpoint_schedule all");
      check_same_bits(problem.gradient(), expected);
      BOOST_TEST(problem.integrator->repeated_steps() == 0);
    }
}

// They hand the last stage on to the next step, and not when a step begins from a stored state.
BOOST_AUTO_TEST_CASE(methods_that_reuse_a_stage_have_the_same_bits_for_every_budget, *utf::label("gradient")) {
  for (const std::string method : {"5dp", "3bs"}) {
    Problem problem(method);
    const Gradient memory = problem.gradient();
    Gradient expected;
    {
      const ScopedOptions all("-run_ts_trajectory_type espalier");
      expected = problem.gradient();
    }
    BOOST_TEST(relative(expected.u0_bar, memory.u0_bar) <= 1e-13);
    BOOST_TEST(relative(expected.theta_bar, memory.theta_bar) <= 1e-13);
    for (const long units : {1L, 3L}) {
      const ScopedOptions options("-run_" + budget(units).substr(1));
      BOOST_TEST_CONTEXT(method << ", " << units << " units") { check_same_bits(problem.gradient(), expected); }
    }
  }
}

// Accepted steps are repeated as they were, whatever was tried before them.
BOOST_AUTO_TEST_CASE(controlled_steps_have_the_same_bits_for_every_schedule,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  for (const std::string method : {"5dp", "3", "cn"}) {
    // Of second order, and not to be followed with thousands of steps.
    const std::string tolerance = method == "cn" ? "1e-2" : method == "3" ? "1e-5" : "1e-7";
    const ScopedOptions control("-run_ts_adapt_type basic -run_ts_atol " + tolerance + " -run_ts_rtol " + tolerance);
    Problem problem(method);
    const Gradient memory = problem.gradient();
    const auto sizes = problem.integrator->step_sizes();
    problem.integrator->forward(mine(problem.u0), times, ts::Record::no);
    BOOST_TEST((problem.integrator->step_sizes() == sizes));
    BOOST_TEST_CONTEXT(method) {
      BOOST_REQUIRE(sizes.size() < 300U);
      BOOST_TEST(rejections(problem.integrator->ts()) > 0);
      BOOST_TEST(*std::max_element(sizes.begin(), sizes.end()) > 1.5 * *std::min_element(sizes.begin(), sizes.end()));
    }
    Gradient expected;
    {
      const ScopedOptions all("-run_ts_trajectory_type espalier -run_checkpoint_schedule all");
      expected = problem.gradient();
    }
    BOOST_TEST(relative(expected.u0_bar, memory.u0_bar) <= 1e-9);
    BOOST_TEST(relative(expected.theta_bar, memory.theta_bar) <= 1e-9);
    for (const std::string options :
         {"-run_checkpoint_units 2", "-run_checkpoint_units 5",
          "-run_checkpoint_schedule online -run_checkpoint_units 3",
          "-run_checkpoint_schedule binomial -run_checkpoint_units 3 -run_checkpoint_steps 40",
          "-run_checkpoint_schedule mixed -run_checkpoint_ram 4kB"}) {
      const ScopedOptions scoped(options);
      BOOST_TEST_CONTEXT(method << " " << options) {
        check_same_bits(problem.gradient(), expected);
        BOOST_TEST(problem.integrator->repeated_steps() > 0);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_have_the_same_bits_for_every_schedule,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const TemporaryFolder folder(PETSC_COMM_WORLD);
  for (const auto& method : repeatable) {
    Problem problem(method);
    const Gradient expected = problem.gradient();
    const auto state_bytes = static_cast<double>(mine(problem.u0).numel() * sizeof(double));
    for (const std::string schedule : {"auto", "binomial", "multistage", "mixed", "online", "disk"})
      for (const int units : {2, 5, 9}) {
        const std::string budget = std::to_string(units * largest(state_bytes)) + "B";
        const std::string disk = std::to_string(3 * sum(state_bytes)) + "B";
        const ScopedOptions options(
            "-run_checkpoint_schedule " + schedule + " -run_checkpoint_view false" + " -run_checkpoint_ram " + budget +
            (schedule == "disk" ? " -run_checkpoint_disk " + disk : "") + " -run_checkpoint_dir " + folder.path());
        BOOST_TEST_CONTEXT(method << ", " << schedule << ", " << units << " units") {
          check_same_bits(problem.gradient(), expected);
          BOOST_TEST(problem.integrator->checkpoint_bytes() <= units * state_bytes);
          if (schedule == "binomial")
            BOOST_TEST(problem.integrator->repeated_steps() == checkpoint::binomial_repetitions(steps, units));
          if (schedule == "multistage")
            BOOST_TEST(problem.integrator->repeated_steps() <= checkpoint::binomial_repetitions(steps, units));
        }
      }
  }
  BOOST_TEST(folder.size() == 0U);
}

// The adjoint of a repeated step finds what the repetition kept: a backward pass is all that it costs.
BOOST_AUTO_TEST_CASE(kept_graphs_save_evaluations, *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  for (const std::string method : {"rk4", "3", "l2"}) {
    Setup setup;
    setup.keep_bytes = 0;
    Problem problem(method, setup);
    const Gradient expected = problem.gradient();
    const auto evaluations = [&](const std::string& option) {
      const ScopedOptions options("-run_checkpoint_units 2 " + option);
      const long before = problem.system.neural->counters().recomputed;
      check_same_bits(problem.gradient(), expected);
      return problem.system.neural->counters().recomputed - before;
    };
    const long without = evaluations("");
    const long with = evaluations("-run_checkpoint_keep_graph");
    const long of_a_step = problem.system.neural->counters().forward / problem.integrator->runs() / steps;
    BOOST_TEST_CONTEXT(method) {
      // Of the last step of the run there is no repetition.
      BOOST_TEST(with == (problem.integrator->repeated_steps() + 1) * of_a_step);
      BOOST_TEST(without == (problem.integrator->repeated_steps() + steps) * of_a_step);
    }
  }
}

// With room for everything nothing is repeated.
BOOST_AUTO_TEST_CASE(auto_keeps_all_that_fits, *utf::label("unit")) {
  Problem problem("rk4");
  const Gradient expected = problem.gradient();
  const ScopedOptions options("-run_checkpoint_ram 1MB -run_checkpoint_view false");
  check_same_bits(problem.gradient(), expected);
  BOOST_TEST(problem.integrator->repeated_steps() == 0);
}

// A run of two TSSolve with observation between them, and the adjoint of both in one go.
BOOST_AUTO_TEST_CASE(several_solves_before_one_adjoint,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  // PETSc's memory trajectory does not take a second TSSolve.
  const at::Tensor of_one_solve = OwnTs("-ts_trajectory_type memory -ts_trajectory_solution_only 0").gradient();
  const at::Tensor expected = OwnTs("-ts_trajectory_type espalier").gradient({0.4, 1.0});
  BOOST_TEST(relative(expected, of_one_solve) <= 1e-13);
  for (const std::string options :
       {"", "-checkpoint_units 1", "-checkpoint_units 3", "-checkpoint_units 3 -checkpoint_steps 10",
        "-checkpoint_schedule online -checkpoint_units 3", "-checkpoint_schedule multistage -checkpoint_units 6",
        "-checkpoint_schedule mixed -checkpoint_units 6", "-checkpoint_schedule auto -checkpoint_units 9",
        "-checkpoint_schedule multistage -checkpoint_units 6 -checkpoint_steps 10"}) {
    OwnTs own("-checkpoint_view false -ts_trajectory_type espalier " + options);
    BOOST_TEST_CONTEXT(options)
    for (int run = 0; run < 2; ++run) BOOST_TEST(at::equal(own.gradient({0.4, 1.0}), expected));
  }
}

// Steps of several sizes and a Newton solver with options of its own, which the adjoint's must not replace.
BOOST_AUTO_TEST_CASE(repeated_steps_use_the_solver_of_the_run,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const ScopedOptions solver(
      "-run_ksp_type bcgs -run_ksp_rtol 1e-5 -run_pc_type none -run_snes_lag_jacobian 2 -run_adjoint_ksp_type gmres");
  Setup setup;
  setup.solver = model::LinearSolver::krylov;
  Problem problem("cn", setup, /*fit_steps=*/true);
  const Gradient expected = problem.gradient();
  const long forward = problem.integrator->ksp_iterations_forward();
  const long adjoint = problem.integrator->ksp_iterations_adjoint();
  const ScopedOptions options("-run_checkpoint_units 2");
  check_same_bits(problem.gradient(), expected);
  BOOST_TEST(problem.integrator->repeated_steps() == checkpoint::binomial_repetitions(problem.integrator->steps(), 2));
  BOOST_TEST(problem.integrator->ksp_iterations_forward() > 2 * forward);
  BOOST_TEST(problem.integrator->ksp_iterations_adjoint() == 2 * adjoint);
}

BOOST_AUTO_TEST_CASE(moving_fields_on_grids_have_the_same_bits,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  for (const std::string method : {"cn", "rk4"}) {
    FieldProblem problem(method);
    const Gradient expected = problem.gradient();
    for (const long units : {1L, 3L, 20L}) {
      const ScopedOptions options(budget(units));
      BOOST_TEST_CONTEXT(method << ", " << units << " units") {
        check_same_bits(problem.gradient(), expected);
        BOOST_TEST(problem.repeated_steps() == checkpoint::binomial_repetitions(problem.steps(), units));
      }
    }
  }
}

// PETSc's step control remembers the last step size that it cut short.
BOOST_AUTO_TEST_CASE(repetitions_leave_no_trace_in_the_next_run, *utf::label("unit")) {
  const ScopedOptions options("-run_checkpoint_units 1");
  Problem problem("rk4", {}, /*fit_steps=*/true);
  const std::vector<double> two_steps = {0, 0.1, 0.15};
  problem.weights = problem.weights.narrow(0, 0, 2);
  (void)discrete_adjoint(problem.system, *problem.integrator, problem.u0, two_steps, problem.weights);
  problem.integrator->forward(problem.u0, {0, 0.27, 0.39}, ts::Record::no);
  const auto& sizes = problem.integrator->step_sizes();
  BOOST_REQUIRE(sizes.size() == 4U);
  for (std::size_t n = 0; n < 3; ++n) BOOST_TEST(std::abs(sizes[n] - 0.09) <= 1e-12);
}

BOOST_AUTO_TEST_CASE(memory_does_not_grow, *utf::label("unit")) {
  Problem problem("3");
  const ScopedOptions options("-run_checkpoint_units 3");
  const Gradient expected = problem.gradient();
  const auto run = [&](int times_over) {
    for (int k = 0; k < times_over; ++k) {
      // Recorded for nothing, and not recorded at all.
      problem.integrator->forward(problem.u0, times, ts::Record::yes);
      problem.integrator->forward(problem.u0, times, ts::Record::no);
      check_same_bits(problem.gradient(), expected);
    }
  };
  run(10);
  const auto before = mallinfo2().uordblks;
  run(100);
  BOOST_TEST(mallinfo2().uordblks < before + 4096);
}

// The number of steps is estimated from the times; the same trajectory serves several runs.
BOOST_AUTO_TEST_CASE(a_ts_of_the_callers_own, *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const at::Tensor expected = OwnTs("-ts_trajectory_type memory -ts_trajectory_solution_only 0").gradient();
  for (const long units : {1L, 3L}) {
    OwnTs own("-ts_trajectory_type espalier " + budget(units));
    for (int run = 0; run < 3; ++run) {
      BOOST_TEST(at::equal(own.gradient(), expected));
      const auto usage = checkpoint::usage(own.trajectory());
      BOOST_TEST(usage.repeated_steps == checkpoint::binomial_repetitions(10, units));
      BOOST_TEST(usage.peak_units == units);
    }
  }
}

// One message on all ranks, whoever's file it was, and nothing is left behind.
BOOST_AUTO_TEST_CASE(a_file_that_has_changed_ends_the_adjoint,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(PETSC_COMM_WORLD);
  {
    OwnTs own(
        "-ts_trajectory_type espalier -checkpoint_view false -checkpoint_schedule disk -checkpoint_ram 40B "
        "-checkpoint_disk 1kB -checkpoint_dir " +
        folder.path());
    own.run({1.0});
    MPI_Barrier(PETSC_COMM_WORLD);
    long files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
      if (!entry.is_regular_file()) continue;
      ++files;
      if (rank_of() != 0) continue;
      std::string bytes = espalier::testing::contents(entry.path());
      bytes.back() ^= 1;
      espalier::testing::put(entry.path(), bytes);
    }
    BOOST_TEST(files >= 3 * size_of());
    MPI_Barrier(PETSC_COMM_WORLD);
    BOOST_CHECK_EXCEPTION((void)own.adjoint(), UserError, mentions(folder.path(), "-checkpoint_dir"));
  }
  MPI_Barrier(PETSC_COMM_WORLD);
  BOOST_TEST(folder.size() == 0U);
}

// A step that the run has not taken cannot be reversed.
BOOST_AUTO_TEST_CASE(an_adjoint_begins_where_the_run_has_ended, *utf::label("unit")) {
  OwnTs own("-ts_trajectory_type espalier -checkpoint_units 3");
  own.run({1.0});
  ESPALIER_CALL(TSSetStepNumber(own.ts(), 7));
  BOOST_CHECK_EXCEPTION((void)own.adjoint(), UserError, mentions("has ended"));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_repeated_is_refused, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const auto refuses = [](const std::string& method, const std::string& options, const std::string& message) {
    const ScopedOptions scoped(options);
    BOOST_TEST_CONTEXT(method << " " << options)
    BOOST_CHECK_EXCEPTION(Problem(method).gradient(), UserError, mentions(message));
  };
  refuses("ab3", "-run_checkpoint_units 3", "not of espalier_adams");
  refuses("am2", "-run_ts_trajectory_type espalier", "not of espalier_adams");
  refuses("rk4", "-run_checkpoint_units 0", "at least 1");
  refuses("rk4", "-run_checkpoint_schedule binomial", "-checkpoint_units");
  refuses("rk4", "-run_checkpoint_schedule best", "auto, all, binomial");
  refuses("rk4", "-run_checkpoint_ram 3 -run_checkpoint_units 3", "leave one of them out");
  refuses("rk4", "-run_checkpoint_ram 3xB", "-checkpoint_ram");
  refuses("rk4", "-run_checkpoint_ram 0MB", "more than nothing");
  refuses("rk4", "-run_checkpoint_ram 8B", "give at least");
  refuses("rk4", "-run_checkpoint_schedule disk -run_checkpoint_ram 1MB", "-checkpoint_disk");
  refuses("rk4", "-run_checkpoint_schedule all -run_checkpoint_units 3", "leave -checkpoint_units, -checkpoint_ram");
  refuses("rk4", "-run_checkpoint_units 3 -run_ts_trajectory_type memory", "-ts_trajectory_type espalier");
  OwnTs dirk("-ts_trajectory_type espalier -ts_type dirk");
  BOOST_CHECK_EXCEPTION((void)dirk.gradient(), UserError, mentions("not of dirk"));
}

BOOST_AUTO_TEST_SUITE_END()
