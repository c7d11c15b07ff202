#include "espalier/checkpoint/trajectory.hpp"

#include <petsc/private/tsimpl.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "accepted_steps.hpp"
#include "checkpoint_options.hpp"
#include "espalier/checkpoint/register.h"
#include "espalier/checkpoint/schedule.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/machine.hpp"
#include "espalier/petsc/compat.hpp"
#include "storage.hpp"

namespace espalier::checkpoint {

namespace {

// A rest of less than this part of a step joins the last one.
constexpr double step_tolerance = 1e-9;
constexpr double bytes_per_mb = 1024.0 * 1024.0;

/// By the times that the TS is to hit and its first step size.
long estimated_steps(TS ts) {
  double steps = 0;
  double from = ts->ptime;
  const auto add_interval = [&](double to) {
    if (to > from) steps += std::max(1.0, std::ceil((to - from) / ts->time_step - step_tolerance));
    from = std::max(from, to);
  };
  PetscInt count = 0;
  const PetscReal* times = nullptr;
  ESPALIER_CALL(TSGetTimeSpan(ts, &count, &times));
  if (count > 0) {
    std::for_each(times, times + count, add_interval);
  } else if (ts->max_time < PETSC_MAX_REAL) {
    add_interval(ts->max_time);
  }
  const auto most = static_cast<double>(ts->max_steps);
  return static_cast<long>(std::max(1.0, steps > 0 ? std::min(steps, most) : most));
}

bool is_type(TS ts, TSType type) {
  PetscBool match = PETSC_FALSE;
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(ts), type, &match));
  return match == PETSC_TRUE;
}

void require_supported(TS ts) {
  const std::string refusal = std::string("-ts_trajectory_type ") + trajectory_type;
  const bool theta = is_type(ts, TSTHETA) || is_type(ts, TSCN) || is_type(ts, TSBEULER);
  ESPALIER_REQUIRE(is_type(ts, TSRK) || is_type(ts, TSARKIMEX) || theta,
                   refusal + " repeats steps of TSRK, TSARKIMEX, TSTHETA, TSCN and TSBEULER, not of " +
                       reinterpret_cast<PetscObject>(ts)->type_name +
                       ": leave it out, with -checkpoint_*, or choose another method");
  TSRHSFunctionFn* explicit_part = nullptr;
  ESPALIER_CALL(TSGetRHSFunction(ts, nullptr, &explicit_part, nullptr));
  ESPALIER_REQUIRE((explicit_part != nullptr || !is_type(ts, TSARKIMEX)) && ts->equation_type < TS_EQ_IMPLICIT,
                   refusal +
                       " is for ordinary differential equations, and with TSARKIMEX for those with an explicit "
                       "part: choose -ts_trajectory_type memory");
  ESPALIER_REQUIRE(ts->event == nullptr && ts->forward_solve == PETSC_FALSE,
                   refusal + " knows neither events nor forward sensitivities: choose -ts_trajectory_type memory");
}

bool takes_fixed_steps(TS ts) {
  PetscBool fixed = PETSC_FALSE;
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(ts->adapt), TSADAPTNONE, &fixed));
  return fixed == PETSC_TRUE;
}

// The error estimate of TSTHETA needs the step before, and is all that it uses it for unless guesses are extrapolated.
bool controlled_by_the_step_before(TS ts) {
  const bool theta = is_type(ts, TSTHETA) || is_type(ts, TSCN) || is_type(ts, TSBEULER);
  if (!theta || takes_fixed_steps(ts)) return false;
  PetscBool extrapolates = PETSC_FALSE;
  const auto object = reinterpret_cast<PetscObject>(ts);
  ESPALIER_CALL(PetscOptionsGetBool(object->options, object->prefix, "-ts_theta_initial_guess_extrapolate",
                                    &extrapolates, nullptr));
  ESPALIER_REQUIRE(extrapolates == PETSC_FALSE,
                   std::string("-ts_theta_initial_guess_extrapolate with controlled steps is not for "
                               "-ts_trajectory_type ") +
                       trajectory_type + ": leave it out, or choose -ts_adapt_type none");
  return true;
}

/// The stages of the step that was taken last.
std::vector<Vec> stages_of(TS ts) {
  PetscInt count = 0;
  Vec* stages = nullptr;
  ESPALIER_CALL(TSGetStages(ts, &count, &stages));
  return {stages, stages + count};
}

/// What PETSc's trajectory object holds.
class Trajectory {
 public:
  explicit Trajectory(TSTrajectory petsc) : petsc_(petsc) {}

