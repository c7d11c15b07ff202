// Steepest descent and conjugate gradients with coefficients for each sample.
#include "espalier/core/error.hpp"
#include "sample_method.hpp"

namespace espalier::implicit {

namespace {

class Steepest : public SampleMethod {
 public:
  using SampleMethod::SampleMethod;

 private:
  PetscInt vector_count() const override { return 2; }
  void resize(std::size_t samples) override { alpha_.resize(samples); }

  // alpha = (r.z) / (z.Az), z = B r;  x += alpha z;  r -= alpha A z.
  void iterate(Vec x, Vec r) override {
    Vec w = work(1);
    for (PetscInt i = 0; !done(i, r); ++i) {
      Vec z = precondition(r, work(0));
      multiply(z, w);
      if (!dots({{r, z, rz_}, {z, w, zw_}})) return;
      divide(rz_, zw_, alpha_);
      vectors().axpy(1, alpha_.data(), z, x);
      vectors().axpy(-1, alpha_.data(), w, r);
    }
  }

  Numbers alpha_, rz_, zw_;
};

class Cg : public SampleMethod {
 public:
  using SampleMethod::SampleMethod;

 private:
  PetscInt vector_count() const override { return 3; }
  void resize(std::size_t samples) override {
    alpha_.resize(samples);
    beta_.resize(samples);
    before_.assign(samples, 0);
  }

  // beta = (r.z) / (r.z of the last iteration), z = B r;  p = z + beta p;  alpha = (r.z) / (p.Ap);
  // x += alpha p;  r -= alpha A p.
  void iterate(Vec x, Vec r) override {
    Vec p = work(1);
    Vec w = work(2);
    ESPALIER_CALL(VecZeroEntries(p));
    for (PetscInt i = 0; !done(i, r); ++i) {
      Vec z = precondition(r, work(0));
      if (z == r && has_norms()) {
        rz_ = squares();
      } else if (!dots({{r, z, rz_}})) {
        return;
      }
      divide(rz_, before_, beta_);
      before_ = rz_;
      vectors().aypx(beta_.data(), z, p);
      multiply(p, w);
      if (!dots({{p, w, pw_}})) return;
      divide(rz_, pw_, alpha_);
      vectors().axpy(1, alpha_.data(), p, x);
      vectors().axpy(-1, alpha_.data(), w, r);
    }
  }

  Numbers alpha_, beta_, before_, rz_, pw_;
};

}  // namespace

PetscErrorCode create_steepest(KSP ksp) noexcept {
  return guard([&] { adopt_method(ksp, new Steepest(ksp), PC_LEFT); });
}

PetscErrorCode create_cg(KSP ksp) noexcept {
  return guard([&] { adopt_method(ksp, new Cg(ksp), PC_LEFT); });
}

}  // namespace espalier::implicit
