#include "espalier/data/spectrum.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>
#include <random>

#include "espalier/core/error.hpp"

using namespace espalier;
namespace tt = boost::test_tools;

namespace {
constexpr double two_pi = 6.283185307179586476925;
}

BOOST_AUTO_TEST_SUITE(data_spectrum, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(a_wave_has_its_energy_in_its_mode) {
  // u = 0.5 + 3 cos(2 q x + 1) and, in a second state, cos of the highest mode: mean energies by hand.
  std::vector<double> states;
  for (int i = 0; i < 8; ++i) states.push_back(0.5 + 3 * std::cos(two_pi * 2 * i / 8 + 1));
  for (int i = 0; i < 8; ++i) states.push_back(i % 2 ? -2 : 2);
  const data::Spectrum spectrum = data::energy_spectrum(states.data(), 2, 8, 4.0);
  BOOST_TEST(spectrum.wavenumber.size() == 5u);
  BOOST_TEST(spectrum.wavenumber[2] == two_pi * 2 / 4, tt::tolerance(1e-15));
  BOOST_TEST(spectrum.energy[0] == 0.5 * 0.125, tt::tolerance(1e-13));
  BOOST_TEST(spectrum.energy[1] < 1e-28);
  BOOST_TEST(spectrum.energy[2] == 0.5 * 2.25, tt::tolerance(1e-13));
  BOOST_TEST(spectrum.energy[4] == 0.5 * 2.0, tt::tolerance(1e-13));
}

BOOST_AUTO_TEST_CASE(energies_sum_to_half_the_mean_square) {
  std::mt19937_64 generator(1);
  for (const std::size_t d : {8u, 9u}) {
    io::Series series;
    series.dof = d;
    double square = 0;
    for (std::size_t i = 0; i < 5 * d; ++i) {
      series.states.push_back(std::ldexp(static_cast<double>(generator() >> 11), -53));
      square += series.states.back() * series.states.back();
    }
    for (std::size_t i = 0; i < d; ++i) series.coordinates.push_back(0.25 * static_cast<double>(i));
    series.times = {0, 1, 2, 3, 4};
    const data::Spectrum spectrum = data::energy_spectrum(series);
    BOOST_TEST(std::accumulate(spectrum.energy.begin(), spectrum.energy.end(), 0.0) ==
                   0.5 * square / static_cast<double>(5 * d),
               tt::tolerance(1e-13));
    BOOST_TEST(spectrum.wavenumber[1] == two_pi / (0.25 * static_cast<double>(d)), tt::tolerance(1e-14));
    // The same states as one of each of five trajectories.
    series.trajectories = 5;
    series.times = {0};
    BOOST_TEST(data::energy_spectrum(series).energy == spectrum.energy);
  }
}

BOOST_AUTO_TEST_CASE(sizes_that_do_not_agree_are_refused) {
  const std::vector<double> four = {1, 2, 3, 4};
  BOOST_CHECK_THROW(data::energy_spectrum(four.data(), 0, 4, 1), UserError);
  BOOST_CHECK_THROW(data::energy_spectrum(four.data(), 1, 4, 0), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
