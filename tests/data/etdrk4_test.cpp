#include "espalier/data/etdrk4.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "espalier/core/error.hpp"

using namespace espalier;
using Complex = std::complex<double>;
using LongComplex = std::complex<long double>;

namespace {

// v' = c v - v^2 has the solution c v0 e^(ct) / (c + v0 (e^(ct) - 1)).
Complex bernoulli(Complex c, Complex v0, double t) {
  const Complex growth = std::exp(c * t);
  return c * v0 * growth / (c + v0 * (growth - 1.0));
}

void minus_square(const Complex* v, Complex* result, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) result[i] = -v[i] * v[i];
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_etdrk4, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(coefficients_agree_with_their_formulas) {
  // Where |c h| is not small the formulas themselves are accurate in extended precision.
  const double h = 0.5;
  const std::vector<Complex> symbol = {{-3, 0}, {0, 4}, {1.5, -2}, {-200, 0}, {-40, 30}};
  const data::Etdrk4Coefficients k = data::etdrk4_coefficients(symbol, h);
  for (std::size_t i = 0; i < symbol.size(); ++i) {
    const LongComplex z = static_cast<long double>(h) * LongComplex(symbol[i]);
    const LongComplex e = std::exp(z);
    const LongComplex z3 = z * z * z;
    const long double one = 1;
    const auto close = [&](Complex found, LongComplex formula) {
      return std::abs(LongComplex(found) - static_cast<long double>(h) * formula) < 1e-14L;
    };
    BOOST_TEST(close(k.q[i], (std::exp(z / 2.0L) - one) / z));
    BOOST_TEST(close(k.f1[i], (-4 * one - z + e * (4 * one - 3 * one * z + z * z)) / z3));
    BOOST_TEST(close(k.f2[i], (2 * one + z + e * (z - 2 * one)) / z3));
    BOOST_TEST(close(k.f3[i], (-4 * one - 3 * one * z - z * z + e * (4 * one - z)) / z3));
    BOOST_TEST(std::abs(k.e[i] - std::exp(h * symbol[i])) < 1e-15);
    BOOST_TEST(std::abs(k.e_half[i] * k.e_half[i] - k.e[i]) < 1e-15);
  }
}

BOOST_AUTO_TEST_CASE(coefficients_are_those_of_runge_kutta_where_the_linear_part_vanishes) {
  // Limits for c h -> 0: q = h / 2 and f1 = f2 = f3 = h / 6, the classical method of fourth order.
  const double h = 0.5;
  const data::Etdrk4Coefficients k = data::etdrk4_coefficients({{0, 0}, {1e-9, 0}}, h);
  for (std::size_t i = 0; i < 2; ++i) {
    BOOST_TEST(std::abs(k.q[i] - h / 2) < 1e-9);
    for (const Complex f : {k.f1[i], k.f2[i], k.f3[i]}) BOOST_TEST(std::abs(f - h / 6) < 1e-9);
  }
  BOOST_TEST(std::abs(k.f1[0] - h / 6) < 1e-15);
  BOOST_TEST(k.f1[0].imag() == 0.0);
}

BOOST_AUTO_TEST_CASE(a_linear_system_is_exact) {
  const std::vector<Complex> symbol = {{-1000, 0}, {0, 7}, {0.5, 1}, {0, 0}};
  data::Etdrk4 integrator(symbol, 0.1, [](const Complex*, Complex* result) { std::fill_n(result, 4, Complex(0)); });
  std::vector<Complex> v(4, Complex(1, -1));
  for (int i = 0; i < 10; ++i) integrator.step(v.data());
  for (std::size_t i = 0; i < 4; ++i) BOOST_TEST(std::abs(v[i] - Complex(1, -1) * std::exp(symbol[i])) < 1e-14);
}

BOOST_AUTO_TEST_CASE(the_error_is_of_fourth_order) {
  const std::vector<Complex> symbol = {{1, 0}, {-2, 3}, {0.1, -1}};
  const std::vector<Complex> start = {{0.3, 0}, {0.5, -0.2}, {0.2, 0.6}};
  std::vector<double> previous(3, 0);
  for (const int steps : {16, 32, 64}) {
    data::Etdrk4 integrator(symbol, 2.0 / steps, [](const Complex* v, Complex* result) { minus_square(v, result, 3); });
    std::vector<Complex> v = start;
    for (int i = 0; i < steps; ++i) integrator.step(v.data());
    for (std::size_t i = 0; i < 3; ++i) {
      const double error = std::abs(v[i] - bernoulli(symbol[i], start[i], 2));
      if (previous[i] > 0) BOOST_TEST(std::log2(previous[i] / error) == 4.0, boost::test_tools::tolerance(0.05));
      previous[i] = error;
    }
  }
}

BOOST_AUTO_TEST_CASE(a_step_that_is_not_positive_is_refused) {
  const auto nothing = [](const Complex*, Complex*) {};
  for (const double step : {0.0, -0.1, std::nan("")})
    BOOST_CHECK_THROW(data::Etdrk4({Complex(1)}, step, nothing), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
