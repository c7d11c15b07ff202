#include "espalier/checkpoint/trajectory.hpp"

#include <petsc/private/tsimpl.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "espalier/checkpoint/schedule.hpp"
#include "espalier/core/error.hpp"
#include "espalier/petsc/compat.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::checkpoint {

namespace {

constexpr std::size_t name_length = 64;
// A rest of less than this part of a step joins the last one.
constexpr double step_tolerance = 1e-9;

/// Repeated steps do not look out for times to hit: their sizes are known.
class NoTimeToHit {
 public:
  explicit NoTimeToHit(TS ts) : ts_(ts), former_(ts->exact_final_time) {
    ts_->exact_final_time = TS_EXACTFINALTIME_STEPOVER;
  }
  ~NoTimeToHit() { ts_->exact_final_time = former_; }
  NoTimeToHit(const NoTimeToHit&) = delete;
  NoTimeToHit& operator=(const NoTimeToHit&) = delete;

 private:
  TS ts_;
  TSExactFinalTimeOption former_;
};

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
  PetscBool fixed = PETSC_FALSE;
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(ts->adapt), TSADAPTNONE, &fixed));
  ESPALIER_REQUIRE(fixed == PETSC_TRUE,
                   refusal + " is for fixed steps: choose -ts_adapt_type none or -ts_trajectory_type memory");
  ESPALIER_REQUIRE(ts->event == nullptr && ts->forward_solve == PETSC_FALSE,
                   refusal + " knows neither events nor forward sensitivities: choose -ts_trajectory_type memory");
}

/// What PETSc's trajectory object holds.
class Trajectory {
 public:
  explicit Trajectory(TSTrajectory petsc) : petsc_(petsc) {}

  void set_options(const std::string& schedule, long units);
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
  using Slot = std::vector<petsc::VecHandle>;

  void start(TS ts);
  void note_step(TS ts, long step);
  std::vector<Vec> content(TS ts, Content what) const;
  void store(TS ts, const Action& action);
  void restore(TS ts, const Action& action);
  void advance(TS ts, const Action& action);
  void follow(TS ts, Action action);
  void turn_back(TS ts, long step) const;

  TSTrajectory petsc_;
  std::string name_ = "all";
  long units_ = 0;
  std::unique_ptr<Schedule> schedule_;
  long target_ = 0;            // where the run's next action is
  std::vector<Slot> slots_;    // a discarded one keeps its vectors for the next content
  std::vector<double> times_;  // t_n
  std::vector<double> sizes_;  // h_n of the step to t_(n+1)
};

void Trajectory::set_options(const std::string& schedule, long units) {
  name_ = schedule;
  units_ = units;
}

void Trajectory::view(PetscViewer viewer) const {
  ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, "  schedule %s", name_.c_str()));
  if (units_ > 0) ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, ", at most %ld states", units_));
  ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, "; %ld vectors held at most, %ld steps repeated\n", usage.peak_units,
                                       usage.repeated_steps));
}

void Trajectory::start(TS ts) {
  const long steps = expected > 0 ? expected : estimated_steps(ts);
  schedule_ = make_schedule(name_, steps, {units_});
  target_ = 0;
  usage = {};
  times_.assign(1, ts->ptime);
  sizes_.clear();
}

// The method has added exactly this size to the time, or it has rejected the step and taken another one.
void Trajectory::note_step(TS ts, long step) {
  ESPALIER_REQUIRE(
      step == static_cast<long>(times_.size()),
      "a trajectory begins with step 0 and goes on step by step: call TSSetStepNumber(ts, 0) before the run");
  ESPALIER_REQUIRE(times_.back() + ts->time_step0 == ts->ptime,
                   std::string("a step was rejected and taken with another size, which -ts_trajectory_type ") +
                       trajectory_type + " cannot repeat: take a smaller step or choose -ts_trajectory_type memory");
  times_.push_back(ts->ptime);
  sizes_.push_back(ts->time_step0);
}

void Trajectory::set(TS ts, long step) {
  if (step == 0) {
    start(ts);
  } else {
    note_step(ts, step);
  }
  ts->steprestart = PETSC_TRUE;
  if (ts->reason != TS_CONVERGED_ITERATING) {
    schedule_->announce(step, step);
    return;
  }
  if (step < target_) return;
  if (step > 0 && schedule_->steps() <= step) schedule_->announce(step, 2 * step);
  Action action = schedule_->next();
  for (; action.kind != Kind::advance; action = schedule_->next()) store(ts, action);
  target_ = action.to;
}

