#include "espalier/data/etdrk4.hpp"

#include <cmath>

#include "espalier/core/error.hpp"

namespace espalier::data {

using Complex = std::complex<double>;

Etdrk4Coefficients etdrk4_coefficients(const std::vector<Complex>& symbol, double step, int half_points) {
  constexpr double pi = 3.14159265358979323846;
  const std::size_t n = symbol.size();
  Etdrk4Coefficients k{std::vector<Complex>(n), std::vector<Complex>(n), std::vector<Complex>(n),
                       std::vector<Complex>(n), std::vector<Complex>(n), std::vector<Complex>(n)};
  for (std::size_t i = 0; i < n; ++i) {
    const Complex z0 = step * symbol[i];
    Complex q = 0, f1 = 0, f2 = 0, f3 = 0;
    for (int j = 0; j < 2 * half_points; ++j) {
      const Complex z = z0 + std::polar(1.0, pi * (j + 0.5) / half_points);
      const Complex e = std::exp(z);
      const Complex z3 = z * z * z;
      // q  = (e^(z/2) - 1) / z
      // f1 = (-4 - z + e^z (4 - 3z + z^2)) / z^3
      // f2 = (2 + z + e^z (-2 + z)) / z^3
      // f3 = (-4 - 3z - z^2 + e^z (4 - z)) / z^3
      q += (std::exp(0.5 * z) - 1.0) / z;
      f1 += (-4.0 - z + e * (4.0 - 3.0 * z + z * z)) / z3;
      f2 += (2.0 + z + e * (z - 2.0)) / z3;
      f3 += (-4.0 - 3.0 * z - z * z + e * (4.0 - z)) / z3;
    }
    const double weight = step / (2 * half_points);
    const bool real = symbol[i].imag() == 0;
    const auto mean = [&](Complex sum) { return real ? Complex(weight * sum.real(), 0) : weight * sum; };
    k.e[i] = std::exp(z0);
    k.e_half[i] = std::exp(0.5 * z0);
    k.q[i] = mean(q);
    k.f1[i] = mean(f1);
    k.f2[i] = mean(f2);
    k.f3[i] = mean(f3);
  }
  return k;
}

Etdrk4::Etdrk4(const std::vector<Complex>& symbol, double step, Nonlinear nonlinear)
    : nonlinear_(std::move(nonlinear)) {
  ESPALIER_REQUIRE(std::isfinite(step) && step > 0, "ETDRK4: the step is " + std::to_string(step) + ", not positive");
  coefficients_ = etdrk4_coefficients(symbol, step);
  for (auto* work : {&a_, &b_, &c_, &nv_, &na_, &nb_, &nc_}) work->resize(symbol.size());
}

void Etdrk4::step(Complex* v) {
  const auto& [e, e_half, q, f1, f2, f3] = coefficients_;
  const std::size_t n = e.size();
  // a = e^(ch/2) v + q N(v)
  nonlinear_(v, nv_.data());
  for (std::size_t i = 0; i < n; ++i) a_[i] = e_half[i] * v[i] + q[i] * nv_[i];
  // b = e^(ch/2) v + q N(a)
  nonlinear_(a_.data(), na_.data());
  for (std::size_t i = 0; i < n; ++i) b_[i] = e_half[i] * v[i] + q[i] * na_[i];
  // c = e^(ch/2) a + q (2 N(b) - N(v))
  nonlinear_(b_.data(), nb_.data());
  for (std::size_t i = 0; i < n; ++i) c_[i] = e_half[i] * a_[i] + q[i] * (2.0 * nb_[i] - nv_[i]);
  // v <- e^(ch) v + f1 N(v) + 2 f2 (N(a) + N(b)) + f3 N(c)
  nonlinear_(c_.data(), nc_.data());
  for (std::size_t i = 0; i < n; ++i)
    v[i] = e[i] * v[i] + f1[i] * nv_[i] + 2.0 * f2[i] * (na_[i] + nb_[i]) + f3[i] * nc_[i];
}

}  // namespace espalier::data
