#include "espalier/model/gradient_check.hpp"

#include <cmath>
#include <limits>

#include "espalier/core/error.hpp"

namespace espalier::model {

namespace {

petsc::VecHandle random_like(Vec u, unsigned long seed) {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecDuplicate(u, vec.out()));
  PetscRandom random = nullptr;
  ESPALIER_CALL(PetscRandomCreate(PetscObjectComm(reinterpret_cast<PetscObject>(u)), &random));
  ESPALIER_CALL(PetscRandomSetInterval(random, -1.0, 1.0));
  ESPALIER_CALL(PetscRandomSetSeed(random, seed));
  ESPALIER_CALL(PetscRandomSeed(random));
  ESPALIER_CALL(VecSetRandom(vec.get(), random));
  ESPALIER_CALL(PetscRandomDestroy(&random));
  return vec;
}

// Rounding errors of f, amplified by the subtraction.
constexpr double rounding_factor = 1e3;

}  // namespace

double dot_product_error(Term& term, double t, Vec u, unsigned seed) {
  const auto v = random_like(u, seed);
  const auto w = random_like(u, seed + 1);
  petsc::VecHandle jv;
  petsc::VecHandle jtw;
  ESPALIER_CALL(VecDuplicate(u, jv.out()));
  ESPALIER_CALL(VecDuplicate(u, jtw.out()));
  const auto linearization = term.linearize(t, u);
  linearization->jvp(v.get(), jv.get());
  linearization->vjp(w.get(), jtw.get());
  PetscScalar forward = 0;
  PetscScalar adjoint = 0;
  PetscReal norm_w = 0;
  PetscReal norm_jv = 0;
  ESPALIER_CALL(VecDot(w.get(), jv.get(), &forward));
  ESPALIER_CALL(VecDot(jtw.get(), v.get(), &adjoint));
  ESPALIER_CALL(VecNorm(w.get(), NORM_2, &norm_w));
  ESPALIER_CALL(VecNorm(jv.get(), NORM_2, &norm_jv));
  const double scale = norm_w * norm_jv;
  return scale > 0 ? std::abs(forward - adjoint) / scale : std::abs(forward - adjoint);
}

TaylorTest taylor_test(const std::function<double(double)>& value, double derivative, double first, int count) {
  TaylorTest test;
  const double at_zero = value(0);
  test.reference = std::abs(at_zero);
  double step = first;
  for (int i = 0; i < count; ++i, step /= 2) {
    test.steps.push_back(step);
    test.remainders.push_back(std::abs(value(step) - at_zero - step * derivative));
  }
  for (std::size_t i = 0; i + 1 < test.remainders.size(); ++i)
    test.slopes.push_back(std::log2(test.remainders[i] / test.remainders[i + 1]));
  return test;
}

double TaylorTest::slope() const {
  const double rounding = rounding_factor * std::numeric_limits<double>::epsilon() * reference;
  // The largest steps may lie outside the range of the expansion: the last ones above rounding level count.
  // A small remainder before them may be chance: error and curvature can cancel at one step.
  std::size_t last = remainders.size();
  while (last > 0 && !(remainders[last - 1] > rounding)) --last;
  if (last < 2) return std::numeric_limits<double>::quiet_NaN();
  const std::size_t first = last > 4 ? last - 4 : 0;
  return std::log2(remainders[first] / remainders[last - 1]) / static_cast<double>(last - 1 - first);
}

bool TaylorTest::passed(double tolerance) const {
  for (const double remainder : remainders)
    if (!std::isfinite(remainder)) return false;
  const double measured = slope();
  // No two steps above rounding level: the expansion is exact as far as can be seen.
  return std::isnan(measured) || std::abs(measured - 2) <= tolerance;
}

}  // namespace espalier::model
