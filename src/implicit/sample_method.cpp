#include "sample_method.hpp"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/implicit/sample_krylov.hpp"

namespace espalier::implicit {

namespace {

constexpr const char* samples_name = "espalier_samples";

PetscErrorCode delete_count(petsc::ContextArgument context) noexcept {
  delete static_cast<PetscInt*>(petsc::context_of(context));
  return PETSC_SUCCESS;
}

PetscInt* count_of(KSP ksp) {
  PetscObject container = nullptr;
  void* count = nullptr;
  ESPALIER_CALL(PetscObjectQuery(reinterpret_cast<PetscObject>(ksp), samples_name, &container));
  if (container != nullptr) {
    ESPALIER_CALL(PetscContainerGetPointer(reinterpret_cast<PetscContainer>(container), &count));
  }
  return static_cast<PetscInt*>(count);
}

SampleMethod& of(KSP ksp) { return *static_cast<SampleMethod*>(ksp->data); }

PetscErrorCode set_up(KSP ksp) noexcept {
  return guard([&] { of(ksp).create_vectors(); });
}

PetscErrorCode solve(KSP ksp) noexcept {
  return guard([&] { of(ksp).solve(); });
}

PetscErrorCode set_from_options(KSP ksp, petsc::OptionItems items) noexcept { return of(ksp).read_options(items); }

PetscErrorCode view(KSP ksp, PetscViewer viewer) noexcept {
  return guard([&] {
    PetscBool is_text = PETSC_FALSE;
    ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(viewer), PETSCVIEWERASCII, &is_text));
    if (is_text == PETSC_FALSE) return;
    ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, "  samples=%d\n", static_cast<int>(samples_of(ksp))));
    of(ksp).view(viewer);
  });
}

// The solution is what vec_sol holds, on whatever side the preconditioner stands.
PetscErrorCode build_solution(KSP ksp, Vec v, Vec* result) noexcept {
  return guard([&] {
    if (v != nullptr) ESPALIER_CALL(VecCopy(ksp->vec_sol, v));
    if (result != nullptr) *result = v != nullptr ? v : ksp->vec_sol;
  });
}

PetscErrorCode destroy(KSP ksp) noexcept {
  delete static_cast<SampleMethod*>(ksp->data);
  ksp->data = nullptr;
  return PETSC_SUCCESS;
}

}  // namespace

void set_samples(KSP ksp, PetscInt samples) {
  ESPALIER_REQUIRE(samples > 0, "a linear solve needs at least one sample");
  if (PetscInt* count = count_of(ksp)) {
    *count = samples;
    return;
  }
  PetscContainer container = nullptr;
  ESPALIER_CALL(PetscContainerCreate(PetscObjectComm(reinterpret_cast<PetscObject>(ksp)), &container));
  ESPALIER_CALL(petsc::set_container_destroy(container, delete_count));
  ESPALIER_CALL(PetscContainerSetPointer(container, new PetscInt(samples)));
  ESPALIER_CALL(
      PetscObjectCompose(reinterpret_cast<PetscObject>(ksp), samples_name, reinterpret_cast<PetscObject>(container)));
  ESPALIER_CALL(PetscObjectDereference(reinterpret_cast<PetscObject>(container)));
}

PetscInt samples_of(KSP ksp) {
  const PetscInt* count = count_of(ksp);
  return count != nullptr ? *count : 1;
}

void register_sample_krylov() {
  ESPALIER_CALL(KSPRegister(steepest_type, create_steepest));
  ESPALIER_CALL(KSPRegister(cg_type, create_cg));
  ESPALIER_CALL(KSPRegister(bcgs_type, create_bcgs));
  ESPALIER_CALL(KSPRegister(gmres_type, create_gmres));
}

void adopt_method(KSP ksp, SampleMethod* method, PCSide side) {
  ksp->data = method;
  ksp->ops->setup = set_up;
  ksp->ops->solve = solve;
  ksp->ops->setfromoptions = set_from_options;
  ksp->ops->view = view;
  ksp->ops->buildsolution = build_solution;
  ksp->ops->buildresidual = KSPBuildResidualDefault;
  ksp->ops->destroy = destroy;
  ESPALIER_CALL(KSPSetSupportedNorm(ksp, KSP_NORM_UNPRECONDITIONED, side, 2));
  ESPALIER_CALL(KSPSetSupportedNorm(ksp, KSP_NORM_NONE, side, 1));
}

void SampleMethod::create_vectors() { ESPALIER_CALL(KSPSetWorkVecs(ksp_, vector_count() + 1)); }

