#include "espalier/data/filtered_noise.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"

namespace espalier::data {

namespace {

constexpr double two_pi = 6.283185307179586476925;

/// a cos(2 pi k . x) + b sin(2 pi k . x)
struct Wave {
  long k_x, k_y;
  double a, b;
};

/// One of each pair k, -k, in the order of the draws, which does not depend on the grid.
std::vector<Wave> draw_waves(const FilteredNoiseSettings& settings, std::size_t field) {
  std::mt19937_64 generator(core::mix(core::mix(settings.seed) + field));
  const auto cutoff = static_cast<long>(settings.cutoff);
  std::vector<Wave> waves;
  double square = 0;
  for (long k_x = 0; k_x <= cutoff; ++k_x)
    for (long k_y = k_x == 0 ? 1 : -cutoff; k_y <= cutoff; ++k_y) {
      if (k_x * k_x + k_y * k_y > cutoff * cutoff) continue;
      const double a = core::standard_normal(generator);
      const double b = core::standard_normal(generator);
      waves.push_back({k_x, k_y, a, b});
      square += (a * a + b * b) / 2;
    }
  // The mean square of a wave is (a^2 + b^2) / 2.
  for (Wave& wave : waves) {
    wave.a /= std::sqrt(square);
    wave.b /= std::sqrt(square);
  }
  return waves;
}

/// 2 pi k i / n without loss for large k i.
double phase(long k, std::size_t i, std::size_t n) {
  const auto points = static_cast<long>(n);
  return two_pi * static_cast<double>(k * static_cast<long>(i) % points) / static_cast<double>(points);
}

}  // namespace

std::vector<double> filtered_noise(const FilteredNoiseSettings& settings, std::size_t field) {
  const std::size_t least = std::min(settings.columns, settings.rows);
  ESPALIER_REQUIRE(settings.cutoff >= 1 && 2 * settings.cutoff < least,
                   "filtered noise: a cut-off of " + std::to_string(settings.cutoff) + " on " +
                       std::to_string(settings.columns) + " x " + std::to_string(settings.rows) +
                       " points: it must be at least 1 and below half the points");
  const std::vector<Wave> waves = draw_waves(settings, field);
  const std::size_t numbers = settings.cutoff + 1;
  std::vector<double> u(settings.columns * settings.rows, 0);
  std::vector<double> cosines(numbers);  // of one row, by k_x
  std::vector<double> sines(numbers);
  for (std::size_t j = 0; j < settings.rows; ++j) {
    std::fill(cosines.begin(), cosines.end(), 0.0);
    std::fill(sines.begin(), sines.end(), 0.0);
    // a cos(x + y) + b sin(x + y) = (a cos y + b sin y) cos x + (b cos y - a sin y) sin x
    for (const Wave& wave : waves) {
      const double y = phase(wave.k_y, j, settings.rows);
      cosines[static_cast<std::size_t>(wave.k_x)] += wave.a * std::cos(y) + wave.b * std::sin(y);
      sines[static_cast<std::size_t>(wave.k_x)] += wave.b * std::cos(y) - wave.a * std::sin(y);
    }
    for (std::size_t k = 0; k < numbers; ++k)
      for (std::size_t i = 0; i < settings.columns; ++i) {
        const double x = phase(static_cast<long>(k), i, settings.columns);
        u[j * settings.columns + i] += cosines[k] * std::cos(x) + sines[k] * std::sin(x);
      }
  }
  return u;
}

}  // namespace espalier::data
