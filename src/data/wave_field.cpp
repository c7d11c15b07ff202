#include "espalier/data/wave_field.hpp"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "box.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"

namespace espalier::data {

namespace {

constexpr const char* generator_name = "wave field";
constexpr double pi = 3.14159265358979323846;
constexpr int times_for_bounds = 101;

void validate(const WaveFieldSettings& settings) {
  const auto require = [](bool condition, const std::string& complaint) {
    ESPALIER_REQUIRE(condition, std::string(generator_name) + ": " + complaint);
  };
  require_box(generator_name, settings.lower, settings.upper, {settings.reference});
  require(settings.waves >= 1, "at least one wave is needed");
  require(settings.least_number <= settings.largest_number, "the least wave number must not be above the largest");
  require(std::isfinite(settings.amplitude) && settings.amplitude > 0, "the amplitude must be positive");
  require(std::isfinite(settings.frequency) && settings.frequency >= 0, "the frequency must be zero or positive");
  require(std::isfinite(settings.horizon) && (settings.frequency == 0 || settings.horizon > 0),
          "a moving field needs the horizon, the time up to which it stays in [0, 1]");
}

}  // namespace

WaveField::WaveField(const WaveFieldSettings& settings) : settings_(settings) {
  validate(settings_);
  std::mt19937_64 generator(core::mix(settings_.seed));
  const auto between = [&](double least, double largest) {
    return least + (largest - least) * core::uniform_unit(generator);
  };
  const auto range = static_cast<std::uint64_t>(settings_.largest_number - settings_.least_number) + 1;
  std::vector<double> numbers;
  std::vector<double> amplitudes;
  std::vector<double> phases;
  std::vector<double> frequencies;
  for (std::size_t w = 0; w < settings_.waves; ++w) {
    for (std::size_t d = 0; d < settings_.lower.size(); ++d)
      numbers.push_back(settings_.least_number + static_cast<double>(core::uniform_below(generator, range)));
    phases.push_back(pi * between(0, 2));
    amplitudes.push_back(between(-settings_.amplitude, settings_.amplitude));
    frequencies.push_back(between(-settings_.frequency, settings_.frequency));
  }
  const auto waves = static_cast<std::int64_t>(settings_.waves);
  numbers_ = torch::tensor(numbers, torch::kDouble).view({waves, -1}).t().contiguous();
  phases_ = torch::tensor(phases, torch::kDouble);
  amplitudes_ = torch::tensor(amplitudes, torch::kDouble);
  frequencies_ = torch::tensor(frequencies, torch::kDouble);
  find_bounds();
}

// cos(s + r) = cos(s) cos(r) - sin(s) sin(r), s = 2 pi k . (x - lower) / (upper - lower), r = 2 pi f t + pi phi:
// [cos(s), sin(s)], [n, 2 waves], here, and what they are multiplied with below.
at::Tensor WaveField::basis(const at::Tensor& points) const {
  const auto lower = torch::tensor(settings_.lower, torch::kDouble);
  const auto upper = torch::tensor(settings_.upper, torch::kDouble);
  const auto s = (2 * pi * (points.detach().to(torch::kDouble) - lower) / (upper - lower)).mm(numbers_);
  return torch::cat({s.cos(), s.sin()}, 1);
}

at::Tensor WaveField::coefficients(double t) const {
  const auto r = 2 * pi * t * frequencies_ + phases_;
  return torch::cat({amplitudes_ * r.cos(), -amplitudes_ * r.sin()});
}

void WaveField::find_bounds() {
  const torch::NoGradGuard no_grad;
  const auto at_cells = basis(grid_points(Spacing::centres, settings_.lower, settings_.upper, settings_.reference));
  const int times = moves() ? times_for_bounds : 1;
  least_ = std::numeric_limits<double>::infinity();
  largest_ = -least_;
  for (int i = 0; i < times; ++i) {
    const auto sum = at_cells.mv(coefficients(settings_.horizon * i / std::max(1, times - 1)));
    least_ = std::min(least_, sum.min().item<double>());
    largest_ = std::max(largest_, sum.max().item<double>());
  }
  ESPALIER_REQUIRE(largest_ - least_ > 1e-6 * settings_.amplitude,
                   std::string(generator_name) +
                       ": all waves are constants; allow larger wave numbers, more waves, "
                       "or take another seed");
}

std::function<at::Tensor(double t)> WaveField::at_points(const at::Tensor& points) const {
  require_points(generator_name, points, settings_.lower.size());
  const torch::NoGradGuard no_grad;
  // The function may outlive this object: it has all numbers in it.
  return [field = *this, sines = basis(points)](double t) {
    const torch::NoGradGuard without_graph;
    return (sines.mv(field.coefficients(t)) - field.least_) / (field.largest_ - field.least_);
  };
}

}  // namespace espalier::data