  void set_options(const CheckpointOptions& options);
  bool keeps_graph() const { return options_.keep_graph; }
  void view(PetscViewer viewer) const;
  /// u_step of the run is there.
  void set(TS ts, long step);
  /// The stages of step `step` - 1 are wanted.
  void get(TS ts, long step);
  void release();

  long expected = 0;  // 0: to be estimated
  std::function<void(const std::function<void()>&)> around;
  Usage usage;

 private:
  void plan_run(TS ts);
  void start(TS ts);
  RunShape shape_of_run(TS ts) const;
  void note_step(TS ts, long step);
  void turn_round(long step);
  std::vector<Vec> content(TS ts, Content what) const;
  void carry_out(TS ts, const Action& action);
  void advance(TS ts, const Action& action);
  void follow(TS ts, Action action);
  void turn_back(TS ts, long step) const;
  void note_usage(TS ts);

  TSTrajectory petsc_;
  CheckpointOptions options_;
  RunShape run_;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<Schedule> schedule_;
  Choice choice_;
  long target_ = 0;                         // where the run's next action is
  bool restarts_ = true;                    // each step of the run is one after a restart
  bool under_way_ = false;                  // the run is not over, or no step of it has been reversed yet
  std::vector<double> times_;               // t_n
  std::vector<std::vector<double>> sizes_;  // tried for the step to t_(n+1), the last one accepted
};

void Trajectory::set_options(const CheckpointOptions& options) {
  if (options == options_) return;
  options_ = options;
  run_ = {};
}

void Trajectory::view(PetscViewer viewer) const {
  ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, "  schedule %s; %ld vectors held at most, %ld steps repeated\n",
                                       choice_.schedule.c_str(), usage.peak_units, usage.repeated_steps));
  if (usage.peak_disk_bytes > 0)
    ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, "  %g MB on disk at most, in %s\n", usage.peak_disk_bytes / 1e6,
                                         options_.folder.c_str()));
}

RunShape Trajectory::shape_of_run(TS ts) const {
  RunShape run;
  run.steps_known = options_.steps > 0 || takes_fixed_steps(ts);
  run.steps = options_.steps > 0 ? options_.steps : expected > 0 ? expected : estimated_steps(ts);
  const auto stages = stages_of(ts);
  run.stages = static_cast<long>(stages.size());
  run.stiffly_accurate = stages.back() == ts->vec_sol;
  const MPI_Comm comm = PetscObjectComm(reinterpret_cast<PetscObject>(ts));
  PetscInt local = 0;
  ESPALIER_CALL(VecGetLocalSize(ts->vec_sol, &local));
  run.state_bytes = static_cast<double>(local) * sizeof(PetscScalar);
  MPI_Allreduce(MPI_IN_PLACE, &run.state_bytes, 1, MPI_DOUBLE, MPI_MAX, comm);
  run.file_bytes = file_bytes({ts->vec_sol});
  MPI_Allreduce(MPI_IN_PLACE, &run.file_bytes, 1, MPI_DOUBLE, MPI_SUM, comm);
  return run;
}

// A training takes many runs of one shape: they are planned once.
void Trajectory::plan_run(TS ts) {
  const RunShape run = shape_of_run(ts);
  if (run == run_) return;
  choice_ = choose_schedule(options_, run);
  run_ = run;
  if (!options_.view) return;
  const MPI_Comm comm = PetscObjectComm(reinterpret_cast<PetscObject>(ts));
  double resident = core::resident_memory_mb() * bytes_per_mb;
  MPI_Allreduce(MPI_IN_PLACE, &resident, 1, MPI_DOUBLE, MPI_MAX, comm);
  ESPALIER_CALL(PetscPrintf(comm, "%s\n", plan_text(choice_, run, resident).c_str()));
}

void Trajectory::start(TS ts) {
  plan_run(ts);
  storage_.reset();
  storage_ =
      std::make_unique<Storage>(PetscObjectComm(reinterpret_cast<PetscObject>(ts)), options_.folder, options_.disk);
  schedule_ = make_schedule(choice_.schedule, choice_.steps, choice_.budget);
  watch_steps(ts);
  restarts_ = !controlled_by_the_step_before(ts);
  target_ = 0;
  under_way_ = true;
  usage = {};
  times_.assign(1, ts->ptime);
  sizes_.clear();
}

