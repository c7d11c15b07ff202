#include "espalier/data/kuramoto_sivashinsky.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "espalier/data/fourier.hpp"
#include "espalier/data/spectrum.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using data::KuramotoSivashinsky;
using data::KuramotoSivashinskySettings;
using testing::mentions;
namespace tt = boost::test_tools;

namespace {

using State = std::vector<double>;
constexpr double two_pi = 6.283185307179586476925;
constexpr double length = 22;

State flow(const State& u, double time, double step, bool dealias = false) {
  KuramotoSivashinsky solver(u.size(), length, step, dealias);
  solver.set(u);
  solver.advance(static_cast<std::size_t>(std::llround(time / step)));
  return solver.get();
}

double relative_difference(const State& a, const State& b) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

// A state of the attractor, without any symmetry.
State attractor_state(std::size_t n) {
  static const State resolved = [] {
    KuramotoSivashinskySettings settings;
    settings.seed = 1;
    return flow(data::initial_state(settings, 64), 200, 0.01);
  }();
  return data::resample_periodic(resolved, n);
}

double mean(const State& u) { return std::accumulate(u.begin(), u.end(), 0.0) / static_cast<double>(u.size()); }

// <u^2> / 2
double energy(const State& u) {
  return std::inner_product(u.begin(), u.end(), u.begin(), 0.0) / (2 * static_cast<double>(u.size()));
}

// <u_x^2> - <u_xx^2>, from the spectrum: each mode of energy E has <u_x^2> = 2 q^2 E, <u_xx^2> = 2 q^4 E.
double production(const State& u) {
  const data::Spectrum spectrum = data::energy_spectrum(u.data(), 1, u.size(), length);
  double sum = 0;
  for (std::size_t k = 0; k < spectrum.energy.size(); ++k) {
    const double q2 = spectrum.wavenumber[k] * spectrum.wavenumber[k];
    sum += 2 * (q2 - q2 * q2) * spectrum.energy[k];
  }
  return sum;
}

// The slow reference: right-hand side by sums over all modes and points, nothing shared with the solver.
State slow_right_hand_side(const State& u) {
  const int n = static_cast<int>(u.size());
  State rate(u.size(), 0);
  for (int k = -(n - 1) / 2; k <= (n - 1) / 2; ++k) {
    const double q = two_pi * k / length;
    std::complex<double> u_k = 0;
    std::complex<double> square_k = 0;
    for (int j = 0; j < n; ++j) {
      const auto wave = std::polar(1.0 / n, -two_pi * k * j / n);
      const double value = u[static_cast<std::size_t>(j)];
      u_k += value * wave;
      square_k += value * value * wave;
    }
    const std::complex<double> rate_k = (q * q - q * q * q * q) * u_k - std::complex<double>(0, q / 2) * square_k;
    for (int j = 0; j < n; ++j)
      rate[static_cast<std::size_t>(j)] += (rate_k * std::polar(1.0, two_pi * k * j / n)).real();
  }
  return rate;
}

State slow_runge_kutta(State u, int steps, double h) {
  const auto shifted = [](const State& a, double factor, const State& b) {
    State sum(a);
    for (std::size_t i = 0; i < a.size(); ++i) sum[i] += factor * b[i];
    return sum;
  };
  for (int i = 0; i < steps; ++i) {
    const State k1 = slow_right_hand_side(u);
    const State k2 = slow_right_hand_side(shifted(u, h / 2, k1));
    const State k3 = slow_right_hand_side(shifted(u, h / 2, k2));
    const State k4 = slow_right_hand_side(shifted(u, h, k3));
    for (std::size_t j = 0; j < u.size(); ++j) u[j] += h / 6 * (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]);
  }
  return u;
}

