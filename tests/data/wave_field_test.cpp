#include "espalier/data/wave_field.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <random>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using data::WaveField;
using data::WaveFieldSettings;
using testing::mentions;

namespace utf = boost::unit_test;

namespace {

constexpr double pi = 3.14159265358979323846;

/// Centres of 128 x 64 cells on [-1, 1] x [0, 1].
at::Tensor centres() {
  const auto x = (torch::arange(128, torch::kDouble) + 0.5) / 64 - 1;
  const auto y = (torch::arange(64, torch::kDouble) + 0.5) / 64;
  const auto grid = torch::meshgrid({x, y}, "ij");
  return torch::stack({grid[0].flatten(), grid[1].flatten()}, 1);
}

WaveFieldSettings moving() {
  WaveFieldSettings settings;
  settings.frequency = 1;
  settings.horizon = 0.4;
  settings.seed = 2;
  return settings;
}

double largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

/// The sum of the waves before scaling, wave by wave from the same draws.
at::Tensor sum_of_waves(const WaveFieldSettings& settings, const at::Tensor& points, double t) {
  std::mt19937_64 generator(core::mix(settings.seed));
  const auto unit = [&] { return core::uniform_unit(generator); };
  const auto number = [&] {
    const auto range = static_cast<std::uint64_t>(settings.largest_number - settings.least_number + 1);
    return settings.least_number + static_cast<double>(core::uniform_below(generator, range));
  };
  auto sum = torch::zeros({points.size(0)}, torch::kDouble);
  for (std::size_t w = 0; w < settings.waves; ++w) {
    const double kx = number();
    const double ky = number();
    const double phase = 2 * pi * unit();
    const double amplitude = settings.amplitude * (2 * unit() - 1);
    const double frequency = settings.frequency * (2 * unit() - 1);
    const auto turns = kx * (points.select(1, 0) + 1) / 2 + ky * points.select(1, 1) + frequency * t;
    sum += amplitude * (2 * pi * turns + phase).cos();
  }
  return sum;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_wave_field, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(fields_are_scaled_sums_of_waves) {
  WaveFieldSettings steady;
  steady.waves = 20;
  steady.largest_number = 3;
  for (const auto& settings : {steady, moving()}) {
    const WaveField field(settings);
    BOOST_TEST(field.moves() == (settings.frequency > 0));
    const auto sines = field.at_points(centres());
    double least = INFINITY;
    double most = -INFINITY;
    for (int i = 0; i <= 100; ++i) {
      const auto sum = sum_of_waves(settings, centres(), settings.horizon * i / 100);
      least = std::min(least, sum.min().item<double>());
      most = std::max(most, sum.max().item<double>());
    }
    for (const double t : {0.0, 0.123, 0.4}) {
      const auto expected = (sum_of_waves(settings, centres(), t) - least) / (most - least);
      const auto values = field.evaluate(centres(), t);
      BOOST_TEST(largest(values - expected) <= 1e-13);
      BOOST_TEST(largest(sines(t) - values) == 0);
      BOOST_TEST(values.min().item<double>() >= (t == 0.123 ? -1e-3 : 0.0));
      BOOST_TEST(values.max().item<double>() <= (t == 0.123 ? 1 + 1e-3 : 1.0));
    }
    const double change = largest(sines(0.4) - sines(0));
    BOOST_TEST((field.moves() ? change > 0.1 : change == 0));
  }
}

BOOST_AUTO_TEST_CASE(fields_are_periodic_and_fill_the_unit_interval) {
  WaveFieldSettings settings;
  settings.largest_number = 3;
  settings.seed = 9;
  const WaveField field(settings);
  const auto values = field.evaluate(centres());
  BOOST_TEST(values.min().item<double>() == 0);
  BOOST_TEST(values.max().item<double>() == 1);
  for (const auto& period : {torch::tensor({2., 0.}, torch::kDouble), torch::tensor({0., -1.}, torch::kDouble)})
    BOOST_TEST(largest(field.evaluate(centres() + period) - values) <= 1e-12);
  BOOST_TEST(largest(field.evaluate(centres() + 0.5) - values) > 0.1);
}

BOOST_AUTO_TEST_CASE(fields_depend_on_the_seed_and_nothing_else) {
  auto settings = moving();
  const auto values = WaveField(settings).evaluate(centres(), 0.3);
  BOOST_TEST(torch::equal(WaveField(settings).evaluate(centres(), 0.3), values));
  settings.seed = 3;
  BOOST_TEST(largest(WaveField(settings).evaluate(centres(), 0.3) - values) > 0.1);
  // The function of time lives on without its field.
  const auto function = WaveField(moving()).at_points(centres());
  BOOST_TEST(torch::equal(function(0.3), values));
}

BOOST_AUTO_TEST_CASE(bad_settings_are_refused) {
  const auto refused = [](const auto& spoil, const auto&... words) {
    auto settings = moving();
    spoil(settings);
    BOOST_CHECK_EXCEPTION(WaveField{settings}, UserError, mentions("wave field", words...));
  };
  refused([](auto& s) { s.waves = 0; }, "at least one wave");
  refused([](auto& s) { s.least_number = 2; }, "least wave number");
  refused([](auto& s) { s.amplitude = 0; }, "amplitude must be positive");
  refused([](auto& s) { s.frequency = NAN; }, "frequency");
  refused([](auto& s) { s.horizon = 0; }, "needs the horizon");
  refused([](auto& s) { s.upper = {1}; }, "two corners");
  refused([](auto& s) { s.frequency = 0, s.largest_number = 0; }, "all waves are constants", "another seed");
  BOOST_CHECK_EXCEPTION(WaveField({}).evaluate(torch::zeros({4, 1})), UserError, mentions("[n, 2]"));
}

BOOST_AUTO_TEST_SUITE_END()
