// When two times are one: forward and adjoint runs compute the same time with different rounding.
#pragma once

#include <algorithm>
#include <cmath>

namespace espalier::model {

/// Relative to the largest |t| of a run, not to t: 0 and 1e-17 are one time in a run up to 1.
constexpr double time_rounding = 1e-12;

/// How far from t a time may be that counts as t; `largest`: the largest |t| so far.
inline double time_tolerance(double t, double largest) { return time_rounding * std::max(std::abs(t), largest); }

}  // namespace espalier::model