KuramotoSivashinskySettings short_run() {
  KuramotoSivashinskySettings settings;
  settings.transient = 2;
  settings.count = 6;
  return settings;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_kuramoto_sivashinsky, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(agrees_with_a_slow_reference) {
  const State start = attractor_state(15);  // odd: every mode has a derivative
  BOOST_TEST(relative_difference(flow(start, 1, 0.00125), slow_runge_kutta(start, 1000, 0.001)) < 1e-11);
}

BOOST_AUTO_TEST_CASE(the_default_step_and_points_are_converged) {
  // Measured, relative change after 5 time units of a state of the attractor (128 points):
  //   step 0.04 -> 0.02: 2.5e-7, 0.02 -> 0.01: 2.1e-8, 0.01 -> 0.005: 1.6e-9, 0.005 -> 0.0025: 1.1e-10
  // Measured, error against 256 points (step 0.0025, whose own error is 7.8e-12):
  //   48 points: 8e-9 (2/3 rule: 2e-5), 64: 8.0e-12 (5e-8), 96 and more: 7.8e-12 (both)
  const KuramotoSivashinskySettings defaults;
  BOOST_TEST(data::solver_points(defaults) == 128u);
  const double step = data::solver_step(defaults);
  const State start = attractor_state(128);
  const State found = flow(start, 5, step);
  BOOST_TEST(relative_difference(found, flow(start, 5, step / 2)) < 1e-8);
  const State finer = data::resample_periodic(flow(attractor_state(256), 5, step), 128);
  BOOST_TEST(relative_difference(found, finer) < 1e-11);
}

BOOST_AUTO_TEST_CASE(the_error_is_of_fourth_order_in_the_step) {
  const State start = attractor_state(64);
  const State a = flow(start, 5, 0.01);
  const State b = flow(start, 5, 0.005);
  const State c = flow(start, 5, 0.0025);
  BOOST_TEST(std::log2(relative_difference(a, b) / relative_difference(b, c)) == 4.0, tt::tolerance(0.06));
}

BOOST_AUTO_TEST_CASE(the_mean_is_conserved) {
  State start = attractor_state(64);
  for (double& value : start) value += 0.3;
  const double before = mean(start);
  BOOST_TEST(std::abs(mean(flow(start, 100, 0.01)) - before) < 1e-14);
}

BOOST_AUTO_TEST_CASE(energy_changes_by_production_minus_dissipation) {
  // d/dt <u^2> / 2 = <u_x^2> - <u_xx^2>; the error of the centred difference falls by 4 when its step is halved.
  const State start = attractor_state(128);
  const auto balance_error = [&](double delta) {
    const double h = delta / 4;
    const State middle = flow(start, delta, h);
    const State end = flow(start, 2 * delta, h);
    return std::abs((energy(end) - energy(start)) / (2 * delta) - production(middle));
  };
  // The middle moves with delta, so the order shows up to a few per cent.
  const double coarse = balance_error(0.004);
  const double fine = balance_error(0.002);
  BOOST_TEST(coarse < 1e-4 * std::abs(production(start)));
  BOOST_TEST(coarse / fine == 4.0, tt::tolerance(0.1));
}

BOOST_AUTO_TEST_CASE(the_flow_is_equivariant_under_shifts_and_reflection) {
  const State start = attractor_state(64);
  const State end = flow(start, 5, 0.01);
  // u(x) -> u(x - 5 dx)
  State shifted = start;
  std::rotate(shifted.rbegin(), shifted.rbegin() + 5, shifted.rend());
  State expected = end;
  std::rotate(expected.rbegin(), expected.rbegin() + 5, expected.rend());
  BOOST_TEST(relative_difference(flow(shifted, 5, 0.01), expected) < 1e-12);
  // u(x) -> -u(-x)
  const auto reflect = [](const State& u) {
    State reflected(u.size());
    for (std::size_t i = 0; i < u.size(); ++i) reflected[i] = -u[(u.size() - i) % u.size()];
    return reflected;
  };
  BOOST_TEST(relative_difference(flow(reflect(start), 5, 0.01), reflect(end)) < 1e-12);
}

BOOST_AUTO_TEST_CASE(a_moving_observer_sees_the_same_flow) {
  // u(x - c t, t) + c is a solution if u is: this fixes sign and size of u u_x. c t = 3 grid spacings.
  const State start = attractor_state(128);
  const double time = 1;
  const double c = 3 * length / 128 / time;
  State moved = start;
  for (double& value : moved) value += c;
  State expected = flow(start, time, 0.0025);
  std::rotate(expected.rbegin(), expected.rbegin() + 3, expected.rend());
  for (double& value : expected) value += c;
  BOOST_TEST(relative_difference(flow(moved, time, 0.0025), expected) < 1e-10);
}

BOOST_AUTO_TEST_CASE(the_two_thirds_rule_changes_only_what_is_not_resolved) {
  const State start = attractor_state(96);
  BOOST_TEST(relative_difference(flow(start, 5, 0.01, true), flow(start, 5, 0.01)) < 1e-11);
  const State coarse = attractor_state(48);
  BOOST_TEST(relative_difference(flow(coarse, 5, 0.01, true), flow(coarse, 5, 0.01)) > 1e-7);
}

BOOST_AUTO_TEST_CASE(most_energy_is_near_the_wavenumber_of_fastest_growth) {
  // q^2 - q^4 is largest at q = 1 / sqrt(2), between the modes 2 (0.571) and 3 (0.857).
  KuramotoSivashinskySettings settings;
  settings.count = 2000;
  const data::Spectrum spectrum = data::energy_spectrum(data::generate_kuramoto_sivashinsky(settings));
  const auto peak = std::max_element(spectrum.energy.begin(), spectrum.energy.end()) - spectrum.energy.begin();
  BOOST_TEST((peak == 2 || peak == 3));
  BOOST_TEST(spectrum.energy[0] < 1e-28);
  BOOST_TEST(spectrum.energy[16] < 1e-6 * spectrum.energy[2]);
}

BOOST_AUTO_TEST_CASE(the_series_samples_the_flow) {
  const KuramotoSivashinskySettings settings = short_run();
  long last = 0;
  long total = 0;
  const io::Series series = data::generate_kuramoto_sivashinsky(settings, [&](long done, long of) {
    BOOST_TEST(done > last);
    last = done;
    total = of;
  });
  BOOST_TEST(last == total);
  BOOST_TEST(total == 300);
  BOOST_TEST(series.count() == 6u);
  BOOST_TEST(series.times.front() == 2.0);
  BOOST_TEST(series.times.back() == 3.0, tt::tolerance(1e-15));
  BOOST_TEST(series.coordinates[1] == 22.0 / 64);
  BOOST_CHECK_NO_THROW(io::validate(series, "series"));
  const State end = flow(data::initial_state(settings, 128), 3, 0.01);
  double largest = 0;
  for (std::size_t j = 0; j < 64; ++j) largest = std::max(largest, std::abs(series.state(5)[j] - end[2 * j]));
  BOOST_TEST(largest < 1e-13);
}

BOOST_AUTO_TEST_CASE(the_same_settings_give_the_same_bits) {
  KuramotoSivashinskySettings settings = short_run();
  const State first = data::generate_kuramoto_sivashinsky(settings).states;
  BOOST_TEST((data::generate_kuramoto_sivashinsky(settings).states == first));
  settings.seed = 1;
  const State second = data::generate_kuramoto_sivashinsky(settings).states;
  BOOST_TEST(relative_difference(second, first) > 0.01);
  BOOST_TEST((data::generate_kuramoto_sivashinsky(settings).states == second));
}

BOOST_AUTO_TEST_CASE(initial_states_agree_on_all_grids_and_platforms) {
  KuramotoSivashinskySettings settings;
  const State plain = data::initial_state(settings, 8);
  const double x = two_pi / 8;
  BOOST_TEST(plain[1] == std::cos(x) * (1 + std::sin(x)), tt::tolerance(1e-15));
  settings.seed = 7;
  const State coarse = data::initial_state(settings, 32);
  const State fine = data::initial_state(settings, 64);
  for (std::size_t i = 0; i < 32; ++i) BOOST_TEST(coarse[i] == fine[2 * i]);
  BOOST_TEST(std::abs(mean(fine)) < 1e-15);
  BOOST_TEST(coarse[0] == 1.5374500952143284, tt::tolerance(1e-13));  // the generator is fixed by the C++ standard
}

BOOST_AUTO_TEST_CASE(the_default_step_divides_the_interval) {
  KuramotoSivashinskySettings settings;
  const auto step_for = [&](double interval) {
    settings.interval = interval;
    return data::solver_step(settings);
  };
  BOOST_TEST(step_for(0.2) == 0.01);
  BOOST_TEST(step_for(0.25) == 0.01);
  BOOST_TEST(step_for(0.005) == 0.005);
  BOOST_TEST(step_for(1.0 / 3) == 1.0 / 3 / 34);
  settings.count = 3;
  settings.transient = 10;
  BOOST_TEST(data::generate_kuramoto_sivashinsky(settings).interval() == 1.0 / 3, tt::tolerance(1e-14));
  BOOST_TEST((*io::find(data::attributes(settings), "step") == io::Attribute(1.0 / 3 / 34)));
}

BOOST_AUTO_TEST_CASE(settings_that_make_no_sense_are_named) {
  const auto refused = [](auto change, const char* word) {
    KuramotoSivashinskySettings settings = short_run();
    change(settings);
    BOOST_CHECK_EXCEPTION(data::generate_kuramoto_sivashinsky(settings), UserError, mentions(word));
  };
  refused([](auto& s) { s.points = 3; }, "at least 4 points");
  refused([](auto& s) { s.points = 0; }, "at least 4 points");
  refused([](auto& s) { s.inner_points = 96; }, "multiple of the points");
  refused([](auto& s) { s.inner_points = 32; }, "multiple of the points");
  refused([](auto& s) { s.length = 0; }, "length must be positive");
  refused([](auto& s) { s.length = std::nan(""); }, "length must be positive");
  refused([](auto& s) { s.step = -0.01; }, "step must be positive");
  refused([](auto& s) { s.step = 0.03; }, "interval 0.2");
  refused([](auto& s) { s.step = 1; }, "longer than the interval");
  refused([](auto& s) { s.transient = 1.005; }, "transient 1.00");
  refused([](auto& s) { s.transient = -1; }, "transient must not be negative");
  refused([](auto& s) { s.interval = INFINITY; }, "interval must be positive");
  refused([](auto& s) { s.count = 0; }, "at least one state");
}

BOOST_AUTO_TEST_CASE(a_state_that_blows_up_is_reported_with_its_time) {
  KuramotoSivashinsky solver(64, length, 0.1);
  State huge = attractor_state(64);
  for (double& value : huge) value *= 1e6;
  solver.set(huge);
  BOOST_CHECK_EXCEPTION(solver.advance(1000), NumericalError, mentions("not finite at time", "shorter step"));
  BOOST_CHECK_THROW(solver.set(State(63)), UserError);
  BOOST_CHECK_THROW(KuramotoSivashinsky(64, length, 0), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
