// Evidence for a gradient: dot-product test of a term, Taylor test of an objective.
#pragma once

#include <petscvec.h>

#include <functional>
#include <string>
#include <vector>

#include "espalier/model/term.hpp"

namespace espalier::model {

/// Relative error of <w, J v> = <J^T w, v> for random v and w (seeded) at (t, u): |difference| / (|w| |J v|).
/// Collective on the communicator of u.
double dot_product_error(Term& term, double t, Vec u, unsigned seed);

/// Remainders of the Taylor expansion along one direction, |f(x + e d) - f(x) - e <gradient, d>|.
struct TaylorTest {
  std::vector<double> steps;       ///< e
  std::vector<double> remainders;  ///< should fall like e^2
  std::vector<double> slopes;      ///< log2 of successive remainders; one fewer than steps
  double reference = 0;            ///< |f(x)|, the scale of rounding errors
  /// The gradient is right: the slope over the steps above rounding level is 2 to within `tolerance`, or everything is
  /// at rounding level.
  bool passed(double tolerance = 0.1) const;
  /// Mean slope over the steps above rounding level.
  double slope() const;
};

/// `value(e)` returns f(x + e d); `derivative` is <gradient at x, d>. Steps e = first, first/2, ..., `count` of them.
TaylorTest taylor_test(const std::function<double(double)>& value, double derivative, double first = 1e-1,
                       int count = 8);

}  // namespace espalier::model
