// BiCGStab with coefficients for each sample, preconditioned from the right.
#include "espalier/core/error.hpp"
#include "sample_method.hpp"

namespace espalier::implicit {

namespace {

class Bcgs : public SampleMethod {
 public:
  using SampleMethod::SampleMethod;

 private:
  PetscInt vector_count() const override { return 5; }
  void resize(std::size_t samples) override {
    alpha_.assign(samples, 0);
    omega_.assign(samples, 0);
    beta_.resize(samples);
    quotient_.resize(samples);
    before_.assign(samples, 0);
  }

  void iterate(Vec x, Vec r) override {
    ESPALIER_CALL(VecCopy(r, work(shadow)));
    ESPALIER_CALL(VecZeroEntries(work(direction)));
    ESPALIER_CALL(VecZeroEntries(work(product)));
    for (PetscInt i = 0; !done(i, r); ++i)
      if (!descend(x, r) || !stabilise(x, r)) return;
  }

  // beta = (rho / rho of the last iteration) (alpha / omega), rho = r.r~;  p = r + beta (p - omega v);
  // v = A B p;  alpha = rho / (v.r~);  x += alpha B p;  s = r - alpha v. A breakdown begins anew with beta = 0.
  bool descend(Vec x, Vec r) {
    Vec p = work(direction);
    Vec v = work(product);
    if (!dots({{r, work(shadow), rho_}})) return false;
    divide(rho_, before_, beta_);
    divide(alpha_, omega_, quotient_);
    before_ = rho_;
    for (std::size_t s = 0; s < samples(); ++s) beta_[s] *= quotient_[s];
    vectors().axpy(-1, omega_.data(), v, p);
    vectors().aypx(beta_.data(), r, p);
    Vec preconditioned = precondition(p, work(image));
    multiply(preconditioned, v);
    if (!dots({{v, work(shadow), rv_}})) return false;
    divide(rho_, rv_, alpha_);
    vectors().axpy(1, alpha_.data(), preconditioned, x);
    vectors().axpy(-1, alpha_.data(), v, r);
    return true;
  }

  // t = A B s;  omega = (s.t) / (t.t);  x += omega B s;  r = s - omega t.
  bool stabilise(Vec x, Vec s) {
    Vec t = work(second_product);
    Vec preconditioned = precondition(s, work(image));
    multiply(preconditioned, t);
    if (!dots({{s, t, st_}, {t, t, tt_}})) return false;
    divide(st_, tt_, omega_);
    vectors().axpy(1, omega_.data(), preconditioned, x);
    vectors().axpy(-1, omega_.data(), t, s);
    return true;
  }

  enum Place : PetscInt { shadow, direction, product, image, second_product };
  Numbers alpha_, omega_, beta_, quotient_, before_, rho_, rv_, st_, tt_;
};

}  // namespace

PetscErrorCode create_bcgs(KSP ksp) noexcept {
  return guard([&] { adopt_method(ksp, new Bcgs(ksp), PC_RIGHT); });
}

}  // namespace espalier::implicit