void Trajectory::note_step(TS ts, long step) {
  ESPALIER_REQUIRE(
      under_way_ && step == static_cast<long>(times_.size()),
      "a trajectory begins with step 0 and goes on step by step: call TSSetStepNumber(ts, 0) before the run");
  const auto& sizes = sizes_of_last_step(ts);
  ESPALIER_ASSERT(!sizes.empty() && times_.back() + sizes.back() == ts->ptime,
                  "the size of an accepted step does not lead to its time");
  times_.push_back(ts->ptime);
  sizes_.push_back(sizes);
}

void Trajectory::set(TS ts, long step) {
  if (step == 0) {
    start(ts);
  } else {
    note_step(ts, step);
  }
  if (restarts_) ts->steprestart = PETSC_TRUE;
  if (step < target_) return;
  const bool over = ts->reason != TS_CONVERGED_ITERATING;
  // Another TSSolve may go on from here. A schedule that was told the right number has nothing more to do.
  if (over && (schedule_->steps() <= step || choice_.schedule == "online")) return;
  if (step > 0 && (step > target_ || schedule_->steps() <= step))
    schedule_->announce(step, std::max(2 * step, schedule_->steps()));
  Action action = schedule_->next();
  for (; action.kind != Kind::advance; action = schedule_->next()) carry_out(ts, action);
  target_ = action.to;
  note_usage(ts);
}

std::vector<Vec> Trajectory::content(TS ts, Content what) const {
  if (what == Content::state) return {ts->vec_sol};
  auto vectors = stages_of(ts);
  if (what == Content::state_and_stages && !choice_.budget.stiffly_accurate) vectors.push_back(ts->vec_sol);
  return vectors;
}

void Trajectory::carry_out(TS ts, const Action& action) {
  if (action.kind == Kind::advance) advance(ts, action);
  if (action.kind == Kind::store) storage_->store(action.level, action.slot, content(ts, action.content));
  if (action.kind == Kind::restore) storage_->restore(action.level, action.slot, content(ts, action.content));
  if (action.kind == Kind::discard) storage_->discard(action.level, action.slot);
}

void Trajectory::advance(TS ts, const Action& action) {
  FrozenSteps frozen(ts);
  for (auto n = static_cast<std::size_t>(action.from); n < static_cast<std::size_t>(action.to); ++n) {
    ts->steps = static_cast<PetscInt>(n);
    ts->ptime = times_[n];
    frozen.take(sizes_[n]);
    ts->steprestart = PETSC_TRUE;
    ESPALIER_CALL(TSStep(ts));
    if (ts->ptime != times_[n + 1])
      throw NumericalError("step " + std::to_string(n) +
                               ", repeated for the adjoint, was rejected, and was not in the "
                               "run: the right-hand side must give the same values for the same arguments",
                           __FILE__, __LINE__);
  }
  usage.repeated_steps += action.to - action.from;
  petsc_->recomps += static_cast<PetscInt>(action.to - action.from);
}

void Trajectory::follow(TS ts, Action action) {
  for (; action.kind != Kind::reverse; action = schedule_->next()) carry_out(ts, action);
}

// The run, however many TSSolve it had, was as long as this.
void Trajectory::turn_round(long step) {
  if (!under_way_) return;
  under_way_ = false;
  schedule_->announce(step, step);
}

void Trajectory::get(TS ts, long step) {
  if (step == 0) return release();
  if (ts->reason != TS_CONVERGED_ITERATING) return;
  ESPALIER_REQUIRE(schedule_ != nullptr, "an adjoint run follows a recorded run, once");
  ESPALIER_REQUIRE(!under_way_ || step + 1 == static_cast<long>(times_.size()),
                   "an adjoint run begins where the recorded run has ended");
  turn_round(step);
  ESPALIER_REQUIRE(schedule_->steps() == step,
                   "an adjoint run goes back step by step from the end of the recorded run");
  const Action first = schedule_->next();
  if (first.kind != Kind::reverse) {
    const auto repeat = [&] { follow(ts, first); };
    if (around) {
      around(repeat);
    } else {
      repeat();
    }
  }
  note_usage(ts);
  turn_back(ts, step);
}

// As TSTrajectory's memory type leaves the TS: at the end of the step, its size negative.
void Trajectory::turn_back(TS ts, long step) const {
  const auto n = static_cast<std::size_t>(step);
  ts->steps = static_cast<PetscInt>(step);
  ts->ptime = times_[n];
  ts->ptime_prev = times_[n - 1];
  ts->time_step = times_[n - 1] - times_[n];
}

