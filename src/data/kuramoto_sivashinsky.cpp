#include "espalier/data/kuramoto_sivashinsky.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <random>

#include "espalier/core/error.hpp"
#include "espalier/core/random_draws.hpp"
#include "espalier/data/etdrk4.hpp"
#include "espalier/data/fourier.hpp"
#include "sampling.hpp"

namespace espalier::data {

namespace {

constexpr double two_pi = 6.283185307179586476925;
constexpr const char* equation_name = "Kuramoto-Sivashinsky";

using Complex = std::complex<double>;

}  // namespace

std::size_t solver_points(const KuramotoSivashinskySettings& settings) {
  constexpr std::size_t resolved = 128;  // no gain beyond: see the test of convergence
  if (settings.inner_points != 0 || settings.points == 0) return settings.inner_points;
  return settings.points * std::max<std::size_t>(1, (resolved + settings.points - 1) / settings.points);
}

double solver_step(const KuramotoSivashinskySettings& settings) {
  constexpr double accurate = 0.01;  // see the test of convergence
  if (settings.step != 0) return settings.step;
  return step_dividing(settings.interval, accurate);
}

void validate(const KuramotoSivashinskySettings& settings) {
  const auto require = [](bool condition, const std::string& complaint) {
    ESPALIER_REQUIRE(condition, "Kuramoto-Sivashinsky data: " + complaint);
  };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  require(settings.points >= 4, "at least 4 points, not " + std::to_string(settings.points));
  const std::size_t inner = solver_points(settings);
  require(inner >= settings.points && inner % settings.points == 0, "the inner points, " + std::to_string(inner) +
                                                                        ", must be a multiple of the points, " +
                                                                        std::to_string(settings.points));
  require(positive(settings.length), "the length must be positive");
  require(positive(settings.interval), "the interval must be positive");
  const double step = solver_step(settings);
  require(positive(step), "the step must be positive, or 0 for its default");
  require(std::isfinite(settings.transient) && settings.transient >= 0, "the transient must not be negative");
  require(settings.count >= 1, "at least one state is needed");
  require(settings.interval >= step, "the step must not be longer than the interval");
  require_multiple(equation_name, "interval", settings.interval, step);
  require_multiple(equation_name, "transient", settings.transient, step);
}

io::Attributes attributes(const KuramotoSivashinskySettings& settings) {
  const auto integer = [](std::size_t value) { return static_cast<std::int64_t>(value); };
  return {{"generator", "kuramoto_sivashinsky"},
          {"generator_version", 1},
          {"equation", "u_t = -u u_x - u_xx - u_xxxx on [0, length), periodic"},
          {"method", "Fourier spectral, ETDRK4"},
          {"points", integer(settings.points)},
          {"length", settings.length},
          {"inner_points", integer(solver_points(settings))},
          {"step", solver_step(settings)},
          {"transient", settings.transient},
          {"interval", settings.interval},
          {"count", integer(settings.count)},
          {"dealias", settings.dealias ? 1 : 0},
          {"seed", settings.seed}};
}

std::vector<double> initial_state(const KuramotoSivashinskySettings& settings, std::size_t n) {
  constexpr int perturbed_modes = 8;
  constexpr double amplitude = 0.1;
  std::vector<double> phases;
  if (settings.seed != 0) {
    std::mt19937_64 generator(static_cast<std::uint64_t>(settings.seed));
    for (int k = 0; k < perturbed_modes; ++k) phases.push_back(two_pi * core::uniform_unit(generator));
  }
  std::vector<double> u(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double x = two_pi * static_cast<double>(i) / static_cast<double>(n);  // 2 pi x / L
    u[i] = std::cos(x) * (1 + std::sin(x));
    for (std::size_t k = 0; k < phases.size(); ++k)
      u[i] += amplitude * std::cos(static_cast<double>(k + 1) * x + phases[k]);
  }
  return u;
}

struct KuramotoSivashinsky::State {
  State(std::size_t points, double length, double step_length, bool dealias);

  // N(v) = -(i q / 2) F(u^2), u = F^-1(v): the transform of -u u_x = -(u^2 / 2)_x
  void nonlinear(const Complex* v, Complex* result);

