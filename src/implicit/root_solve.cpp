#include "espalier/implicit/root_solve.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "espalier/core/options.hpp"
#include "espalier/implicit/sample_krylov.hpp"
#include "espalier/implicit/solve_node.hpp"
#include "krylov.hpp"

namespace espalier::implicit {

namespace {

// A gradient is only as exact as the equation that it differentiates.
constexpr double tolerance = 1e-12;
constexpr double tolerance_float = 1e-6;  // below it lies the rounding of a float network
constexpr double newton_krylov_tolerance = 1e-8;
constexpr PetscInt most_sweeps = 10000;

bool has_float_parameters(Residual& residual) {
  for (auto* parameters : residual.parameters())
    if (parameters->values().scalar_type() == at::kFloat) return true;
  return false;
}

double norm_of(Vec vec) {
  PetscReal norm = 0;
  ESPALIER_CALL(VecNorm(vec, NORM_2, &norm));
  return norm;
}

std::string exact(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

template <class Enumeration>
Enumeration choose(core::OptionReader& o, const char* name, const char* help, const std::vector<std::string>& names,
                   Enumeration fallback) {
  return static_cast<Enumeration>(o.choice(name, help, names, static_cast<std::size_t>(fallback)));
}

}  // namespace

void RootSettings::read(MPI_Comm comm) {
  core::read_options(
      comm, "Nonlinear solve",
      [&](core::OptionReader& o) {
        solver = choose(o, "-solver", "how x is found", {"newton", "picard", "fixed_point", "anderson"}, solver);
        differentiation =
            choose(o, "-differentiation", "how x is differentiated", {"implicit", "unrolled"}, differentiation);
        guess = choose(o, "-guess", "where a solve begins", {"y", "last", "zero"}, guess);
        damping = o.positive("-damping", "factor of each step", damping);
        iterations = static_cast<long>(
            o.integer("-iterations", "sweeps of an unrolled solve", static_cast<PetscInt>(iterations), 1));
      },
      prefix);
}

RootSolve::RootSolve(std::shared_ptr<Residual> residual, Vec like, const RootSettings& settings)
    : DifferentiableSolve(std::move(residual), like, settings.prefix),
      settings_(settings),
      function_(make_vec()),
      last_(make_vec()) {
  check_settings();
  set_iterations(settings.iterations);
  if (settings_.differentiation == Differentiation::implicit) create_snes();
}

RootSolve::~RootSolve() = default;

void RootSolve::check_settings() const {
  ESPALIER_REQUIRE(settings_.damping > 0, "-" + prefix() + "damping must be positive");
  ESPALIER_REQUIRE(
      settings_.differentiation == Differentiation::implicit || settings_.solver == RootSolver::fixed_point,
      "only fixed-point sweeps can be unrolled: choose -" + prefix() + "solver fixed_point, or -" + prefix() +
          "differentiation implicit");
}

void RootSolve::set_weights(Vec weights) {
  ESPALIER_REQUIRE(sweeps(), "weights are for -" + prefix() + "solver fixed_point and anderson");
  if (weights_.empty()) weights_ = make_vec();
  ESPALIER_CALL(VecCopy(weights, weights_.get()));
}

void RootSolve::set_iterations(long iterations) {
  ESPALIER_REQUIRE(iterations >= 1, "an unrolled solve needs at least one iteration");
  settings_.iterations = iterations;
  if (settings_.differentiation == Differentiation::unrolled) history_ = history_for(static_cast<PetscInt>(iterations));
}

long RootSolve::ksp_iterations_forward() const {
  PetscInt total = 0;
  KSP ksp = nullptr;
  if (snes_.empty() || sweeps()) return 0;
  ESPALIER_CALL(SNESGetKSP(snes_.get(), &ksp));
  ESPALIER_CALL(KSPGetTotalIterations(ksp, &total));
  return static_cast<long>(total);
}

std::string RootSolve::adjoint_preconditioner() const {
  KSP ksp = nullptr;
  PC pc = nullptr;
  PCType type = nullptr;
  if (snes_.empty() || sweeps()) return PCNONE;
  ESPALIER_CALL(SNESGetKSP(snes_.get(), &ksp));
  ESPALIER_CALL(KSPGetPC(ksp, &pc));
  ESPALIER_CALL(PCGetType(pc, &type));
  return type;
}

void RootSolve::create_snes() {
  register_sample_krylov();
  operator_ = std::make_unique<Operator>(function_.get());
  ESPALIER_CALL(SNESCreate(comm(), snes_.out()));
  ESPALIER_CALL(SNESSetOptionsPrefix(snes(), prefix().c_str()));
  ESPALIER_CALL(SNESSetFunction(snes(), function_.get(), function, this));
  ESPALIER_CALL(SNESSetJacobian(snes(), operator_->shell(), operator_->shell(), jacobian, this));
  choose_method();
  const double relative = has_float_parameters(*residual_) ? tolerance_float : tolerance;
  const PetscInt most = settings_.solver == RootSolver::newton ? PETSC_CURRENT : most_sweeps;
  ESPALIER_CALL(SNESSetTolerances(snes(), PETSC_CURRENT, relative, relative, most, PETSC_CURRENT));
  KSP ksp = nullptr;
  PC pc = nullptr;
  ESPALIER_CALL(SNESGetKSP(snes(), &ksp));
  ESPALIER_CALL(KSPSetType(ksp, KSPGMRES));
  ESPALIER_CALL(KSPSetTolerances(ksp, newton_krylov_tolerance, PETSC_CURRENT, PETSC_CURRENT, krylov_iterations));
  ESPALIER_CALL(KSPGetPC(ksp, &pc));
  ESPALIER_CALL(PCSetType(pc, PCNONE));
  read_options();
}

void RootSolve::choose_method() {
  SNESLineSearch search = nullptr;
  switch (settings_.solver) {
    case RootSolver::newton:
    case RootSolver::picard:
      ESPALIER_CALL(SNESSetType(snes(), SNESNEWTONLS));
      break;
    case RootSolver::fixed_point:
      ESPALIER_CALL(SNESSetType(snes(), SNESNRICHARDSON));
      break;
    case RootSolver::anderson:
      ESPALIER_CALL(SNESSetType(snes(), SNESANDERSON));
      return;
  }
  ESPALIER_CALL(SNESGetLineSearch(snes(), &search));
  if (settings_.solver != RootSolver::newton) ESPALIER_CALL(SNESLineSearchSetType(search, SNESLINESEARCHBASIC));
  ESPALIER_CALL(SNESLineSearchSetDamping(search, settings_.damping));
}

// Anderson's mixing factor has no function to set it, only an option.
void RootSolve::read_options() {
  const std::string mixing = "-" + prefix() + "snes_anderson_beta";
  const bool ours = settings_.solver == RootSolver::anderson && !core::option_given(mixing);
  if (ours) ESPALIER_CALL(PetscOptionsSetValue(nullptr, mixing.c_str(), exact(settings_.damping).c_str()));
  ESPALIER_CALL(SNESSetFromOptions(snes()));
  if (ours) ESPALIER_CALL(PetscOptionsClearValue(nullptr, mixing.c_str()));
  ESPALIER_CALL(
      SNESGetTolerances(snes(), nullptr, &tolerances_.relative, &tolerances_.step, &tolerances_.iterations, nullptr));
  ESPALIER_CALL(SNESGetDivergenceTolerance(snes(), &tolerances_.divergence));
  history_ = history_for(tolerances_.iterations);
  ESPALIER_CALL(
      SNESSetConvergenceHistory(snes(), history_.data(), nullptr, static_cast<PetscInt>(history_.size()), PETSC_TRUE));
}

PetscErrorCode RootSolve::function(SNES /*snes*/, Vec x, Vec f, void* context) noexcept {
  return guard([&] { static_cast<RootSolve*>(context)->evaluate(x, f); });
}

PetscErrorCode RootSolve::jacobian(SNES /*snes*/, Vec x, Mat /*shell*/, Mat /*matrix*/, void* context) noexcept {
  return guard([&] { static_cast<RootSolve*>(context)->set_jacobian(x); });
}

// f = F(x, y), or W F.
void RootSolve::evaluate(Vec x, Vec f) {
  failures().attempt(f, [&] { residual_->apply(x, y_, f); });
  if (!weights_.empty()) ESPALIER_CALL(VecPointwiseMult(f, weights_.get(), f));
}

std::shared_ptr<GuardedLinearization> RootSolve::linearize(Vec x) {
  if (settings_.solver != RootSolver::picard) return guarded_linearize(x, y_);
  return failures().guarded(comm(), [&] {
    auto products = residual_->linearize_picard(x, y_);
    ESPALIER_REQUIRE(products != nullptr, "this equation has no form with frozen coefficients: choose -" + prefix() +
                                              "solver newton, or give it the term for Picard's iterations");
    return products;
  });
}

void RootSolve::set_jacobian(Vec x) { operator_->set(linearize(x), has_matrix_, true); }

// The matrix can be made when there is a point to linearise at; options may name a preconditioner until then.
void RootSolve::attach_matrix(Vec x) {
  KSP ksp = nullptr;
  ESPALIER_CALL(SNESGetKSP(snes(), &ksp));
  if (has_matrix_ || sweeps() || !needs_matrix(ksp)) return;
  const auto products = linearize(x);
  failures().agree(comm());
  operator_->set(products, true, true);
  ESPALIER_CALL(SNESSetJacobian(snes(), operator_->shell(), operator_->matrix(), jacobian, this));
  has_matrix_ = true;
}

void RootSolve::begin(Vec y, Vec x, Record record) {
  y_ = y;
  const bool at_last = settings_.guess == Guess::last && has_last_;
  if (at_last) {
    ESPALIER_CALL(VecCopy(last_.get(), x));
  } else if (settings_.guess == Guess::zero) {
    ESPALIER_CALL(VecZeroEntries(x));
  } else {
    ESPALIER_CALL(VecCopy(y, x));
    if (record == Record::yes) note_beginning_at_y();
  }
}

void RootSolve::forward(Vec y, Vec x, Record record) {
  begin(y, x, record);
  recorded_ = 0;
  if (settings_.differentiation == Differentiation::unrolled) {
    sweep(x, record);
  } else {
    iterate(x);
    if (record == Record::yes) keep(x);
  }
  if (settings_.guess != Guess::last) return;
  ESPALIER_CALL(VecCopy(x, last_.get()));
  has_last_ = true;
}

void RootSolve::iterate(Vec x) {
  attach_matrix(x);
  PetscInt iterations = 0;
  SNESConvergedReason reason = SNES_CONVERGED_ITERATING;
  const char* name = nullptr;
  try {
    ESPALIER_CALL(SNESSolve(snes(), nullptr, x));
  } catch (const PetscFailure& failure) {
    failures().agree(comm());
    fail(failure.what());
  }
  ESPALIER_CALL(SNESGetIterationNumber(snes(), &iterations));
  iterations_ += static_cast<long>(iterations);
  ESPALIER_CALL(SNESGetConvergenceHistory(snes(), nullptr, nullptr, &recorded_));
  failures().agree(comm());
  ESPALIER_CALL(SNESGetConvergedReason(snes(), &reason));
  ESPALIER_CALL(SNESGetConvergedReasonString(snes(), &name));
  if (reason <= 0 && !took_its_effort(reason))
    fail(std::string(name) + " after " + std::to_string(iterations) + " iterations");
}

// With iterations to take there is no other end, unless a tolerance is given.
void RootSolve::set_forward_effort(const Effort& effort) {
  effort_ = effort;
  const bool limited = effort.iterations > 0;
  if (snes_.empty()) {
    ESPALIER_REQUIRE(effort.tolerance == 0, "unrolled solves take all their iterations: leave the tolerance out");
    if (limited) set_iterations(effort.iterations);
    return;
  }
  const double relative = limited || effort.tolerance > 0 ? effort.tolerance : tolerances_.relative;
  const auto most = limited ? static_cast<PetscInt>(effort.iterations) : tolerances_.iterations;
  ESPALIER_CALL(
      SNESSetTolerances(snes(), PETSC_CURRENT, relative, limited ? 0 : tolerances_.step, most, PETSC_CURRENT));
  ESPALIER_CALL(SNESSetDivergenceTolerance(snes(), limited ? PETSC_UNLIMITED : tolerances_.divergence));
}

void RootSolve::set_forward_samples(PetscInt samples) {
  KSP ksp = nullptr;
  if (snes_.empty()) return;
  ESPALIER_CALL(SNESGetKSP(snes(), &ksp));
  implicit::set_samples(ksp, samples);
}

// At rounding level a line search finds nothing better any more: further iterations would change nothing.
bool RootSolve::took_its_effort(SNESConvergedReason reason) const {
  if (effort_.iterations == 0) return false;
  const std::size_t last = std::min(history_.size(), static_cast<std::size_t>(recorded_));
  const bool at_rounding = last > 0 && history_[last - 1] <= tolerances_.relative * history_.front();
  return reason == SNES_DIVERGED_MAX_IT || (reason == SNES_DIVERGED_LINE_SEARCH && at_rounding);
}

// x_(k+1) = x_k - damping W F(x_k, y).
void RootSolve::sweep(Vec x, Record record) {
  for (long k = 0; k < settings_.iterations; ++k) {
    if (record == Record::yes) keep(x);
    evaluate(x, function_.get());
    const double norm = norm_of(function_.get());
    const auto place = static_cast<std::size_t>(recorded_);
    if (place < history_.size()) history_[place] = norm;
    ++recorded_;
    if (!std::isfinite(norm)) {
      failures().agree(comm());
      fail("the residual of an unrolled solve is not finite in sweep " + std::to_string(k + 1));
    }
    ESPALIER_CALL(VecAXPY(x, -settings_.damping, function_.get()));
    ++iterations_;
  }
  if (!std::isfinite(norm_of(x))) fail("the result of an unrolled solve is not finite");
}

// lambda_k = lambda_(k+1) + F_x(x_k)^T w with w = -damping W lambda_(k+1);  y_bar and theta_bar += F_y^T w, F_theta^T
// w.
void RootSolve::backward(const KeptSolve& kept, Vec x_bar, Vec y_bar) {
  if (settings_.differentiation == Differentiation::implicit) return DifferentiableSolve::backward(kept, x_bar, y_bar);
  for (auto& vec : products_)
    if (vec.empty()) vec = make_vec();
  Vec lambda = function_.get();
  Vec w = products_[0].get();
  ESPALIER_CALL(VecCopy(x_bar, lambda));
  ESPALIER_CALL(VecZeroEntries(y_bar));
  for (auto x = kept.x.rbegin(); x != kept.x.rend(); ++x) {
    const auto products = guarded_linearize((*x)->get(), kept.y->get());
    ESPALIER_CALL(VecCopy(lambda, w));
    if (!weights_.empty()) ESPALIER_CALL(VecPointwiseMult(w, weights_.get(), w));
    ESPALIER_CALL(VecScale(w, -settings_.damping));
    products->vjp(w, products_[1].get());
    products->accumulate(1.0);
    products->vjp_data(w, products_[2].get());
    ESPALIER_CALL(VecAXPY(y_bar, 1.0, products_[2].get()));
    ESPALIER_CALL(VecAXPY(lambda, 1.0, products_[1].get()));
  }
  if (kept.began_at_y) ESPALIER_CALL(VecAXPY(y_bar, 1.0, lambda));
  failures().agree(comm());
  if (!std::isfinite(norm_of(y_bar)))
    throw NumericalError("the adjoint of an unrolled solve is not finite: take fewer iterations or a smaller -" +
                             prefix() + "damping, if the cotangents are finite",
                         __FILE__, __LINE__);
}

void RootSolve::fail(const std::string& message) const {
  SNESConvergedReason reason = SNES_CONVERGED_ITERATING;
  std::string linear;
  if (!snes_.empty()) ESPALIER_CALL(SNESGetConvergedReason(snes_.get(), &reason));
  const std::string dash = "-" + prefix();
  if (reason == SNES_DIVERGED_LINEAR_SOLVE) {
    KSP ksp = nullptr;
    const char* name = nullptr;
    ESPALIER_CALL(SNESGetKSP(snes_.get(), &ksp));
    ESPALIER_CALL(KSPGetConvergedReasonString(ksp, &name));
    linear = " (its linear solve, " + dash + "ksp_*: " + name + ")";
  }
  const std::string advice = reason == SNES_DIVERGED_FNORM_NAN
                                 ? "look for values that are not finite in the data, the state and the parameters"
                                 : "try a smaller " + dash + "damping or step, another " + dash +
                                       "solver or a better first guess; " + dash + "snes_monitor and " + dash +
                                       "ksp_monitor show each iteration";
  throw NumericalError("the nonlinear solve (" + dash + "snes_*) failed: " + message + linear + "; " +
                           course_of(history_, recorded_) + "; " + advice,
                       __FILE__, __LINE__);
}

at::Tensor root_solve(RootSolve& solver, const at::Tensor& y) { return solve_as_node(solver, y); }

}  // namespace espalier::implicit
