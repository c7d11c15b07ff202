#include "espalier/model/gray_scott.hpp"

#include <cmath>

#include "espalier/core/error.hpp"

namespace espalier::model {

GrayScott::GrayScott(double feed, double decay) : feed_(feed), decay_(decay) {
  ESPALIER_REQUIRE(std::isfinite(feed) && std::isfinite(decay),
                   "the feed rate F and the decay rate k of the Gray-Scott model must be finite numbers");
}

void GrayScott::add_rates(std::int64_t n, const double* const* fields, double* const* f) const {
  const double* __restrict__ u = fields[0];
  const double* __restrict__ v = fields[1];
  double* __restrict__ f_u = f[0];
  double* __restrict__ f_v = f[1];
  const double out = feed_ + decay_;
  for (std::int64_t i = 0; i < n; ++i) {
    // R_u = -u v^2 + F (1 - u), R_v = u v^2 - (F + k) v
    const double uvv = u[i] * v[i] * v[i];
    f_u[i] += feed_ * (1 - u[i]) - uvv;
    f_v[i] += uvv - out * v[i];
  }
}

void GrayScott::differentiate(std::int64_t n, const double* const* fields, double* const* r) const {
  const double* __restrict__ u = fields[0];
  const double* __restrict__ v = fields[1];
  double* __restrict__ uu = r[0];
  double* __restrict__ uv = r[1];
  double* __restrict__ vu = r[2];
  double* __restrict__ vv = r[3];
  const double out = feed_ + decay_;
  for (std::int64_t i = 0; i < n; ++i) {
    // dR_u = -(v^2 + F) du - 2 u v dv, dR_v = v^2 du + (2 u v - (F + k)) dv
    const double by_u = v[i] * v[i];
    const double by_v = 2 * u[i] * v[i];
    uu[i] = -by_u - feed_;
    uv[i] = -by_v;
    vu[i] = by_u;
    vv[i] = by_v - out;
  }
}

}  // namespace espalier::model
