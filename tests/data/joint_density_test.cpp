#include "espalier/data/joint_density.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"

using namespace espalier;
using data::Bins;
using data::JointDensity;
namespace tt = boost::test_tools;
namespace utf = boost::unit_test;

namespace {

constexpr double two_pi = 6.283185307179586476925;

JointDensity counted(const std::vector<double>& a, const std::vector<double>& b) {
  JointDensity density({0, 2, 2}, {0, 1, 2});
  density.add(a.data(), b.data(), a.size());
  return density;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_joint_density, *utf::label("unit") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(a_sine_wave_has_the_density_of_an_ellipse) {
  // u = 3 sin(2 q x + phase): (u_x, u_xx) = (6 q cos, -12 q^2 sin). At 360 phases, half a degree off the axes, |cos| is
  // below 1/2 for a third of them, and so is |sin|.
  constexpr std::size_t n = 360;
  constexpr double length = 4;
  constexpr double q = two_pi / length;
  std::vector<double> u(n);
  for (std::size_t i = 0; i < n; ++i) u[i] = 3 * std::sin(two_pi * (2 * static_cast<double>(i) / n + 0.5 / 360));
  const data::Derivatives d = data::periodic_derivatives(u.data(), 1, n, length);
  for (std::size_t i = 0; i < n; ++i) {
    BOOST_TEST(d.second[i] == -4 * q * q * u[i], tt::tolerance(1e-9));
    BOOST_TEST(std::hypot(d.first[i] / (6 * q), d.second[i] / (12 * q * q)) == 1.0, tt::tolerance(1e-9));
  }
  BOOST_TEST(d.first[0] == 6 * q * std::cos(two_pi * 0.5 / 360), tt::tolerance(1e-9));

  JointDensity density({-6 * q, 6 * q, 4}, {-12 * q * q, 12 * q * q, 4});
  density.add(d.first.data(), d.second.data(), n);
  BOOST_TEST(density.outside() == 0.0);
  const std::vector<double> p = density.density();
  const double area = density.first().width() * density.second().width();
  const auto part = [&](std::size_t i, std::size_t j) { return p[4 * i + j] * area; };
  for (const std::size_t i : {0u, 3u}) {
    BOOST_TEST(part(i, 1) == 1.0 / 12, tt::tolerance(1e-12));
    BOOST_TEST(part(i, 0) == 1.0 / 12, tt::tolerance(1e-12));
    BOOST_TEST(part(1, i) == 1.0 / 12, tt::tolerance(1e-12));
  }
  BOOST_TEST(part(1, 1) == 0.0);  // inside the ellipse
}

BOOST_AUTO_TEST_CASE(derivatives_of_the_highest_mode_and_of_several_states) {
  const std::vector<double> states = {1, -1, 1, -1, 5, 5, 5, 5};
  const data::Derivatives d = data::periodic_derivatives(states.data(), 2, 4, two_pi);
  const std::vector<double> second = {-4, 4, -4, 4, 0, 0, 0, 0};
  for (std::size_t i = 0; i < 8; ++i) {
    BOOST_TEST(std::abs(d.first[i]) < 1e-14);
    BOOST_TEST(std::abs(d.second[i] - second[i]) < 1e-14);
  }
}

BOOST_AUTO_TEST_CASE(what_lies_outside_is_counted) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  // Edges belong to the upper bin, the last one to the last bin.
  const JointDensity density = counted({0, 1, 2, 2.1, nan, 0.5, 0.5, 0.5}, {0, 0.5, 1, 0.5, 0.5, -1, nan, 0.7});
  BOOST_TEST(density.total() == 8.0);
  BOOST_TEST(density.outside() == 0.5);
  const std::vector<double> each = {0.25, 0.25, 0, 0.5};  // counts 1, 1, 0, 2 of 8 on bins of area 1/2
  BOOST_TEST(density.density() == each, tt::per_element());
  BOOST_TEST((Bins{0, 2, 2}.centres() == std::vector<double>{0.5, 1.5}));
}

BOOST_AUTO_TEST_CASE(distances_between_known_densities) {
  const JointDensity p = counted({0.5, 0.5, 0.5, 1.5}, {0.2, 0.2, 0.2, 0.2});
  const JointDensity q = counted({0.5, 1.5}, {0.2, 0.2});
  const JointDensity other = counted({0.5}, {0.7});
  const JointDensity away = counted({-1}, {-1});
  BOOST_TEST(distance(p, p) == 0.0);
  BOOST_TEST(distance(p, q) == 0.5);  // |3/4 - 1/2| + |1/4 - 1/2|
  BOOST_TEST(distance(q, p) == 0.5);
  BOOST_TEST(distance(p, other) == 2.0);
  BOOST_TEST(distance(p, away) == 2.0);
  BOOST_TEST(distance(away, away) == 0.0);
}

BOOST_AUTO_TEST_CASE(ranks_add_up, *utf::label("np1") * utf::label("np2")) {
  const int rank = testing::rank_of();
  const int size = testing::size_of();
  JointDensity mine = rank == 0 ? counted({0.5, 1.5}, {0.2, 0.2}) : counted({1.5, 9}, {0.7, 9});
  mine.reduce(MPI_COMM_WORLD);
  BOOST_TEST(mine.total() == 2.0 * size);
  BOOST_TEST(mine.density()[0] == 1.0 / size, tt::tolerance(1e-15));
  BOOST_TEST(mine.outside() == 0.5 * (size - 1) / size);
}

BOOST_AUTO_TEST_CASE(bins_that_make_no_sense_are_refused) {
  BOOST_TEST(data::bins_over({3, -1, 2}, 8).low == -1.0);
  BOOST_TEST(data::bins_over({3, -1, 2}, 8).width() == 0.5);
  BOOST_CHECK_THROW(data::bins_over({}, 8), UserError);
  BOOST_CHECK_THROW(data::bins_over({1, 1}, 8), UserError);
  BOOST_CHECK_THROW(data::bins_over({1, INFINITY}, 8), UserError);
  BOOST_CHECK_THROW(JointDensity({0, 1, 0}, {0, 1, 1}), UserError);
  const JointDensity empty({0, 2, 2}, {0, 1, 2});
  BOOST_CHECK_THROW(empty.density(), UserError);
  BOOST_CHECK_THROW(distance(empty, empty), UserError);
  JointDensity other({0, 3, 2}, {0, 1, 2});
  BOOST_CHECK_THROW(distance(counted({1}, {0.5}), other), UserError);
  BOOST_CHECK_THROW(data::periodic_derivatives(nullptr, 0, 1, 1), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
