// What the Krylov methods with coefficients for each sample share: the KSP's side, residual norms and their test.
#pragma once

#include <petsc/private/kspimpl.h>

#include <initializer_list>
#include <vector>

#include "espalier/petsc/compat.hpp"
#include "espalier/petsc/sample_vectors.hpp"

namespace espalier::implicit {

class SampleMethod {
 public:
  explicit SampleMethod(KSP ksp) : ksp_(ksp) {}
  virtual ~SampleMethod() = default;
  SampleMethod(const SampleMethod&) = delete;
  SampleMethod& operator=(const SampleMethod&) = delete;

  void create_vectors();
  void solve();
  virtual PetscErrorCode read_options(petsc::OptionItems /*items*/) noexcept { return PETSC_SUCCESS; }
  virtual void view(PetscViewer /*viewer*/) {}

 protected:
  using Numbers = petsc::SampleVectors::Numbers;

  /// Work vectors beside the residual.
  virtual PetscInt vector_count() const = 0;
  virtual void resize(std::size_t /*samples*/) {}
  /// From x and its residual r until done().
  virtual void iterate(Vec x, Vec r) = 0;

  KSP ksp() const { return ksp_; }
  Vec work(PetscInt k) const { return ksp_->work[k + 1]; }
  const petsc::SampleVectors& vectors() const { return vectors_; }
  std::size_t samples() const { return vectors_.samples(); }
  bool active(std::size_t s) const { return active_[s] != 0; }

  /// y = A x or A^T x.
  void multiply(Vec x, Vec y);
  /// B r, in z; r itself where there is no preconditioner.
  Vec precondition(Vec r, Vec z);
  /// r = b - A x.
  void residual(Vec x, Vec r);
  /// False, with the KSP's reason, when a value is not finite. Collective.
  bool dots(std::initializer_list<petsc::SampleVectors::Dot> list);
  bool finite(const double* values, std::size_t count);
  /// Whether iteration i was the last one; else which samples go on.
  bool done(PetscInt i, Vec r);
  /// r.r of the last done(); empty without norms.
  const Numbers& squares() const { return squares_; }
  bool has_norms() const { return ksp_->normtype != KSP_NORM_NONE; }
  /// quotient_s = a_s / b_s, 0 where b_s = 0 and for samples that have stopped.
  void divide(const Numbers& a, const Numbers& b, Numbers& quotient) const;

 private:
  bool set_references(Vec r);
  double test_samples();

  KSP ksp_;
  petsc::SampleVectors vectors_;
  PetscBool plain_ = PETSC_FALSE;  // no preconditioner
  std::vector<char> active_;
  Numbers squares_;     // |r_s|^2
  Numbers references_;  // |b_s|, or |r_s| of the first guess where b_s = 0
  double size_ = 0;     // |b|
};

/// Constructors for KSPRegister().
PetscErrorCode create_steepest(KSP ksp) noexcept;
PetscErrorCode create_cg(KSP ksp) noexcept;
PetscErrorCode create_bcgs(KSP ksp) noexcept;
PetscErrorCode create_gmres(KSP ksp) noexcept;

/// Gives the KSP its functions; `side` is where the preconditioner stands. Takes the method.
void adopt_method(KSP ksp, SampleMethod* method, PCSide side);

}  // namespace espalier::implicit
