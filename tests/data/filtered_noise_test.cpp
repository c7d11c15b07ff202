#include "espalier/data/filtered_noise.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "espalier/core/error.hpp"

using namespace espalier;
using data::filtered_noise;
using data::FilteredNoiseSettings;
namespace utf = boost::unit_test;

namespace {

using Numbers = std::vector<double>;

/// |mode (k_x, k_y)| of [rows, columns], by definition.
double mode(const Numbers& u, std::size_t columns, std::size_t rows, int k_x, int k_y) {
  double real = 0;
  double imaginary = 0;
  for (std::size_t j = 0; j < rows; ++j)
    for (std::size_t i = 0; i < columns; ++i) {
      const double phase = 2 * M_PI *
                           (k_x * static_cast<double>(i) / static_cast<double>(columns) +
                            k_y * static_cast<double>(j) / static_cast<double>(rows));
      real += u[j * columns + i] * std::cos(phase);
      imaginary += u[j * columns + i] * std::sin(phase);
    }
  return std::hypot(real, imaginary) / static_cast<double>(columns * rows);
}

double mean_product(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum / static_cast<double>(a.size());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_filtered_noise, *utf::label("unit") * utf::label("prdp") * utf::label("np1"))

BOOST_AUTO_TEST_CASE(modes_up_to_the_cut_off_and_no_others) {
  const FilteredNoiseSettings settings{14, 11, 3, 7};
  const Numbers u = filtered_noise(settings, 2);
  for (int k_x = -5; k_x <= 6; ++k_x)
    for (int k_y = -5; k_y <= 5; ++k_y) {
      const int square = k_x * k_x + k_y * k_y;
      if (square > 0 && square <= 9) {
        BOOST_TEST(mode(u, 14, 11, k_x, k_y) > 1e-4);
      } else {
        BOOST_TEST(mode(u, 14, 11, k_x, k_y) <= 1e-14);
      }
    }
  BOOST_TEST(std::abs(mean_product(u, u) - 1) <= 1e-13);
}

BOOST_AUTO_TEST_CASE(a_field_is_one_function_on_all_grids) {
  const Numbers coarse = filtered_noise({10, 9, 4, 3}, 5);
  const Numbers fine = filtered_noise({20, 27, 4, 3}, 5);
  for (std::size_t j = 0; j < 9; ++j)
    for (std::size_t i = 0; i < 10; ++i) BOOST_TEST(std::abs(coarse[10 * j + i] - fine[20 * 3 * j + 2 * i]) <= 1e-13);
}

// Over 400 fields: amplitudes of all directions are alike, and no two fields are.
BOOST_AUTO_TEST_CASE(fields_are_independent_and_isotropic) {
  constexpr std::size_t count = 400;
  double along_x = 0;
  double along_y = 0;
  double diagonal = 0;
  double correlation = 0;
  Numbers last = filtered_noise({9, 9, 2, 11}, count);
  for (std::size_t n = 0; n < count; ++n) {
    const Numbers u = filtered_noise({9, 9, 2, 11}, n);
    along_x += std::pow(mode(u, 9, 9, 2, 0), 2);
    along_y += std::pow(mode(u, 9, 9, 0, 1), 2);
    diagonal += std::pow(mode(u, 9, 9, 1, -1), 2);
    correlation += mean_product(u, last) / count;
    last = u;
  }
  // 12 modes share the square of 1; the standard error of each of these is 5 %.
  for (const double power : {along_x, along_y, diagonal}) BOOST_TEST(std::abs(power / count - 1.0 / 12) < 0.02);
  BOOST_TEST(std::abs(correlation) < 0.06);
  BOOST_TEST(filtered_noise({9, 9, 2, 11}, 0) != filtered_noise({9, 9, 2, 12}, 0));
}

BOOST_AUTO_TEST_CASE(cut_offs_that_the_grid_cannot_hold_are_refused) {
  BOOST_CHECK_THROW(filtered_noise({16, 16, 0, 1}, 0), UserError);
  BOOST_CHECK_THROW(filtered_noise({16, 8, 4, 1}, 0), UserError);
  BOOST_CHECK_NO_THROW(filtered_noise({16, 9, 4, 1}, 0));
}

BOOST_AUTO_TEST_SUITE_END()
