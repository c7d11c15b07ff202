// A linear right-hand side that can solve with itself: what makes the stages of an IMEX method cheap.
#pragma once

#include "espalier/model/term.hpp"

namespace espalier::model {

/// f(u) = A(theta) u. As the implicit part of a system it needs one solve per stage and no Newton iterations.
class LinearOperator : public Term {
 public:
  bool affine() const override { return true; }
  /// Whether solve() works; if not, the integrator's KSP solves on the shell matrix shift I - A.
  virtual bool solves_directly() const = 0;
  /// X = (shift I - A)^-1 B, or with A^T. Throws NumericalError when shift I - A is singular.
  virtual void solve(double shift, Vec b, Vec x, bool transpose) = 0;
  /// Factorisations made since construction.
  virtual long factorisations() const { return 0; }
};

}  // namespace espalier::model
