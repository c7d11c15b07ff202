// Memory and time of a gradient against the budget of its checkpoints.
//
// A plain TS, TSRK of order 4 on u' = a u (1 - u) at many points, is run forward and back once under the -checkpoint_*
// options; without them it keeps the stages of every step. Before that short runs, of which everything is kept, tell
// how long a step takes and its adjoint: the prediction of the time is
//   (m + repeated steps) (seconds of a step) + m (seconds of an adjoint step),
// that of the memory what the process holds before the run and what the checkpoints may take.
//
//   build/bin/bench_checkpointing -options_file bench/checkpointing.opts -checkpoint_ram 64MB -report report.json
//   tools/study checkpointing                 # all budgets, with the plot of time and memory against the budget
#include <petscts.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "espalier/checkpoint/trajectory.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/machine.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/handle.hpp"

using namespace espalier;

namespace {

constexpr int calibrations = 41;
constexpr PetscInt short_run = 8;  // its own memory must not be the peak

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double seconds(const std::function<void()>& work) {
  const double start = MPI_Wtime();
  work();
  return MPI_Wtime() - start;
}

/// u' = a u (1 - u), pointwise, a = 1.
class Logistic {
 public:
  Logistic(MPI_Comm comm, PetscInt points) {
    ESPALIER_CALL(VecCreate(comm, u_.out()));
    ESPALIER_CALL(VecSetSizes(u_.get(), PETSC_DECIDE, points));
    ESPALIER_CALL(VecSetFromOptions(u_.get()));
    ESPALIER_CALL(VecDuplicate(u_.get(), lambda_.out()));
    ESPALIER_CALL(VecDuplicate(u_.get(), slope_.out()));
    ESPALIER_CALL(MatCreateDiagonal(slope_.get(), jacobian_.out()));
    lambdas_[0] = lambda_.get();
  }

  /// Seconds forward and back over `steps` steps. With `plain` everything is kept, whatever the options say.
  std::pair<double, double> gradient(PetscInt steps, bool plain) {
    petsc::TsHandle ts = make_ts(steps, plain);
    ESPALIER_CALL(VecSet(u_.get(), 0.1));
    ESPALIER_CALL(VecSet(lambda_.get(), 1));
    const double forward = seconds([&] { ESPALIER_CALL(TSSolve(ts.get(), u_.get())); });
    const double back = seconds([&] { ESPALIER_CALL(TSAdjointSolve(ts.get())); });
    TSTrajectory trajectory = nullptr;
    ESPALIER_CALL(TSGetTrajectory(ts.get(), &trajectory));
    usage = checkpoint::usage(trajectory);
    ESPALIER_CALL(VecNorm(lambda_.get(), NORM_2, &gradient_norm));
    return {forward, back};
  }

  checkpoint::Usage usage;
  PetscReal gradient_norm = 0;

 private:
  petsc::TsHandle make_ts(PetscInt steps, bool plain) {
    petsc::TsHandle ts;
    ESPALIER_CALL(TSCreate(PetscObjectComm(reinterpret_cast<PetscObject>(u_.get())), ts.out()));
    ESPALIER_CALL(TSSetType(ts.get(), TSRK));
    ESPALIER_CALL(TSRKSetType(ts.get(), TSRK4));
    ESPALIER_CALL(TSSetRHSFunction(ts.get(), nullptr, rate, this));
    ESPALIER_CALL(TSSetRHSJacobian(ts.get(), jacobian_.get(), jacobian_.get(), set_jacobian, this));
    ESPALIER_CALL(TSSetTimeStep(ts.get(), 1e-3));
    ESPALIER_CALL(TSSetMaxTime(ts.get(), 1e-3 * static_cast<double>(steps)));
    ESPALIER_CALL(TSSetMaxSteps(ts.get(), steps));
    ESPALIER_CALL(TSSetExactFinalTime(ts.get(), TS_EXACTFINALTIME_MATCHSTEP));
    ESPALIER_CALL(TSSetCostGradients(ts.get(), 1, lambdas_, nullptr));
    TSTrajectory trajectory = nullptr;
    checkpoint::register_trajectory();
    ESPALIER_CALL(TSSetSaveTrajectory(ts.get()));
    ESPALIER_CALL(TSGetTrajectory(ts.get(), &trajectory));
    ESPALIER_CALL(TSTrajectorySetType(trajectory, ts.get(), checkpoint::trajectory_type));
    if (plain) ESPALIER_CALL(PetscObjectSetOptionsPrefix(reinterpret_cast<PetscObject>(trajectory), "calibration_"));
    ESPALIER_CALL(TSSetFromOptions(ts.get()));
    return ts;
  }

