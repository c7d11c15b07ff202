// Exponential time differencing of fourth order for diagonal linear parts: v' = c v + N(v), component by component.
//
// S. M. Cox, P. C. Matthews, J. Comput. Phys. 176 (2002) 430, eqs. 26-29; coefficients by contour integrals as in
// A.-K. Kassam, L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214, section 3.
#pragma once

#include <complex>
#include <cstddef>
#include <functional>
#include <vector>

namespace espalier::data {

/// Coefficients of one ETDRK4 step, an array entry for each component.
struct Etdrk4Coefficients {
  std::vector<std::complex<double>> e;       ///< exp(c h)
  std::vector<std::complex<double>> e_half;  ///< exp(c h / 2)
  std::vector<std::complex<double>> q;       ///< h (exp(c h / 2) - 1) / (c h)
  std::vector<std::complex<double>> f1;      ///< weight of N at the old state
  std::vector<std::complex<double>> f2;      ///< half the weight of each middle stage
  std::vector<std::complex<double>> f3;      ///< weight of the last stage
};

/// The mean over a circle of radius 1 about c h of each formula: stable where c h is near 0. `half_points` = M points
/// on each half of the circle (32 in Kassam & Trefethen). Coefficients of a real c are exactly real.
Etdrk4Coefficients etdrk4_coefficients(const std::vector<std::complex<double>>& symbol, double step,
                                       int half_points = 32);

/// Steps v' = symbol v + N(v) in place. Allocates when constructed only. Cost per step: 4 calls of N.
class Etdrk4 {
 public:
  using Complex = std::complex<double>;
  /// Puts N(v) into `result`, which has as many components as the symbol.
  using Nonlinear = std::function<void(const Complex* v, Complex* result)>;

  /// Throws UserError unless step > 0 and finite.
  Etdrk4(const std::vector<Complex>& symbol, double step, Nonlinear nonlinear);

  /// One step: `v` has as many components as the symbol.
  void step(Complex* v);

  std::size_t size() const { return coefficients_.e.size(); }

 private:
  Etdrk4Coefficients coefficients_;
  Nonlinear nonlinear_;
  std::vector<Complex> a_, b_, c_, nv_, na_, nb_, nc_;
};

}  // namespace espalier::data