void Trajectory::note_usage(TS ts) {
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(ts->vec_sol, &length));
  usage.peak_units = storage_->peak_units();
  usage.peak_bytes = static_cast<double>(usage.peak_units) * static_cast<double>(length) * sizeof(PetscScalar);
  usage.peak_disk_bytes = storage_->peak_disk_bytes();
}

void Trajectory::release() {
  schedule_.reset();
  if (storage_) storage_->clear();
}

Trajectory& of(TSTrajectory trajectory) { return *static_cast<Trajectory*>(trajectory->data); }

Trajectory& checked(TSTrajectory trajectory) {
  ESPALIER_ASSERT(follows_schedule(trajectory), "the trajectory does not follow a checkpoint schedule");
  return of(trajectory);
}

PetscErrorCode set_from_options(TSTrajectory trajectory, petsc::OptionItems PetscOptionsObject) {
  PetscFunctionBegin;
  PetscOptionsHeadBegin(PetscOptionsObject, "Checkpoints");
  PetscCall(guard([&] {
    const char* prefix = nullptr;
    ESPALIER_CALL(PetscObjectGetOptionsPrefix(reinterpret_cast<PetscObject>(trajectory), &prefix));
    core::OptionReader reader(PetscOptionsObject, prefix == nullptr ? "" : prefix);
    CheckpointOptions options;
    options.read(reader);
    of(trajectory).set_options(options);
  }));
  PetscOptionsHeadEnd();
  PetscFunctionReturn(PETSC_SUCCESS);
}

PetscErrorCode create(TSTrajectory trajectory, TS) noexcept {
  return guard([&] {
    trajectory->data = new Trajectory(trajectory);
    trajectory->ops->setfromoptions = set_from_options;
    trajectory->ops->setup = [](TSTrajectory, TS ts) noexcept { return guard([&] { require_supported(ts); }); };
    trajectory->ops->set = [](TSTrajectory self, TS ts, PetscInt step, PetscReal, Vec) noexcept {
      return guard([&] { of(self).set(ts, static_cast<long>(step)); });
    };
    trajectory->ops->get = [](TSTrajectory self, TS ts, PetscInt step, PetscReal*) noexcept {
      return guard([&] { of(self).get(ts, static_cast<long>(step)); });
    };
    trajectory->ops->view = [](TSTrajectory self, PetscViewer viewer) noexcept {
      return guard([&] { of(self).view(viewer); });
    };
    trajectory->ops->reset = [](TSTrajectory self) noexcept { return guard([&] { of(self).release(); }); };
    trajectory->ops->destroy = [](TSTrajectory self) noexcept {
      delete static_cast<Trajectory*>(self->data);
      self->data = nullptr;
      return PetscErrorCode(PETSC_SUCCESS);
    };
  });
}

}  // namespace

// The package, once initialised, frees its list of types at the end.
void register_trajectory() {
  ESPALIER_CALL(TSInitializePackage());
  ESPALIER_CALL(TSTrajectoryRegister(trajectory_type, create));
}

bool options_given(const std::string& prefix) {
  for (const char* name : {"-checkpoint_units", "-checkpoint_schedule", "-checkpoint_ram", "-checkpoint_disk"}) {
    PetscBool found = PETSC_FALSE;
    ESPALIER_CALL(PetscOptionsHasName(nullptr, prefix.empty() ? nullptr : prefix.c_str(), name, &found));
    if (found == PETSC_TRUE) return true;
  }
  return false;
}

bool follows_schedule(TSTrajectory trajectory) {
  PetscBool match = PETSC_FALSE;
  if (trajectory != nullptr)
    ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(trajectory), trajectory_type, &match));
  return match == PETSC_TRUE;
}

void expect_steps(TSTrajectory trajectory, long steps) { checked(trajectory).expected = steps; }

void set_around_repetitions(TSTrajectory trajectory, std::function<void(const std::function<void()>&)> around) {
  checked(trajectory).around = std::move(around);
}

bool keeps_graph(TSTrajectory trajectory) { return checked(trajectory).keeps_graph(); }

Usage usage(TSTrajectory trajectory) { return checked(trajectory).usage; }

}  // namespace espalier::checkpoint

PetscErrorCode EspalierRegisterTrajectory() {
  return espalier::guard([] { espalier::checkpoint::register_trajectory(); });
}

// PETSc calls it for a library that -dll_append names.
// NOLINTNEXTLINE(readability-identifier-naming): by this name
PETSC_EXTERN PetscErrorCode PetscDLLibraryRegister_espalier() { return EspalierRegisterTrajectory(); }
