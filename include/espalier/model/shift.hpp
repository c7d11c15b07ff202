// The shifts of linear solves in time integration, compared.
#pragma once

#include <cmath>

namespace espalier::model {

/// A shift 1 / (a h) rounded to 41 bits, a relative change of at most 2.3e-13. Forward and adjoint steps compute the
/// shift of the same step with different roundings, and should share one factorisation. It belongs to the rounded
/// shift, so that its bits do not depend on who asked for it first.
inline double rounded_shift(double shift) {
  constexpr int bits = 41;
  int exponent = 0;
  const double mantissa = std::frexp(shift, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits);
}

}  // namespace espalier::model
