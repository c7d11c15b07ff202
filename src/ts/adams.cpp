#include "espalier/ts/adams.hpp"

#include <algorithm>
#include <cmath>

#include "adams_implementation.hpp"
#include "espalier/core/error.hpp"
#include "espalier/petsc/compat.hpp"

namespace espalier::ts {

namespace {

// Steps that differ by less than this part count as equal.
constexpr double step_tolerance = 1e-9;
constexpr std::size_t name_length = 64;

Adams& of(TS ts) { return *static_cast<Adams*>(ts->data); }

Adams& checked(TS ts) {
  PetscBool match = PETSC_FALSE;
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(ts), adams_type, &match));
  ESPALIER_REQUIRE(match, std::string("the TS is not of the type ") + adams_type + ": call TSSetType() first");
  return of(ts);
}

PetscErrorCode adams_view(TS ts, PetscViewer viewer) {
  PetscBool ascii = PETSC_FALSE;
  PetscFunctionBegin;
  PetscCall(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(viewer), PETSCVIEWERASCII, &ascii));
  if (ascii) {
    const AdamsMethod& method = of(ts).method();
    PetscCall(PetscViewerASCIIPrintf(viewer, "  Adams type %s (%s)\n", method.name.c_str(),
                                     method.implicit() ? "Adams-Moulton" : "Adams-Bashforth"));
    PetscCall(PetscViewerASCIIPrintf(viewer, "  Order: %d\n", method.order));
  }
  PetscFunctionReturn(PETSC_SUCCESS);
}

PetscErrorCode adams_set_from_options(TS ts, petsc::OptionItems PetscOptionsObject) {
  char name[name_length] = "";
  PetscBool given = PETSC_FALSE;
  PetscFunctionBegin;
  PetscOptionsHeadBegin(PetscOptionsObject, "Adams methods with fixed steps");
  PetscCall(PetscOptionsString("-ts_adams_type", "ab2, ab3, ab4, am2, am3 or am4", "", of(ts).method().name.c_str(),
                               name, sizeof(name), &given));
  PetscOptionsHeadEnd();
  if (given) PetscCall(guard([&] { set_adams_method(ts, name); }));
  PetscFunctionReturn(PETSC_SUCCESS);
}

PetscErrorCode adams_get_stages(TS ts, PetscInt* count, Vec** stages) {
  PetscFunctionBegin;
  if (count != nullptr) *count = 1;
  if (stages != nullptr) *stages = of(ts).stored_state();
  PetscFunctionReturn(PETSC_SUCCESS);
}

PetscErrorCode adams_destroy(TS ts) {
  PetscFunctionBegin;
  delete static_cast<Adams*>(ts->data);
  ts->data = nullptr;
  PetscFunctionReturn(PETSC_SUCCESS);
}

template <void (Adams::*method)()>
PetscErrorCode run(TS ts) noexcept {
  return guard([&] { (of(ts).*method)(); });
}

PetscErrorCode adams_create(TS ts) noexcept {
  return guard([&] {
    ts->data = new Adams(ts);
    ts->ops->setup = run<&Adams::set_up>;
    ts->ops->reset = run<&Adams::reset>;
    ts->ops->step = run<&Adams::step>;
    ts->ops->destroy = adams_destroy;
    ts->ops->view = adams_view;
    ts->ops->setfromoptions = adams_set_from_options;
    ts->ops->getstages = adams_get_stages;
    ts->ops->adjointsetup = run<&Adams::set_up_adjoint>;
    ts->ops->adjointreset = run<&Adams::reset_adjoint>;
    ts->ops->adjointstep = run<&Adams::adjoint_step>;
    ts->ops->snesfunction = [](SNES, Vec x, Vec residual, TS self) noexcept {
      return guard([&] { of(self).evaluate_residual(x, residual); });
    };
    ts->ops->snesjacobian = [](SNES, Vec x, Mat jacobian, Mat preconditioner, TS self) noexcept {
      return guard([&] { of(self).evaluate_jacobian(x, jacobian, preconditioner); });
    };
  });
}

}  // namespace

void register_adams() { ESPALIER_CALL(TSRegister(adams_type, adams_create)); }

void set_adams_method(TS ts, const std::string& name) { checked(ts).choose(find_adams_method(name)); }

const char* adams_method(TS ts) { return checked(ts).method().name.c_str(); }

void require_fixed_steps(TS ts) {
  TSAdapt adapt = nullptr;
  PetscBool fixed = PETSC_FALSE;
  ESPALIER_CALL(TSGetAdapt(ts, &adapt));
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(adapt), TSADAPTNONE, &fixed));
  ESPALIER_REQUIRE(fixed, std::string("the Adams method ") + adams_method(ts) +
                              " takes fixed steps: -ts_adapt_type must be none, or choose a one-step method");
}

std::vector<petsc::VecHandle> duplicates(Vec like, std::size_t count) {
  std::vector<petsc::VecHandle> vectors(count);
  for (auto& vector : vectors) ESPALIER_CALL(VecDuplicate(like, vector.out()));
  return vectors;
}