std::vector<Vec> Trajectory::content(TS ts, Content what) const {
  if (what == Content::state) return {ts->vec_sol};
  PetscInt count = 0;
  Vec* stages = nullptr;
  ESPALIER_CALL(TSGetStages(ts, &count, &stages));
  return {stages, stages + count};
}

void Trajectory::store(TS ts, const Action& action) {
  const auto index = static_cast<std::size_t>(action.slot);
  const auto vectors = content(ts, action.content);
  if (slots_.size() <= index) slots_.resize(index + 1);
  Slot& slot = slots_[index];
  if (slot.size() != vectors.size()) slot.resize(vectors.size());
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    if (slot[i].empty()) ESPALIER_CALL(VecDuplicate(vectors[i], slot[i].out()));
    ESPALIER_CALL(VecCopy(vectors[i], slot[i].get()));
  }
  long held = 0;
  for (const Slot& one : slots_) held += static_cast<long>(one.size());
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(vectors.front(), &length));
  usage.peak_units = std::max(usage.peak_units, held);
  usage.peak_bytes = static_cast<double>(usage.peak_units) * static_cast<double>(length) * sizeof(PetscScalar);
}

void Trajectory::restore(TS ts, const Action& action) {
  const Slot& slot = slots_.at(static_cast<std::size_t>(action.slot));
  const auto vectors = content(ts, action.content);
  for (std::size_t i = 0; i < vectors.size(); ++i) ESPALIER_CALL(VecCopy(slot.at(i).get(), vectors[i]));
}

void Trajectory::advance(TS ts, const Action& action) {
  const NoTimeToHit no_time_to_hit(ts);
  for (auto n = static_cast<std::size_t>(action.from); n < static_cast<std::size_t>(action.to); ++n) {
    ts->steps = static_cast<PetscInt>(n);
    ts->ptime = times_[n];
    ts->time_step = sizes_[n];
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
  for (; action.kind != Kind::reverse; action = schedule_->next()) {
    if (action.kind == Kind::advance) advance(ts, action);
    if (action.kind == Kind::store) store(ts, action);
    if (action.kind == Kind::restore) restore(ts, action);
  }
}

void Trajectory::get(TS ts, long step) {
  if (step == 0) return release();
  if (ts->reason != TS_CONVERGED_ITERATING) return;
  ESPALIER_REQUIRE(schedule_ != nullptr && schedule_->steps() == step,
                   "an adjoint run follows a recorded run, once, and goes back step by step");
  const Action first = schedule_->next();
  if (first.kind != Kind::reverse) {
    const auto repeat = [&] { follow(ts, first); };
    if (around) {
      around(repeat);
    } else {
      repeat();
    }
  }
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

void Trajectory::release() {
  schedule_.reset();
  slots_.clear();
}

Trajectory& of(TSTrajectory trajectory) { return *static_cast<Trajectory*>(trajectory->data); }

Trajectory& checked(TSTrajectory trajectory) {
  ESPALIER_ASSERT(follows_schedule(trajectory), "the trajectory does not follow a checkpoint schedule");
  return of(trajectory);
}

PetscErrorCode set_from_options(TSTrajectory trajectory, petsc::OptionItems PetscOptionsObject) {
  char name[name_length] = "";
  PetscInt units = 0;
  PetscBool has_name = PETSC_FALSE;
  PetscBool has_units = PETSC_FALSE;
  PetscFunctionBegin;
  PetscOptionsHeadBegin(PetscOptionsObject, "Checkpoints");
  PetscCall(PetscOptionsString("-checkpoint_schedule", "all or binomial", "", name, name, sizeof(name), &has_name));
  PetscCall(PetscOptionsInt("-checkpoint_units", "states kept at most (binomial)", "", units, &units, &has_units));
  PetscOptionsHeadEnd();
  PetscCall(guard([&] {
    const std::string schedule = has_name ? name : (has_units ? "binomial" : "all");
    const auto& known = schedule_names();
    ESPALIER_REQUIRE(std::find(known.begin(), known.end(), schedule) != known.end(),
                     "-checkpoint_schedule " + schedule + ": unknown; choose one of: " + core::join(known));
    ESPALIER_REQUIRE(schedule != "all" || !has_units,
                     "-checkpoint_schedule all keeps every step: leave -checkpoint_units out, or choose binomial");
    ESPALIER_REQUIRE(schedule == "all" || (has_units && units >= 1),
                     "-checkpoint_schedule " + schedule + " needs -checkpoint_units of at least 1: u_0 is always kept");
    of(trajectory).set_options(schedule, static_cast<long>(units));
  }));
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

Usage usage(TSTrajectory trajectory) { return checked(trajectory).usage; }

}  // namespace espalier::checkpoint