  RealFourier fourier;
  std::vector<double> wavenumber;  // of the derivative: 0 where a mode is not kept
  std::vector<double> u;
  std::vector<Complex> v;
  std::vector<Complex> kept;  // modes that enter the product
  std::size_t kept_modes;
  double step;
  std::size_t steps_done = 0;
  Etdrk4 integrator;
};

namespace {

// c(q) = q^2 - q^4, q = 2 pi k / L: the transform of -u_xx - u_xxxx
std::vector<Complex> linear_symbol(std::size_t points, double length) {
  std::vector<Complex> symbol(points / 2 + 1);
  for (std::size_t k = 0; k < symbol.size(); ++k) {
    const double q = two_pi * static_cast<double>(k) / length;
    symbol[k] = q * q - q * q * q * q;
  }
  return symbol;
}

}  // namespace

KuramotoSivashinsky::State::State(std::size_t points, double length, double step_length, bool dealias)
    : fourier(points),
      wavenumber(fourier.modes()),
      u(points),
      v(fourier.modes()),
      kept(fourier.modes()),
      kept_modes(dealias ? (points + 2) / 3 : fourier.modes()),
      step(step_length),
      integrator(linear_symbol(points, length), step_length,
                 [this](const Complex* from, Complex* to) { nonlinear(from, to); }) {
  for (std::size_t k = 0; k < kept_modes; ++k) wavenumber[k] = two_pi * static_cast<double>(k) / length;
  // The highest mode of an even number of points has no derivative on the grid.
  if (points % 2 == 0) wavenumber[points / 2] = 0;
}

void KuramotoSivashinsky::State::nonlinear(const Complex* from, Complex* result) {
  std::copy_n(from, kept_modes, kept.begin());
  fourier.inverse(kept.data(), u.data());
  for (double& value : u) value *= value;
  fourier.forward(u.data(), result);
  for (std::size_t k = 0; k < wavenumber.size(); ++k) result[k] *= Complex(0, -0.5 * wavenumber[k]);
}

KuramotoSivashinsky::KuramotoSivashinsky(std::size_t points, double length, double step, bool dealias) {
  KuramotoSivashinskySettings settings;
  settings.points = settings.inner_points = points;
  settings.length = length;
  settings.step = settings.interval = settings.transient = step;
  ESPALIER_REQUIRE(step > 0, "Kuramoto-Sivashinsky: the step must be positive");
  validate(settings);
  state_ = std::make_unique<State>(points, length, step, dealias);
}
KuramotoSivashinsky::~KuramotoSivashinsky() = default;
KuramotoSivashinsky::KuramotoSivashinsky(KuramotoSivashinsky&&) noexcept = default;
KuramotoSivashinsky& KuramotoSivashinsky::operator=(KuramotoSivashinsky&&) noexcept = default;

void KuramotoSivashinsky::set(const std::vector<double>& u) {
  ESPALIER_REQUIRE(u.size() == state_->u.size(), "Kuramoto-Sivashinsky: a state of " + std::to_string(u.size()) +
                                                     " values on " + std::to_string(state_->u.size()) + " points");
  state_->fourier.forward(u.data(), state_->v.data());
  state_->steps_done = 0;
}

void KuramotoSivashinsky::advance(std::size_t steps) {
  for (std::size_t i = 0; i < steps; ++i) {
    state_->integrator.step(state_->v.data());
    ++state_->steps_done;
    // A transform spreads one bad value over all modes: one mode tells.
    if (std::isfinite(state_->v[1].real())) continue;
    throw NumericalError("Kuramoto-Sivashinsky: the state is not finite at time " +
                             io::describe(io::Attribute(static_cast<double>(state_->steps_done) * state_->step)) +
                             "; use a shorter step or a smaller initial state",
                         __FILE__, __LINE__);
  }
}

std::vector<double> KuramotoSivashinsky::get() {
  std::vector<double> u(state_->u.size());
  state_->fourier.inverse(state_->v.data(), u.data());
  return u;
}

io::Series generate_kuramoto_sivashinsky(const KuramotoSivashinskySettings& settings,
                                         const ProgressCallback& progress) {
  validate(settings);
  const double step = solver_step(settings);
  const std::size_t substeps = steps_in(settings.interval, step);
  const std::size_t transient_steps = steps_in(settings.transient, step);
  const std::size_t total = transient_steps + (settings.count - 1) * substeps;
  std::size_t done = 0;
  const std::size_t inner = solver_points(settings);
  KuramotoSivashinsky solver(inner, settings.length, step, settings.dealias);
  solver.set(initial_state(settings, inner));
  const auto advance = [&](std::size_t steps) {
    solver.advance(steps);
    done += steps;
    if (progress) progress(static_cast<long>(done), static_cast<long>(total));
  };
  while (done < transient_steps) advance(std::min(substeps, transient_steps - done));

  io::Series series;
  series.name = "kuramoto_sivashinsky";
  series.dof = settings.points;
  series.settings = attributes(settings);
  for (std::size_t i = 0; i < settings.points; ++i)
    series.coordinates.push_back(settings.length * static_cast<double>(i) / static_cast<double>(settings.points));
  series.states.reserve(settings.count * settings.points);
  const std::size_t stride = inner / settings.points;
  for (std::size_t i = 0; i < settings.count; ++i) {
    if (i > 0) advance(substeps);
    const std::vector<double> u = solver.get();
    for (std::size_t j = 0; j < u.size(); j += stride) series.states.push_back(u[j]);
    series.times.push_back(settings.transient + static_cast<double>(i) * settings.interval);
  }
  return series;
}

io::Series cached_series(const std::string& path, const KuramotoSivashinskySettings& settings, MPI_Comm comm) {
  validate(settings);
  SeriesRecipe recipe;
  recipe.name = "kuramoto_sivashinsky";
  recipe.settings = attributes(settings);
  recipe.generate = [&](const ProgressCallback& progress) { return generate_kuramoto_sivashinsky(settings, progress); };
  recipe.title = equation_name;
  recipe.note = [step = solver_step(settings)](long done) {
    return "time " + std::to_string(static_cast<long>(static_cast<double>(done) * step));
  };
  return cached_series(path, recipe, comm);
}

}  // namespace espalier::data
