#include "krylov.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "espalier/core/log.hpp"
#include "espalier/core/options.hpp"
#include "espalier/implicit/sample_krylov.hpp"

namespace espalier::implicit {

namespace {

// Longer courses are recorded up to here.
constexpr PetscInt longest_history = 100000;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3e", value);
  return text;
}

}  // namespace

bool needs_matrix(KSP ksp) {
  PC pc = nullptr;
  PetscBool without = PETSC_FALSE;
  ESPALIER_CALL(KSPGetPC(ksp, &pc));
  ESPALIER_CALL(PetscObjectTypeCompareAny(reinterpret_cast<PetscObject>(pc), &without, PCNONE, PCSHELL, PCKSP, ""));
  return without == PETSC_FALSE;
}

std::string course_of(const std::vector<double>& history, PetscInt recorded) {
  constexpr std::size_t last = 4;
  const std::size_t count = std::min(history.size(), static_cast<std::size_t>(recorded));
  if (count == 0) return "no residual norm was recorded";
  std::string text = "residual norms " + number(history.front());
  if (count > last + 1) text += ", ...";
  for (std::size_t k = count > last ? count - last : 1; k < count; ++k) text += ", " + number(history[k]);
  return text;
}

std::vector<double> history_for(PetscInt iterations) {
  return std::vector<double>(static_cast<std::size_t>(std::min(std::max<PetscInt>(iterations, 0), longest_history)) +
                             2);
}

void Operator::set(std::shared_ptr<GuardedLinearization> linearization, bool with_matrix, bool refill) {
  if (with_matrix && !linearization->empty()) {
    if (!matrix_) {
      matrix_ = std::make_unique<BatchMatrix>(state_.get(), *linearization);
      refill = true;
    }
    if (refill) matrix_->fill(*linearization);
  }
  shell_.set(std::move(linearization), 0, 1);
}

Krylov::Krylov(Vec state, const std::string& prefix, double tolerance, PCType preconditioner)
    : comm_(PetscObjectComm(reinterpret_cast<PetscObject>(state))), prefix_(prefix), operator_(state) {
  PC pc = nullptr;
  PetscInt iterations = 0;
  core::read_options(
      comm_, "Linear solve",
      [&](core::OptionReader& o) {
        assembled_ = o.flag("-assembled", "products by a sparse matrix instead of the terms' own", false);
      },
      prefix);
  register_sample_krylov();
  ESPALIER_CALL(KSPCreate(comm_, ksp_.out()));
  ESPALIER_CALL(KSPSetOptionsPrefix(ksp(), prefix.c_str()));
  ESPALIER_CALL(KSPSetType(ksp(), KSPGMRES));
  ESPALIER_CALL(KSPSetTolerances(ksp(), tolerance, PETSC_CURRENT, PETSC_CURRENT, krylov_iterations));
  ESPALIER_CALL(KSPGetPC(ksp(), &pc));
  ESPALIER_CALL(PCSetType(pc, preconditioner));
  ESPALIER_CALL(KSPSetFromOptions(ksp()));
  ESPALIER_CALL(KSPGetTolerances(ksp(), nullptr, nullptr, nullptr, &iterations));
  history_ = history_for(iterations);
  ESPALIER_CALL(KSPSetResidualHistory(ksp(), history_.data(), static_cast<PetscCount>(history_.size()), PETSC_TRUE));
}

void Krylov::set_operator(std::shared_ptr<GuardedLinearization> linearization, Failures& failures, bool constant,
                          long version, double time) {
  const bool with_matrix = assembled_ || needs_matrix(ksp());
  if (with_matrix) failures.agree(comm_);
  ESPALIER_REQUIRE(!assembled_ || linearization->matrices_are_exact(),
                   "-" + prefix_ +
                       "assembled: a term of the equation, such as a network, forms no matrix, so that "
                       "products with the others' would leave it out: drop the option");
  const bool known = filled_ && constant && version == version_ && time == time_;
  operator_.set(std::move(linearization), with_matrix, !known);
  ESPALIER_CALL(KSPSetOperators(ksp(), assembled_ ? operator_.matrix() : operator_.shell(), operator_.matrix()));
  filled_ = with_matrix;
  version_ = version;
  time_ = time;
}

void Krylov::solve(Vec b, Vec x, bool transpose, Failures& failures) {
  const core::EventScope event(core::Event::linear_solve);
  limit_.apply(ksp(), effort_);
  try {
    if (transpose) {
      ESPALIER_CALL(KSPSolveTranspose(ksp(), b, x));
    } else {
      ESPALIER_CALL(KSPSolve(ksp(), b, x));
    }
  } catch (const PetscFailure& failure) {
    failures.agree(comm_);
    fail(transpose, failure.what(), KSP_CONVERGED_ITERATING);
  }
  failures.agree(comm_);
  require_success(x, transpose);
}

// Where no norms were computed nobody has seen yet whether values are finite.
void Krylov::require_success(Vec x, bool transpose) const {
  KSPConvergedReason reason = KSP_CONVERGED_ITERATING;
  const char* name = nullptr;
  ESPALIER_CALL(KSPGetConvergedReason(ksp(), &reason));
  ESPALIER_CALL(KSPGetConvergedReasonString(ksp(), &name));
  if (reason <= 0 && !(limit_.limited() && reason == KSP_DIVERGED_ITS)) fail(transpose, name, reason);
  if (!limit_.limited()) return;
  PetscReal norm = 0;
  ESPALIER_CALL(VecNorm(x, NORM_2, &norm));
  if (std::isfinite(norm)) return;
  fail(transpose, KSPConvergedReasons[KSP_DIVERGED_NANORINF], KSP_DIVERGED_NANORINF);
}

void Krylov::fail(bool transpose, const std::string& message, KSPConvergedReason reason) const {
  PetscInt iterations = 0;
  PetscInt recorded = 0;
  ESPALIER_CALL(KSPGetIterationNumber(ksp(), &iterations));
  ESPALIER_CALL(KSPGetResidualHistory(ksp(), nullptr, &recorded));
  const std::string dash = "-" + prefix_;
  const std::string advice = reason == KSP_DIVERGED_NANORINF
                                 ? "look for values that are not finite in the data, the state and the parameters"
                                 : "allow more with " + dash + "ksp_max_it, loosen " + dash +
                                       "ksp_rtol, or choose another " + dash + "pc_type or " + dash + "ksp_type; " +
                                       dash + "ksp_monitor shows each iteration";
  throw NumericalError(std::string(transpose ? "the adjoint's linear solve" : "the linear solve") + " (" + dash +
                           "ksp_*) failed: " + message + " after " + std::to_string(iterations) + " iterations; " +
                           course_of(history_, recorded) + "; " + advice,
                       __FILE__, __LINE__);
}

PCType Krylov::preconditioner() const {
  PC pc = nullptr;
  PCType type = nullptr;
  ESPALIER_CALL(KSPGetPC(ksp(), &pc));
  ESPALIER_CALL(PCGetType(pc, &type));
  return type;
}

long Krylov::iterations() const {
  PetscInt total = 0;
  ESPALIER_CALL(KSPGetTotalIterations(ksp(), &total));
  return static_cast<long>(total);
}

}  // namespace espalier::implicit
