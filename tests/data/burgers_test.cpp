#include "espalier/data/burgers.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <complex>
#include <numeric>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "espalier/data/fourier.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using data::Burgers;
using data::BurgersSettings;
using testing::mentions;
namespace tt = boost::test_tools;
namespace utf = boost::unit_test;

namespace {

using State = std::vector<double>;
constexpr double two_pi = 6.283185307179586476925;

State flow(const State& u, double viscosity, double time, double step) {
  Burgers solver(u.size(), 1, viscosity, step);
  solver.set(u);
  solver.advance(static_cast<std::size_t>(std::llround(time / step)));
  return solver.get();
}

State sine(std::size_t n) {
  State u(n);
  for (std::size_t i = 0; i < n; ++i) u[i] = std::sin(two_pi * static_cast<double>(i) / static_cast<double>(n));
  return u;
}

// The solution that starts from sin(2 pi x), L = 1 (Cole 1951, Hopf 1950): u = -2 nu p_x / p, p_t = nu p_xx, so that
//   u(x, t) = integral of (y / t) w / integral of w,   w(y) = p(x - y, 0) exp(-y^2 / (4 nu t)),
//   p(x, 0) = exp(-1/(2 nu) integral of sin) ~ exp(cos(2 pi x) / (4 pi nu)).
// The trapezoidal rule on the whole line converges faster than any power; no term of the denominator is negative.
double cole_hopf(double x, double viscosity, double time) {
  constexpr int half_points = 2000;
  const double z = 1 / (2 * two_pi * viscosity);
  const double range = std::sqrt(4 * viscosity * time * (40 + 2 * z));  // w has fallen below 1e-17 of its peak there
  double numerator = 0;
  double denominator = 0;
  for (int j = -half_points; j <= half_points; ++j) {
    const double y = range * j / half_points;
    const double w = std::exp(z * (std::cos(two_pi * (x - y)) - 1) - y * y / (4 * viscosity * time));
    numerator += y / time * w;
    denominator += w;
  }
  return numerator / denominator;
}

State exact_flow(std::size_t n, double viscosity, double time) {
  State u(n);
  for (std::size_t i = 0; i < n; ++i)
    u[i] = cole_hopf(static_cast<double>(i) / static_cast<double>(n), viscosity, time);
  return u;
}

double relative_difference(const double* a, const double* b, std::size_t n) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < n; ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

double relative_difference(const State& a, const State& b) { return relative_difference(a.data(), b.data(), b.size()); }

// The largest over trajectories and times.
double relative_difference(const io::Series& a, const io::Series& b) {
  BOOST_REQUIRE(a.states.size() == b.states.size());
  double largest = 0;
  for (std::size_t r = 0; r < b.trajectories; ++r)
    for (std::size_t i = 0; i < b.count(); ++i)
      largest = std::max(largest, relative_difference(a.state(r, i), b.state(r, i), b.dof));
  return largest;
}

double mean(const double* u, std::size_t n) { return std::accumulate(u, u + n, 0.0) / static_cast<double>(n); }

// <u^2> / 2
double energy(const double* u, std::size_t n) {
  return std::inner_product(u, u + n, u, 0.0) / (2 * static_cast<double>(n));
}

// Viscous enough for a grid of 128 points; a tenth of a second.
BurgersSettings short_run() {
  BurgersSettings settings;
  settings.points = 64;
  settings.viscosity = 0.02;
  settings.trajectories = 3;
  settings.count = 6;
  return settings;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_burgers, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(agrees_with_the_exact_solution_of_a_sine) {
  // Measured, relative error (512 points), at 0.2, when the front is steepest, and at 1:
  //   viscosity 0.01, step 0.002: 2.2e-8, 2.0e-10; 0.001: 1.4e-9, 1.3e-11; 0.0005: 9.1e-11, 8.6e-13
  //   viscosity 0.005, step 0.0005: 7.6e-10, 4.1e-12
  BOOST_TEST(relative_difference(flow(sine(512), 0.01, 0.2, 0.0005), exact_flow(512, 0.01, 0.2)) < 2e-10);
  BOOST_TEST(relative_difference(flow(sine(512), 0.01, 1, 0.0005), exact_flow(512, 0.01, 1)) < 2e-12);
  BOOST_TEST(relative_difference(flow(sine(512), 0.005, 0.2, 0.0005), exact_flow(512, 0.005, 0.2)) < 1.5e-9);
}

BOOST_AUTO_TEST_CASE(the_error_is_of_fourth_order_in_the_step) {
  const State exact = exact_flow(512, 0.01, 0.2);
  const auto error = [&](double step) { return relative_difference(flow(sine(512), 0.01, 0.2, step), exact); };
  BOOST_TEST(std::log2(error(0.002) / error(0.001)) == 4.0, tt::tolerance(0.03));
}

BOOST_AUTO_TEST_CASE(a_moving_observer_sees_the_same_flow) {
  // u(x - c t, t) + c is a solution if u is. c t = 32 grid spacings.
  const double time = 0.25;
  const double c = 32.0 / 256 / time;
  State moved = sine(256);
  for (double& value : moved) value += c;
  State expected = flow(sine(256), 0.02, time, 0.0005);
  std::rotate(expected.rbegin(), expected.rbegin() + 32, expected.rend());
  for (double& value : expected) value += c;
  BOOST_TEST(relative_difference(flow(moved, 0.02, time, 0.0005), expected) < 1e-9);
}

BOOST_AUTO_TEST_CASE(the_default_step_and_points_are_converged) {
  // Measured, largest relative change of a state up to t = 1.5 (2 trajectories) and, in brackets, 5 (10 trajectories):
  //   step halved: 2.2e-8 (5.0e-8), points doubled: 1.8e-11 (1.8e-11)
  // and against 8192 points and step 0.0001, up to t = 1.5 (4 trajectories):
  //   1024 points: 5.3e-4, 2048: 1.6e-6, 4096: 1.8e-11; step 0.002: 9.6e-5, 0.001: 1.0e-5, 0.0005: 8.2e-7
  BurgersSettings settings;
  settings.trajectories = 2;
  settings.count = 16;
  const std::size_t points = data::solver_points(settings);
  const double step = data::solver_step(settings);
  BOOST_TEST(points == 4096u);
  BOOST_TEST(step == 0.00025, tt::tolerance(1e-14));
  const io::Series series = data::generate_burgers(settings);
  settings.step = step / 2;
  BOOST_TEST(relative_difference(series, data::generate_burgers(settings)) < 1e-7);
  settings.step = step;
  settings.inner_points = 2 * points;
  BOOST_TEST(relative_difference(series, data::generate_burgers(settings)) < 1e-9);
}

BOOST_AUTO_TEST_CASE(the_automatic_step_and_points_hold_for_other_settings) {
  // Measured: step halved 2.5e-9, 1.2e-11, 5.2e-8, 2.4e-8, 1.4e-9; points doubled at most 1.2e-10.
  const auto check = [](double viscosity, double amplitude, std::size_t modes) {
    BurgersSettings settings;
    settings.trajectories = 2;
    settings.count = 11;
    settings.viscosity = viscosity;
    settings.amplitude = amplitude;
    settings.modes = modes;
    settings.points = 64;
    const io::Series series = data::generate_burgers(settings);
    const std::size_t points = data::solver_points(settings);
    const double step = data::solver_step(settings);
    settings.step = step / 2;
    BOOST_TEST(relative_difference(series, data::generate_burgers(settings)) < 3e-7);
    settings.step = step;
    settings.inner_points = 2 * points;
    BOOST_TEST(relative_difference(series, data::generate_burgers(settings)) < 1e-9);
  };
  check(0.01, 1, 4);
  check(0.01, 1, 16);
  check(8e-4, 0.2, 4);
  check(0.05, 1, 1);
  check(0.05, 1, 16);
}

BOOST_AUTO_TEST_CASE(the_mean_is_conserved) {
  State start = data::initial_state({}, 0, 1024);
  for (double& value : start) value += 0.3;
  const State end = flow(start, 0.004, 1, 0.001);
  BOOST_TEST(std::abs(mean(end.data(), end.size()) - 0.3) < 1e-14);
  BOOST_TEST(relative_difference(end, start) > 0.1);
}

BOOST_AUTO_TEST_CASE(without_viscosity_the_kept_modes_keep_their_energy) {
  // True of the 2/3 rule only: aliased products change the energy as soon as the front reaches the last mode.
  for (const std::size_t n : {64u, 63u, 65u}) {
    const State start = sine(n);
    const State end = flow(start, 1e-12, 0.5, 0.0005);
    BOOST_TEST(relative_difference(end, start) > 0.1);
    BOOST_TEST(energy(end.data(), n) == energy(start.data(), n), tt::tolerance(1e-7));
  }
}

BOOST_AUTO_TEST_CASE(the_energy_never_grows_and_shocks_form) {
  BurgersSettings settings;
  settings.trajectories = 3;
  settings.count = 11;
  settings.inner_points = 2048;
  settings.step = 0.0005;
  const io::Series series = data::generate_burgers(settings);
  const double spacing = series.coordinates[1] - series.coordinates[0];
  for (std::size_t r = 0; r < settings.trajectories; ++r) {
    for (std::size_t i = 1; i < series.count(); ++i)
      BOOST_TEST(energy(series.state(r, i), 512) < energy(series.state(r, i - 1), 512));
    BOOST_TEST(energy(series.state(r, 10), 512) < 0.5 * energy(series.state(r, 0), 512));
    // Halfway: steep falls between gentle rises.
    const double* u = series.state(r, 5);
    double fall = 0;
    double rise = 0;
    for (std::size_t j = 0; j < 512; ++j) {
      const double slope = (u[(j + 1) % 512] - u[j]) / spacing;
      fall = std::max(fall, -slope);
      rise = std::max(rise, slope);
    }
    BOOST_TEST(fall > 20 * rise);
  }
}

BOOST_AUTO_TEST_CASE(the_series_samples_the_flow) {
  const BurgersSettings settings = short_run();
  long last = 0;
  long total = 0;
  const io::Series series = data::generate_burgers(settings, [&](long done, long of) {
    BOOST_TEST(done > last);
    last = done;
    total = of;
  });
  const double step = data::solver_step(settings);
  BOOST_TEST(total == 3 * 5 * std::llround(0.1 / step));
  BOOST_TEST(last == total);
  BOOST_TEST((series.shape() == io::Shape{3, 6, 64}));
  BOOST_TEST(series.times.front() == 0.0);
  BOOST_TEST(series.times.back() == 0.5, tt::tolerance(1e-15));
  BOOST_TEST(series.coordinates[1] == 1.0 / 64);
  BOOST_CHECK_NO_THROW(io::validate(series, "series"));
  BOOST_TEST(data::solver_points(settings) == 256u);
  for (std::size_t r = 0; r < 3; ++r) {
    const State start = data::initial_state(settings, r, 256);
    const State end = flow(start, settings.viscosity, 0.3, step);
    for (std::size_t j = 0; j < 64; ++j) {
      BOOST_TEST(std::abs(series.state(r, 0)[j] - start[4 * j]) < 1e-14);
      BOOST_TEST(std::abs(series.state(r, 3)[j] - end[4 * j]) < 1e-13);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_trajectory_does_not_depend_on_how_many_there_are) {
  BurgersSettings settings = short_run();
  const io::Series three = data::generate_burgers(settings);
  settings.trajectories = 2;
  const io::Series two = data::generate_burgers(settings);
  const std::size_t values = two.states.size();
  BOOST_TEST((State(three.states.begin(), three.states.begin() + static_cast<std::ptrdiff_t>(values)) == two.states));
  BOOST_TEST(relative_difference(State(three.state(1, 0), three.state(1, 1)),
                                 State(three.state(0, 0), three.state(0, 1))) > 0.1);
}

BOOST_AUTO_TEST_CASE(the_same_settings_give_the_same_bits) {
  BurgersSettings settings = short_run();
  const State first = data::generate_burgers(settings).states;
  BOOST_TEST((data::generate_burgers(settings).states == first));
  settings.seed = 2;
  BOOST_TEST(relative_difference(data::generate_burgers(settings).states, first) > 0.1);
}

BOOST_AUTO_TEST_CASE(threads_share_the_trajectories) {
  BurgersSettings settings = short_run();
  settings.trajectories = 5;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = data::generate_burgers(settings);
  at::set_num_threads(3);
  const auto shared = data::generate_burgers(settings);
  settings.inner_points = 64;  // too few for a shock: a thread of its own blows up as well
  settings.step = settings.interval;
  settings.viscosity = 1e-6;
  settings.amplitude = 1e8;
  BOOST_CHECK_THROW(data::generate_burgers(settings), NumericalError);
  at::set_num_threads(threads);
  BOOST_TEST(shared.states == alone.states);
}

BOOST_AUTO_TEST_CASE(initial_states_agree_on_all_grids_and_platforms) {
  BurgersSettings settings;
  settings.seed = 7;
  const State coarse = data::initial_state(settings, 2, 64);
  const State fine = data::initial_state(settings, 2, 128);
  for (std::size_t i = 0; i < 64; ++i) BOOST_TEST(coarse[i] == fine[2 * i]);
  // From another program, with the generators as the C++ standard and Steele et al. (2014) define them.
  BOOST_TEST(coarse[0] == -0.24302760453055447, tt::tolerance(1e-13));
  BOOST_TEST(coarse[8] == 0.14820366726371361, tt::tolerance(1e-13));
  data::RealFourier fourier(128);
  std::vector<std::complex<double>> modes(fourier.modes());
  fourier.forward(fine.data(), modes.data());
  for (std::size_t k = 0; k < modes.size(); ++k)
    BOOST_TEST(std::abs(modes[k]) / 128 < (k >= 1 && k <= 4 ? 1.0 : 1e-14), "mode " << k);
}

BOOST_AUTO_TEST_CASE(the_amplitude_is_the_largest_value) {
  BurgersSettings settings;
  settings.amplitude = 2.5;
  for (const std::size_t modes : {1u, 4u, 9u}) {
    settings.modes = modes;
    for (std::size_t r = 0; r < 20; ++r) {
      double largest = 0;
      for (const double value : data::initial_state(settings, r, 4096)) largest = std::max(largest, std::abs(value));
      BOOST_TEST(largest == 2.5, tt::tolerance(0.002));
    }
  }
}

BOOST_AUTO_TEST_CASE(settings_that_make_no_sense_are_named) {
  const auto refused = [](auto change, const char* word, const char* value = "") {
    BurgersSettings settings = short_run();
    change(settings);
    BOOST_CHECK_EXCEPTION(data::generate_burgers(settings), UserError, mentions("Burgers data", word, value));
  };
  refused([](auto& s) { s.points = 3; }, "at least 4 points", "not 3");
  refused([](auto& s) { s.points = 0; }, "at least 4 points", "not 0");
  refused([](auto& s) { s.length = 0; }, "length must be positive");
  refused([](auto& s) { s.length = std::nan(""); }, "length must be positive");
  refused([](auto& s) { s.viscosity = 0; }, "viscosity must be positive");
  refused([](auto& s) { s.viscosity = INFINITY; }, "viscosity must be positive");
  refused([](auto& s) { s.amplitude = -1; }, "amplitude must be positive");
  refused([](auto& s) { s.interval = 0; }, "interval must be positive");
  refused([](auto& s) { s.trajectories = 0; }, "at least one trajectory");
  refused([](auto& s) { s.count = 0; }, "at least one state");
  refused([](auto& s) { s.modes = 0; }, "at least one mode");
  refused([](auto& s) { s.inner_points = 96; }, "multiple of the points", "96");
  refused([](auto& s) { s.inner_points = 32; }, "multiple of the points", "32");
  refused([](auto& s) { s.viscosity = 1e-9; }, "inner points", "at most 16777216");
  refused([](auto& s) { s.modes = 22, s.inner_points = 64; }, "the modes, 22", "third of the inner points, 64");
  refused([](auto& s) { s.step = -0.01; }, "step must be positive");
  refused([](auto& s) { s.step = 0.03; }, "interval 0.1", "multiple of the step");
  refused([](auto& s) { s.step = 1; }, "longer than the interval");
  BOOST_CHECK_NO_THROW(data::validate(short_run()));
  BOOST_CHECK_NO_THROW(data::validate({}));
}

BOOST_AUTO_TEST_CASE(a_state_that_blows_up_is_reported_with_its_time) {
  Burgers solver(64, 1, 1e-4, 0.1);
  State huge = sine(64);
  for (double& value : huge) value *= 1e6;
  solver.set(huge);
  BOOST_CHECK_EXCEPTION(solver.advance(1000), NumericalError, mentions("not finite at time", "shorter step"));
  BOOST_CHECK_THROW(solver.set(State(63)), UserError);
  BOOST_CHECK_EXCEPTION(Burgers(64, 1, 1e-4, 0), UserError, mentions("step must be positive"));
  BOOST_CHECK_EXCEPTION(Burgers(64, 1, 0, 0.1), UserError, mentions("viscosity must be positive"));
}

BOOST_AUTO_TEST_CASE(a_file_keeps_the_trajectories, *utf::label("np1") * utf::label("np2")) {
  const testing::TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("burgers.h5");
  const io::Series series = data::cached_series(path, short_run(), MPI_COMM_WORLD);
  BOOST_TEST((series.states == data::generate_burgers(short_run()).states));
  BOOST_TEST(series.trajectories == 3u);
  BOOST_TEST(io::settings_difference(series.settings, data::attributes(short_run())) == "");
  BurgersSettings other = short_run();
  other.trajectories = 1;
  BOOST_TEST((data::cached_series(path, other, MPI_COMM_WORLD).shape() == io::Shape{6, 64}));
  other.step = 0.03;
  BOOST_CHECK_EXCEPTION(data::cached_series(path, other, MPI_COMM_WORLD), UserError,
                        mentions("no multiple of the step"));
}

BOOST_AUTO_TEST_SUITE_END()