  static PetscErrorCode rate(TS, PetscReal, Vec u, Vec f, void*) {
    PetscInt n = 0;
    const PetscScalar* x = nullptr;
    PetscScalar* y = nullptr;
    PetscFunctionBeginUser;
    PetscCall(VecGetLocalSize(u, &n));
    PetscCall(VecGetArrayRead(u, &x));
    PetscCall(VecGetArrayWrite(f, &y));
    for (PetscInt i = 0; i < n; ++i) y[i] = x[i] * (1 - x[i]);
    PetscCall(VecRestoreArrayWrite(f, &y));
    PetscCall(VecRestoreArrayRead(u, &x));
    PetscFunctionReturn(PETSC_SUCCESS);
  }

  // df/du = 1 - 2 u
  static PetscErrorCode set_jacobian(TS, PetscReal, Vec u, Mat, Mat jacobian, void*) {
    Vec slope = nullptr;
    PetscFunctionBeginUser;
    PetscCall(MatDiagonalGetDiagonal(jacobian, &slope));
    PetscCall(VecSet(slope, 1));
    PetscCall(VecAXPY(slope, -2, u));
    PetscCall(MatDiagonalRestoreDiagonal(jacobian, &slope));
    PetscFunctionReturn(PETSC_SUCCESS);
  }

  petsc::VecHandle u_;
  petsc::VecHandle lambda_;
  petsc::VecHandle slope_;
  petsc::MatHandle jacobian_;
  Vec lambdas_[1] = {nullptr};
};

const core::Program program = {"bench_checkpointing",
                               "Memory and time of a gradient against the budget of its checkpoints.\n"
                               "  u' = u (1 - u) at -bench_points points, -bench_steps steps of RK4, all "
                               "dimensionless\n"};

void run_benchmark(core::Session& session) {
  PetscInt points = 32768;
  PetscInt steps = 4096;
  core::read_options(session.comm(), "Benchmark", [&](core::OptionReader& o) {
    points = o.integer("-bench_points", "of the state", points, 1);
    steps = o.integer("-bench_steps", "of the run", steps, 1);
  });
  if (session.help_requested()) return;
  Logistic problem(session.comm(), points);
  std::vector<double> step;
  std::vector<double> adjoint_step;
  for (int k = 0; k < calibrations; ++k) {
    const auto [forward, back] = problem.gradient(short_run, true);
    step.push_back(forward);
    adjoint_step.push_back(back);
  }
  core::release_free_memory();
  const double before = core::resident_memory_mb();
  const auto [forward, back] = problem.gradient(steps, false);
  const double m = static_cast<double>(steps);
  const double repeated = static_cast<double>(problem.usage.repeated_steps);
  const double predicted = ((m + repeated) * median(step) + m * median(adjoint_step)) / static_cast<double>(short_run);
  core::RunReport& report = session.report();
  report.set_method("rk4");
  report.set_checkpoint_bytes(problem.usage.peak_bytes);
  const double checkpoint_mb = problem.usage.peak_bytes / (1024 * 1024);
  report.metric("repeated_steps", repeated);
  report.metric("checkpoint_mb", checkpoint_mb);
  report.metric("disk_mb", problem.usage.peak_disk_bytes / (1024 * 1024));
  report.metric("resident_before_mb", before);
  report.metric("predicted_peak_mb", before + checkpoint_mb);
  report.metric("measured_peak_mb", core::peak_memory_mb());
  report.metric("forward_seconds", forward);
  report.metric("adjoint_seconds", back);
  report.metric("measured_seconds", forward + back);
  report.metric("predicted_seconds", predicted);
  report.metric("gradient_norm", problem.gradient_norm);
  ESPALIER_CALL(PetscPrintf(session.comm(),
                            "%ld steps repeated; seconds: forward %.2f, adjoint %.2f, together %.2f, predicted %.2f; "
                            "peak MB: measured %.1f, predicted %.1f; gradient %.17g\n",
                            problem.usage.repeated_steps, forward, back, forward + back, predicted,
                            core::peak_memory_mb(), before + checkpoint_mb, problem.gradient_norm));
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_benchmark); }