void add_terms(Vec y, double h, const std::vector<double>& a, std::array<Vec, adams_max_terms> v, std::size_t count) {
  std::array<PetscScalar, adams_max_terms> scaled{};
  for (std::size_t j = 0; j < count; ++j) scaled[j] = h * a[j];
  ESPALIER_CALL(VecMAXPY(y, static_cast<PetscInt>(count), scaled.data(), v.data()));
}

void Adams::choose(const AdamsMethod& method) {
  if (method_ == &method) return;
  reset();
  method_ = &method;
  ts_->setupcalled = PETSC_FALSE;
  ts_->usessnes = method.implicit() ? PETSC_TRUE : PETSC_FALSE;
}

void Adams::set_up() {
  require_fixed_steps(ts_);
  if (!method_->implicit()) ESPALIER_CALL(TSCheckImplicitTerm(ts_));
  ESPALIER_CALL(TSAdaptCandidatesClear(ts_->adapt));
  const std::size_t stages = std::max<std::size_t>(method_->start.stages(), 1);
  f_ = duplicates(ts_->vec_sol, method_->depth());
  slopes_ = duplicates(ts_->vec_sol, stages - 1);
  states_ = duplicates(ts_->vec_sol, stages);
  stages_.clear();
  for (const auto& state : states_) stages_.push_back(state.get());
  stored_ = method_->implicit() ? stages_.back() : stages_.front();
  if (!method_->implicit()) return;
  ESPALIER_CALL(VecDuplicate(ts_->vec_sol, z_.out()));
  ESPALIER_CALL(VecDuplicate(ts_->vec_sol, u_t_.out()));
  ESPALIER_CALL(TSGetSNES(ts_, &ts_->snes));
}

void Adams::reset() {
  for (auto* vectors : {&f_, &slopes_, &states_, &kept_}) vectors->clear();
  stages_.clear();
  stored_ = nullptr;
  z_.reset();
  u_t_.reset();
  steps_.clear();
  kept_count_ = 0;
  reset_adjoint();
}

// Where the step stands in a row of equal ones. A method that starts again still knows f_n from its last solve: f does
// not depend on the step.
Adams::Step Adams::begin_step() {
  if (ts_->steps == 0) {
    steps_.clear();
    kept_count_ = 0;
  }
  const double h = ts_->time_step;
  const bool fresh = ts_->steprestart == PETSC_TRUE;
  const bool equal = !fresh && std::abs(h - last_.h) <= step_tolerance * last_.h;
  last_ = {ts_->ptime, h, equal ? last_.place + 1 : 0, !method_->implicit() || fresh, kept_count_};
  if (ts_->trajectory != nullptr) {
    ESPALIER_REQUIRE(steps_.size() == static_cast<std::size_t>(ts_->steps),
                     "an Adams method cannot repeat steps for its adjoint: its trajectory must keep the stages of all "
                     "steps, so leave out -ts_trajectory_solution_only, -ts_trajectory_stride and "
                     "-ts_trajectory_max_cps_*");
    steps_.push_back(last_);
  }
  return last_;
}

void Adams::step() {
  const Step step = begin_step();
  PetscReal next_step = step.h;
  PetscBool accepted = PETSC_TRUE;
  if (!(method_->implicit() ? step_implicit(step) : step_explicit(step))) {
    if (ts_->reason >= 0) ts_->reason = TS_DIVERGED_STEP_REJECTED;
    return;
  }
  ESPALIER_CALL(TSAdaptChoose(ts_->adapt, ts_, step.h, nullptr, &next_step, &accepted));
  ts_->ptime += step.h;
  ts_->time_step = next_step;
}

// After the stage's state is there and before f is evaluated at it. False: the run ends.
bool Adams::end_stage(double t, std::size_t stage) {
  PetscBool fine = PETSC_TRUE;
  ESPALIER_CALL(TSPostStage(ts_, t, static_cast<PetscInt>(stage), stages_.data()));
  ESPALIER_CALL(TSAdaptCheckStage(ts_->adapt, ts_, t, stages_[stage], &fine));
  return fine == PETSC_TRUE;
}

// The adjoint needs this state besides the stored one.
void Adams::keep(Vec u) {
  if (ts_->trajectory == nullptr) return;
  if (kept_count_ == kept_.size()) {
    kept_.emplace_back();
    ESPALIER_CALL(VecDuplicate(u, kept_.back().out()));
  }
  ESPALIER_CALL(VecCopy(u, kept_[kept_count_++].get()));
}

// u_{n+1} = u_n + h sum_j b_j f_{n-j}.
bool Adams::step_explicit(const Step& step) {
  ESPALIER_CALL(TSPreStage(ts_, step.t));
  ESPALIER_CALL(VecCopy(ts_->vec_sol, stored_));
  if (!end_stage(step.t, 0)) return false;
  ESPALIER_CALL(TSComputeRHSFunction(ts_, step.t, stored_, f(0)));
  if (starts(step)) return start_explicit(step);
  Terms terms{};
  for (std::size_t j = 0; j < method_->depth(); ++j) terms[j] = f(static_cast<int>(j));
  add_terms(ts_->vec_sol, step.h, method_->weights, terms, method_->depth());
  return true;
}

