#include "espalier/ts/integrator.hpp"

#include <algorithm>
#include <cmath>

#include "espalier/checkpoint/trajectory.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/tensor_view.hpp"
#include "espalier/petsc/ts_private.hpp"
#include "integrator_implementation.hpp"

namespace espalier::ts {

namespace {

using petsc::Access;
using petsc::TensorView;

// A time counts as reached when it is missed by less than this part of a step, as in PETSc's time spans.
constexpr double time_tolerance = 1e-6;
// A rest of less than this part of a step joins the last one: petsc::keep_steps_whole().
constexpr double rest_tolerance = 1e-9;

}  // namespace

void Integrator::Implementation::set_times(const std::vector<double>& times) {
  ESPALIER_REQUIRE(times.size() >= 2, "integration needs an initial and at least one observation time");
  for (std::size_t k = 0; k + 1 < times.size(); ++k)
    ESPALIER_REQUIRE(std::isfinite(times[k + 1]) && times[k + 1] > times[k], "observation times must increase");
  // A TS that has been set up does not take another number of observation times.
  if (times.size() != time_count_) {
    past_forward_iterations_ = forward_iterations();
    past_adjoint_iterations_ = adjoint_iterations();
    time_count_ = times.size();
    build();
  }
  times_ = times;
  next_time_ = 1;
  steps_at_.assign(1, 0);
  ESPALIER_CALL(TSSetStepNumber(ts_.get(), 0));
  ESPALIER_CALL(TSSetTime(ts_.get(), times.front()));
  ESPALIER_CALL(TSSetTimeStep(ts_.get(), step_before(1)));
  if (times.size() == 2) {
    ESPALIER_CALL(TSSetMaxTime(ts_.get(), times.back()));
  } else {
    ESPALIER_CALL(TSSetTimeSpan(ts_.get(), static_cast<PetscInt>(times.size()), times_.data()));
  }
}

// The steps of an interval D when they are fitted: round(D / step), of the size D / round(D / step).
double Integrator::Implementation::fitted_steps(std::size_t k) const {
  return std::max(1.0, std::round((times_[k] - times_[k - 1]) / settings_.step));
}

// The step size on the way to times_[k].
double Integrator::Implementation::step_before(std::size_t k) const {
  return settings_.fit_steps ? (times_[k] - times_[k - 1]) / fitted_steps(k) : settings_.step;
}

long Integrator::Implementation::expected_steps() const {
  double steps = 0;
  for (std::size_t k = 1; k < times_.size(); ++k)
    steps += settings_.fit_steps
                 ? fitted_steps(k)
                 : std::max(1.0, std::ceil((times_[k] - times_[k - 1]) / settings_.step - rest_tolerance));
  return static_cast<long>(steps);
}

// A recorded run that was not followed by its adjoint leaves its checkpoints behind, TSResetTrajectory() turns the
// memory trajectory into one that writes files, and one that its adjoint has emptied crashes when other steps follow:
// every recorded run gets a new one. Ours begins anew by itself, and plans runs of one shape once.
void Integrator::Implementation::set_trajectory(Record record) {
  ESPALIER_CALL(TSRemoveTrajectory(ts_.get()));
  if (record == Record::no) return;
  const bool bounded = checkpoint::options_given(settings_.prefix);
  checkpoint::register_trajectory();
  if (bounded && !bounded_trajectory_.empty())
    petsc::attach_trajectory(ts_.get(), bounded_trajectory_.get());
  else
    ESPALIER_CALL(TSSetSaveTrajectory(ts_.get()));
  TSTrajectory trajectory = this->trajectory();
  ESPALIER_CALL(PetscObjectSetOptionsPrefix(reinterpret_cast<PetscObject>(trajectory), settings_.prefix.c_str()));
  ESPALIER_CALL(TSTrajectorySetType(trajectory, ts_.get(), bounded ? checkpoint::trajectory_type : TSTRAJECTORYMEMORY));
  ESPALIER_CALL(TSTrajectorySetSolutionOnly(trajectory, PETSC_FALSE));
  ESPALIER_CALL(TSTrajectorySetFromOptions(trajectory, ts_.get()));
  if (checkpoint::follows_schedule(trajectory)) {
    bounded_trajectory_ = petsc::TrajectoryHandle::share(trajectory);
    checkpoint::expect_steps(trajectory, adaptive_ ? 0 : expected_steps());
    kept_graphs_ = checkpoint::keeps_graph(trajectory) ? evaluations_of_a_step() : 0;
    checkpoint::set_around_repetitions(trajectory, [this](const std::function<void()>& steps) { repeat(steps); });
  } else {
    ESPALIER_REQUIRE(!bounded,
                     "-checkpoint_* options are for -ts_trajectory_type espalier: leave -ts_trajectory_type out, or "
                     "them");
  }
}

// As many as its stages; Newton's method makes others on its way, and the solution's last.
std::size_t Integrator::Implementation::evaluations_of_a_step() const {
  ESPALIER_CALL(TSSetUp(ts_.get()));
  PetscInt stages = 0;
  ESPALIER_CALL(TSGetStages(ts_.get(), &stages, nullptr));
  constexpr std::size_t newton_evaluations = 8;
  return static_cast<std::size_t>(stages) * (implicit_ && !implicit_is_affine_ ? newton_evaluations : 1);
}

// Steps of the run are repeated in the middle of its adjoint, which has its own linear solver.
void Integrator::Implementation::repeat(const std::function<void()>& steps) {
  struct Repeating {
    explicit Repeating(Implementation& self) : self_(self) { set(true); }
    ~Repeating() { set(false); }
    void set(bool on) const {
      self_.repeating_ = on;
      for (auto& term : {self_.explicit_, self_.implicit_})
        if (term) term->repeat_evaluations(on, self_.kept_graphs_);
    }
    Implementation& self_;
  };
  for (auto& term : {explicit_, implicit_})
    if (term) term->keep_evaluations(false);
  const NewtonSolverExchange exchange(forward_solver_.ksp.empty() ? nullptr : snes(), forward_solver_);
  const Repeating repeating(*this);
  steps();
}

// A rank that fails alone must not leave the others in a collective call of this step: it goes on with zeros.
void Integrator::Implementation::apply(model::Term& term, double t, Vec u, Vec y) {
  try {
    term.apply(t, u, y);
  } catch (...) {
    if (!failure_) failure_ = std::current_exception();
    // VecZeroEntries() would note the norm, which is then no collective on this rank.
    const TensorView view(y, {shape_.samples, shape_.dof}, Access::write);
    view.tensor().zero_();
  }
}

void Integrator::Implementation::note_failure(const std::string& message) {
  if (!message.empty() && !failure_) failure_ = std::make_exception_ptr(NumericalError(message, __FILE__, __LINE__));
}

void Integrator::Implementation::agree_on_failure() const {
  core::agree(comm_, [&] {
    if (failure_) std::rethrow_exception(failure_);
  });
}

void Integrator::Implementation::after_stage(double time, PetscInt stage, Vec u) {
  if (repeating_) return;
  if (!failure_) {
    PetscInt steps_done = 0;
    ESPALIER_CALL(TSGetStepNumber(ts_.get(), &steps_done));
    note_failure(finite_check().find(u, steps_done + 1, time, static_cast<int>(stage)));
  }
  // The step control would meet the value before the step ends.
  if (adaptive_) agree_on_failure();
}

void Integrator::Implementation::after_step() {
  PetscReal t = 0;
  PetscReal before = 0;
  PetscInt step = 0;
  Vec u = nullptr;
  ESPALIER_CALL(TSGetTime(ts_.get(), &t));
  ESPALIER_CALL(TSGetPrevTime(ts_.get(), &before));
  ESPALIER_CALL(TSGetStepNumber(ts_.get(), &step));
  ESPALIER_CALL(TSGetSolution(ts_.get(), &u));
  if (!failure_) note_failure(finite_check().find(u, step, t, -1));
  agree_on_failure();
  step_sizes_.push_back(t - before);
  if (next_time_ < times_.size() && std::abs(t - times_[next_time_]) <= time_tolerance * (t - before)) {
    const TensorView view(u, {shape_.samples, shape_.dof}, Access::read);
    snapshots_[static_cast<std::int64_t>(next_time_) - 1].copy_(view.tensor());
    steps_at_.push_back(step);
    ++next_time_;
    if (settings_.fit_steps && next_time_ < times_.size())
      ESPALIER_CALL(TSSetTimeStep(ts_.get(), step_before(next_time_)));
  }
}

void Integrator::Implementation::solve() {
  failure_ = nullptr;
  try {
    ESPALIER_CALL(TSSolve(ts_.get(), state_.get()));
  } catch (const PetscFailure& failure) {
    // A solver that found no solution may have met a failure of a term.
    if (failure_) std::rethrow_exception(failure_);
    throw NumericalError(std::string(failure.what()) + "; -method " + method_.name +
                             ": try a smaller -ts_dt, or see -snes_monitor and -ksp_monitor",
                         __FILE__, __LINE__);
  }
  if (next_time_ == times_.size()) return;
  TSConvergedReason reason = TS_CONVERGED_ITERATING;
  ESPALIER_CALL(TSGetConvergedReason(ts_.get(), &reason));
  ESPALIER_REQUIRE(reason != TS_CONVERGED_ITS,
                   "-ts_max_steps ended the integration before the last observation time: allow more steps");
  throw NumericalError("the integration ended before the last observation time (" +
                           std::string(TSConvergedReasons[reason]) + "): see -ts_monitor",
                       __FILE__, __LINE__);
}

const at::Tensor& Integrator::Implementation::forward(const at::Tensor& u0, const std::vector<double>& times,
                                                      Record record) {
  ESPALIER_REQUIRE(u0.dim() == 2 && u0.size(0) == shape_.samples && u0.size(1) == shape_.dof,
                   "the initial states do not have the shape [samples, dof] that the integrator was made for");
  set_times(times);
  const auto count = static_cast<std::int64_t>(times.size()) - 1;
  if (!snapshots_.defined() || snapshots_.size(0) != count)
    snapshots_ = at::empty({count, shape_.samples, shape_.dof}, at::TensorOptions().dtype(at::kDouble));
  {
    const TensorView view(state_.get(), {shape_.samples, shape_.dof}, Access::write);
    view.tensor().copy_(u0.detach());
  }
  set_trajectory(record);
  for (auto& term : {explicit_, implicit_})
    if (term) term->keep_evaluations(record == Record::yes);
  step_sizes_.clear();
  recorded_ = false;
  ++runs_;
  solve();
  PetscInt steps = 0;
  ESPALIER_CALL(TSGetStepNumber(ts_.get(), &steps));
  steps_ = static_cast<long>(steps);
  recorded_ = record == Record::yes;
  repeated_steps_ = 0;
  if (recorded_) note_checkpoints();
  return snapshots_;
}

TSTrajectory Integrator::Implementation::trajectory() const {
  TSTrajectory trajectory = nullptr;
  ESPALIER_CALL(TSGetTrajectory(ts_.get(), &trajectory));
  return trajectory;
}

// PETSc's memory trajectory holds the stages of every step but the last one, whose stages are still in the TS.
void Integrator::Implementation::note_checkpoints() {
  if (checkpoint::follows_schedule(trajectory())) {
    const auto usage = checkpoint::usage(trajectory());
    checkpoint_bytes_ = usage.peak_bytes;
    repeated_steps_ = usage.repeated_steps;
    return;
  }
  PetscInt stages = 0;
  Vec* vectors = nullptr;
  ESPALIER_CALL(TSGetStages(ts_.get(), &stages, &vectors));
  checkpoint_bytes_ = static_cast<double>(steps_ - 1) * static_cast<double>(stages) *
                      static_cast<double>(shape_.samples * shape_.dof) * sizeof(PetscScalar);
}

// lambda_N = u_bar_k; back over the steps to the observation before; lambda += u_bar_(k-1); and so on.
const at::Tensor& Integrator::Implementation::adjoint(const at::Tensor& snapshot_cotangents) {
  ESPALIER_REQUIRE(recorded_, "adjoint() needs a forward run with Record::yes before it, once each");
  ESPALIER_REQUIRE(snapshot_cotangents.sizes() == snapshots_.sizes(),
                   "the cotangents do not have the shape of the forward run's snapshots");
  recorded_ = false;
  // Each system is solved with its own Jacobian, whatever -snes_lag_* allow Newton: they are no iterations of one.
  forward_solver_ = NewtonSolver::of(snes());
  const NewtonSolverExchange exchange(snes(), {petsc::KspHandle::share(adjoint_ksp_.get()), 1, 1});
  ESPALIER_CALL(VecZeroEntries(lambda_.get()));
  for (std::size_t k = times_.size() - 1; k > 0; --k) {
    {
      const TensorView view(lambda_.get(), {shape_.samples, shape_.dof}, Access::read_write);
      view.tensor().add_(snapshot_cotangents[static_cast<std::int64_t>(k) - 1]);
    }
    ESPALIER_CALL(TSAdjointSetSteps(ts_.get(), steps_at_[k] - steps_at_[k - 1]));
    ESPALIER_CALL(TSAdjointSolve(ts_.get()));
    TSConvergedReason reason = TS_CONVERGED_ITERATING;
    ESPALIER_CALL(TSGetConvergedReason(ts_.get(), &reason));
    if (reason < 0)
      throw NumericalError("the adjoint of the integration failed (" + std::string(TSConvergedReasons[reason]) +
                               "): tighten or change -adjoint_ksp_*",
                           __FILE__, __LINE__);
    note_failure(finite_check().find_in_adjoint(lambda_.get(), times_[k - 1], times_[k]));
    agree_on_failure();
  }
  note_checkpoints();
  for (auto& term : {explicit_, implicit_})
    if (term) term->finish_adjoint();
  if (!u0_bar_.defined()) u0_bar_ = at::empty({shape_.samples, shape_.dof}, at::TensorOptions().dtype(at::kDouble));
  const TensorView view(lambda_.get(), {shape_.samples, shape_.dof}, Access::read);
  u0_bar_.copy_(view.tensor());
  return u0_bar_;
}

Integrator::Integrator(MPI_Comm comm, BatchShape shape, model::SplitSystem system, const IntegratorSettings& settings)
    : implementation_(std::make_unique<Implementation>(comm, shape, std::move(system), settings)) {}

Integrator::~Integrator() = default;

const at::Tensor& Integrator::forward(const at::Tensor& u0, const std::vector<double>& times, Record record) {
  return implementation_->forward(u0, times, record);
}

const at::Tensor& Integrator::adjoint(const at::Tensor& snapshot_cotangents) {
  return implementation_->adjoint(snapshot_cotangents);
}

const BatchShape& Integrator::shape() const { return implementation_->shape_; }
const Method& Integrator::method() const { return implementation_->method_; }
model::SplitSystem& Integrator::system() { return implementation_->system_; }
long Integrator::runs() const { return implementation_->runs_; }
long Integrator::steps() const { return implementation_->steps_; }
const std::vector<double>& Integrator::step_sizes() const { return implementation_->step_sizes_; }
long Integrator::ksp_iterations_forward() const { return implementation_->forward_iterations(); }
long Integrator::ksp_iterations_adjoint() const { return implementation_->adjoint_iterations(); }
long Integrator::repeated_steps() const { return implementation_->repeated_steps_; }
double Integrator::checkpoint_bytes() const { return implementation_->checkpoint_bytes_; }
TS Integrator::ts() const { return implementation_->ts_.get(); }

}  // namespace espalier::ts
