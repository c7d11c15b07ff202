#include "espalier/data/fourier.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "espalier/core/error.hpp"

using namespace espalier;
using Complex = std::complex<double>;

namespace {

constexpr double two_pi = 6.283185307179586476925;

// A trigonometric polynomial of degree 3 with a mean, at n points.
std::vector<double> polynomial(std::size_t n) {
  std::vector<double> u(n);
  for (std::size_t j = 0; j < n; ++j) {
    const double x = two_pi * static_cast<double>(j) / static_cast<double>(n);
    u[j] = 0.3 + std::cos(x) - 0.5 * std::sin(2 * x) + 0.25 * std::cos(3 * x + 1);
  }
  return u;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_fourier, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(agrees_with_the_sum_that_defines_it) {
  for (const std::size_t n : {2u, 9u, 16u}) {
    data::RealFourier fourier(n);
    const std::vector<double> u = polynomial(n);
    std::vector<Complex> modes(fourier.modes());
    fourier.forward(u.data(), modes.data());
    BOOST_TEST(fourier.modes() == n / 2 + 1);
    for (std::size_t k = 0; k < modes.size(); ++k) {
      Complex sum = 0;
      for (std::size_t j = 0; j < n; ++j)
        sum += u[j] * std::polar(1.0, -two_pi * static_cast<double>(j * k) / static_cast<double>(n));
      BOOST_TEST(std::abs(sum - modes[k]) < 1e-13);
    }
    std::vector<double> back(n);
    fourier.inverse(modes.data(), back.data());
    BOOST_TEST(largest_difference(back, u) < 1e-15);
  }
}

BOOST_AUTO_TEST_CASE(gives_the_same_bits_for_any_alignment) {
  data::RealFourier first(64);
  data::RealFourier second(64);
  const std::vector<double> u = polynomial(64);
  std::vector<double> shifted(65);
  std::copy(u.begin(), u.end(), shifted.begin() + 1);
  std::vector<Complex> a(33);
  std::vector<Complex> b(33);
  first.forward(u.data(), a.data());
  second.forward(shifted.data() + 1, b.data());
  BOOST_TEST((a == b));
}

BOOST_AUTO_TEST_CASE(resampling_is_exact_for_what_both_grids_resolve) {
  for (const std::size_t n : {8u, 9u, 20u})
    for (const std::size_t m : {7u, 8u, 16u, 33u}) {
      BOOST_TEST(largest_difference(data::resample_periodic(polynomial(n), m), polynomial(m)) < 1e-14);
    }
}

BOOST_AUTO_TEST_CASE(the_highest_mode_keeps_its_height_when_resampled) {
  const std::vector<double> saw = {1, -1, 1, -1};  // cos(2 x), the highest mode of four points
  const std::vector<double> fine = data::resample_periodic(saw, 8);
  BOOST_TEST(largest_difference(fine, {1, 0, -1, 0, 1, 0, -1, 0}) < 1e-15);
  BOOST_TEST(largest_difference(data::resample_periodic(fine, 4), saw) < 1e-15);
}

BOOST_AUTO_TEST_CASE(too_few_points_are_refused) {
  BOOST_CHECK_THROW(data::RealFourier(1), UserError);
  BOOST_CHECK_THROW(data::resample_periodic({1, 2, 3}, 0), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