// Y_i = u_n + h sum_{j<i} a_ij k_j, k_i = f(Y_i), u_{n+1} = u_n + h sum_i b_i k_i; k_0 = f_n is there.
bool Adams::start_explicit(const Step& step) {
  const OneStepMethod& start = method_->start;
  Terms k{};
  k[0] = f(0);
  for (std::size_t i = 1; i < start.stages(); ++i) {
    const double t = step.t + start.c[i] * step.h;
    ESPALIER_CALL(TSPreStage(ts_, t));
    ESPALIER_CALL(VecCopy(stored_, stages_[i]));
    add_terms(stages_[i], step.h, start.a[i], k, i);
    if (!end_stage(t, i)) return false;
    k[i] = slopes_[i - 1].get();
    ESPALIER_CALL(TSComputeRHSFunction(ts_, t, stages_[i], k[i]));
    keep(stages_[i]);
  }
  add_terms(ts_->vec_sol, step.h, start.b, k, start.stages());
  return true;
}

// u_{n+1} = z + h b f_{n+1}, z = u_n + h sum_j b_j f_{n-j}.
bool Adams::step_implicit(const Step& step) {
  if (step.evaluates_f_n) evaluate_f_n(step);
  if (starts(step)) return start_implicit(step);
  Terms terms{};
  for (std::size_t j = 0; j < method_->depth(); ++j) terms[j] = f(static_cast<int>(j));
  ESPALIER_CALL(VecCopy(ts_->vec_sol, z_.get()));
  add_terms(z_.get(), step.h, method_->weights, terms, method_->depth());
  ESPALIER_CALL(VecCopy(ts_->vec_sol, stored_));
  if (!solve_stage(step.t + step.h, step.h * method_->next, stages_.size() - 1, f(-1))) return false;
  ESPALIER_CALL(VecCopy(stored_, ts_->vec_sol));
  return true;
}

// Y_i = z_i + h a_ii k_i, z_i = u_n + h sum_{j<i} a_ij k_j; u_{n+1} and f_{n+1} are those of the last stage.
bool Adams::start_implicit(const Step& step) {
  const OneStepMethod& start = method_->start;
  const std::size_t last = start.stages() - 1;
  Terms k{};
  for (std::size_t i = 0; i <= last; ++i) {
    k[i] = i < last ? slopes_[i].get() : f(-1);
    ESPALIER_CALL(VecCopy(ts_->vec_sol, z_.get()));
    add_terms(z_.get(), step.h, start.a[i], k, i);
    ESPALIER_CALL(VecCopy(i > 0 ? stages_[i - 1] : ts_->vec_sol, stages_[i]));
    if (!solve_stage(step.t + start.c[i] * step.h, step.h * start.a[i][i], i, k[i])) return false;
    if (i < last) keep(stages_[i]);
  }
  ESPALIER_CALL(VecCopy(stored_, ts_->vec_sol));
  return true;
}

// Y = z + scale f(Y) with Y's first guess in place; slope = f(Y) = (Y - z) / scale.
bool Adams::solve_stage(double t, double scale, std::size_t stage, Vec slope) {
  PetscInt newton_steps = 0;
  PetscInt krylov_steps = 0;
  stage_time_ = t;
  shift_ = 1 / scale;
  ESPALIER_CALL(TSPreStage(ts_, t));
  ESPALIER_CALL(SNESSolve(ts_->snes, nullptr, stages_[stage]));
  ESPALIER_CALL(SNESGetIterationNumber(ts_->snes, &newton_steps));
  ESPALIER_CALL(SNESGetLinearSolveIterations(ts_->snes, &krylov_steps));
  ts_->snes_its += newton_steps;
  ts_->ksp_its += krylov_steps;
  if (!end_stage(t, stage)) return false;
  ESPALIER_CALL(VecAXPBYPCZ(slope, -shift_, shift_, 0, z_.get(), stages_[stage]));
  return true;
}

// F(t, u, 0) = -f(t, u).
void Adams::evaluate_f_n(const Step& step) {
  ESPALIER_CALL(VecZeroEntries(u_t_.get()));
  ESPALIER_CALL(TSComputeIFunction(ts_, step.t, ts_->vec_sol, u_t_.get(), f(0), PETSC_FALSE));
  ESPALIER_CALL(VecScale(f(0), -1.0));
  keep(ts_->vec_sol);
}

// F(t, Y, shift (Y - z)).
void Adams::evaluate_residual(Vec x, Vec residual) {
  ESPALIER_CALL(VecAXPBYPCZ(u_t_.get(), -shift_, shift_, 0, z_.get(), x));
  ESPALIER_CALL(TSComputeIFunction(ts_, stage_time_, x, u_t_.get(), residual, PETSC_FALSE));
}

void Adams::evaluate_jacobian(Vec x, Mat jacobian, Mat preconditioner) {
  ESPALIER_CALL(TSComputeIJacobian(ts_, stage_time_, x, u_t_.get(), shift_, jacobian, preconditioner, PETSC_FALSE));
}

}  // namespace espalier::ts