void SampleMethod::solve() {
  Vec x = ksp_->vec_sol;
  Vec r = ksp_->work[0];
  ksp_->its = 0;
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(ksp_->pc), PCNONE, &plain_));
  vectors_.set(x, samples_of(ksp_));
  active_.assign(samples(), 1);
  resize(samples());
  if (ksp_->guess_zero) {
    ESPALIER_CALL(VecCopy(ksp_->vec_rhs, r));
  } else {
    residual(x, r);
  }
  // A preconditioner may have failed on some ranks only: the first sum tells all of them.
  ESPALIER_CALL(VecFlag(r, ksp_->reason == KSP_DIVERGED_PC_FAILED));
  if (!has_norms() || set_references(r)) iterate(x, r);
}

void SampleMethod::multiply(Vec x, Vec y) {
  Mat a = nullptr;
  ESPALIER_CALL(PCGetOperators(ksp_->pc, &a, nullptr));
  ESPALIER_CALL(KSP_MatMult(ksp_, a, x, y));
}

Vec SampleMethod::precondition(Vec r, Vec z) {
  if (plain_ == PETSC_TRUE) return r;
  ESPALIER_CALL(KSP_PCApply(ksp_, r, z));
  return z;
}

void SampleMethod::residual(Vec x, Vec r) {
  multiply(x, r);
  ESPALIER_CALL(VecAYPX(r, -1.0, ksp_->vec_rhs));
}

bool SampleMethod::dots(std::initializer_list<petsc::SampleVectors::Dot> list) {
  vectors_.dots(list);
  return std::all_of(list.begin(), list.end(),
                     [&](const auto& dot) { return finite(dot.values.data(), dot.values.size()); });
}

bool SampleMethod::finite(const double* values, std::size_t count) {
  const bool all = std::all_of(values, values + count, [](double value) { return std::isfinite(value); });
  if (all) return true;
  PCFailedReason failed = PC_NOERROR;
  ESPALIER_CALL(PCReduceFailedReason(ksp_->pc));
  ESPALIER_CALL(PCGetFailedReason(ksp_->pc, &failed));
  ksp_->reason = failed != PC_NOERROR ? KSP_DIVERGED_PC_FAILED : KSP_DIVERGED_NANORINF;
  return false;
}

bool SampleMethod::set_references(Vec r) {
  Vec b = ksp_->vec_rhs;
  if (!dots({{b, b, references_}, {r, r, squares_}})) return false;
  double sum = 0;
  for (const double square : references_) sum += square;
  if (sum == 0)
    for (const double square : squares_) sum += square;
  size_ = std::sqrt(sum);
  for (std::size_t s = 0; s < samples(); ++s)
    references_[s] = std::sqrt(references_[s] > 0 ? references_[s] : squares_[s]);
  return true;
}

// max_s |r_s| / |b_s|.
double SampleMethod::test_samples() {
  double largest = 0;
  for (std::size_t s = 0; s < samples(); ++s) {
    const double norm = std::sqrt(squares_[s]);
    const double reference = references_[s];
    if (norm <= std::max(ksp_->rtol * reference, ksp_->abstol)) active_[s] = 0;
    if (reference > 0) largest = std::max(largest, norm / reference);
  }
  return largest;
}

bool SampleMethod::done(PetscInt i, Vec r) {
  ksp_->its = i;
  ksp_->rnorm = 0;
  if (has_norms()) {
    if (!dots({{r, r, squares_}})) return true;
    ksp_->rnorm = size_ * test_samples();
  }
  ESPALIER_CALL(KSPLogResidualHistory(ksp_, ksp_->rnorm));
  ESPALIER_CALL(KSPMonitor(ksp_, i, ksp_->rnorm));
  ESPALIER_CALL((*ksp_->converged)(ksp_, i, ksp_->rnorm, &ksp_->reason, ksp_->cnvP));
  if (ksp_->reason != KSP_CONVERGED_ITERATING) return true;
  // The test may miss by a rounding what all samples have reached.
  if (std::count(active_.begin(), active_.end(), 1) == 0) {
    ksp_->reason = KSP_CONVERGED_RTOL;
  } else if (i >= ksp_->max_it) {
    ksp_->reason = has_norms() ? KSP_DIVERGED_ITS : KSP_CONVERGED_ITS;
  }
  return ksp_->reason != KSP_CONVERGED_ITERATING;
}

void SampleMethod::divide(const Numbers& a, const Numbers& b, Numbers& quotient) const {
  for (std::size_t s = 0; s < samples(); ++s) quotient[s] = active(s) && b[s] != 0 ? a[s] / b[s] : 0;
}

}  // namespace espalier::implicit
