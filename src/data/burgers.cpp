#include "espalier/data/burgers.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <complex>
#include <exception>
#include <functional>
#include <random>
#include <thread>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"
#include "espalier/data/etdrk4.hpp"
#include "espalier/data/fourier.hpp"
#include "sampling.hpp"

namespace espalier::data {

namespace {

constexpr double two_pi = 6.283185307179586476925;
constexpr const char* equation_name = "Burgers";
constexpr std::size_t most_points = std::size_t(1) << 24U;

using Complex = std::complex<double>;

}  // namespace

std::size_t solver_points(const BurgersSettings& settings) {
  // |u| never grows beyond U, its largest value at the start. A shock from U to -U, u = -U tanh(U x / (2 nu)), has
  // modes that decay like exp(-2 pi^2 k nu / (U L)), and k reaches a third of the points: exp(-2 pi^2) = 3e-9 is left.
  constexpr double per_reynolds_number = 3;
  constexpr double per_mode = 32;  // of flows without shocks
  if (settings.inner_points != 0 || settings.points == 0) return settings.inner_points;
  const double reynolds_number = settings.amplitude * settings.length / settings.viscosity;
  const double resolved =
      std::max(per_reynolds_number * reynolds_number, per_mode * static_cast<double>(settings.modes));
  std::size_t inner = settings.points;
  while (static_cast<double>(inner) < resolved && inner <= most_points) inner *= 2;
  return inner;
}

double solver_step(const BurgersSettings& settings) {
  // A shock of width nu / U that travels with speed U passes a point in nu / U^2; a wave of the start steepens in
  // L / (modes U).
  constexpr double of_passage = 0.3125;  // see the test of convergence
  constexpr double of_steepening = 0.005;
  if (settings.step != 0) return settings.step;
  const double speed = settings.amplitude;
  const double passage = settings.viscosity / (speed * speed);
  const double steepening = settings.length / (static_cast<double>(settings.modes) * speed);
  return step_dividing(settings.interval, std::min(of_passage * passage, of_steepening * steepening));
}

void validate(const BurgersSettings& settings) {
  const auto require = [](bool condition, const std::string& complaint) {
    ESPALIER_REQUIRE(condition, std::string(equation_name) + " data: " + complaint);
  };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  require(settings.points >= 4, "at least 4 points, not " + std::to_string(settings.points));
  require(positive(settings.length), "the length must be positive");
  require(positive(settings.viscosity), "the viscosity must be positive");
  require(positive(settings.amplitude), "the amplitude must be positive");
  require(positive(settings.interval), "the interval must be positive");
  require(settings.trajectories >= 1, "at least one trajectory is needed");
  require(settings.count >= 1, "at least one state is needed");
  require(settings.modes >= 1, "at least one mode is needed");
  const std::size_t inner = solver_points(settings);
  require(inner >= settings.points && inner % settings.points == 0, "the inner points, " + std::to_string(inner) +
                                                                        ", must be a multiple of the points, " +
                                                                        std::to_string(settings.points));
  require(inner <= most_points, "the inner points, " + std::to_string(inner) + ", must be at most " +
                                    std::to_string(most_points) +
                                    ": use a larger viscosity, use fewer modes, or set them");
  require(settings.modes <= (inner - 1) / 3, "the modes, " + std::to_string(settings.modes) +
                                                 ", must be fewer than a third of the inner points, " +
                                                 std::to_string(inner));
  const double step = solver_step(settings);
  require(positive(step), "the step must be positive, or 0 for its default");
  require(settings.interval >= step, "the step must not be longer than the interval");
  require_multiple(equation_name, "interval", settings.interval, step);
}

io::Attributes attributes(const BurgersSettings& settings) {
  const auto integer = [](std::size_t value) { return static_cast<std::int64_t>(value); };
  return {{"generator", "burgers"},
          {"generator_version", 1},
          {"equation", "u_t = -u u_x + viscosity u_xx on [0, length), periodic"},
          {"method", "Fourier spectral with the 2/3 rule, ETDRK4"},
          {"points", integer(settings.points)},
          {"length", settings.length},
          {"viscosity", settings.viscosity},
          {"trajectories", integer(settings.trajectories)},
          {"count", integer(settings.count)},
          {"interval", settings.interval},
          {"inner_points", integer(solver_points(settings))},
          {"step", solver_step(settings)},
          {"modes", integer(settings.modes)},
          {"amplitude", settings.amplitude},
          {"seed", settings.seed}};
}

std::vector<double> initial_state(const BurgersSettings& settings, std::size_t trajectory, std::size_t n) {
  ESPALIER_REQUIRE(n >= 1 && settings.modes >= 1, "Burgers data: an initial state of " +
                                                      std::to_string(settings.modes) + " modes on " +
                                                      std::to_string(n) + " points: at least one of each is needed");
  std::mt19937_64 generator(core::mix(core::mix(static_cast<std::uint64_t>(settings.seed)) + trajectory));
  std::vector<double> scales;
  std::vector<double> phases;
  for (std::size_t k = 1; k <= settings.modes; ++k) {
    scales.push_back(core::standard_normal(generator) / static_cast<double>(k));
    phases.push_back(two_pi * core::uniform_unit(generator));
  }
  const auto waves = [&](std::size_t points) {
    std::vector<double> u(points, 0);
    for (std::size_t i = 0; i < points; ++i) {
      const double x = two_pi * static_cast<double>(i) / static_cast<double>(points);  // 2 pi x / L
      for (std::size_t k = 0; k < scales.size(); ++k)
        u[i] += scales[k] * std::sin(static_cast<double>(k + 1) * x + phases[k]);
    }
    return u;
  };
  // The maximum is searched on points of its own, so that u does not depend on n: it is found to 0.2 %.
  double largest = 0;
  for (const double value : waves(64 * settings.modes)) largest = std::max(largest, std::abs(value));
  std::vector<double> u = waves(n);
  for (double& value : u) value *= settings.amplitude / largest;
  return u;
}

// Modes 0 to (n - 1) / 3: their products alias onto none of them.
struct Burgers::State {
  State(std::size_t points, double length, double viscosity, double step_length);

  // N(v) = -(i q / 2) F(u^2), u = F^-1(v): the transform of -u u_x = -(u^2 / 2)_x
  void nonlinear(const Complex* v, Complex* result);
  // u = F^-1(v)
  void to_values(const Complex* v);

  RealFourier fourier;
  std::vector<double> wavenumber;  // of the kept modes
  std::vector<Complex> v;          // the kept modes of the state
  std::vector<double> u;
  std::vector<Complex> all;  // every mode of the grid
  double step;
  std::size_t steps_done = 0;
  Etdrk4 integrator;
};

namespace {

// q = 2 pi k / L
std::vector<double> kept_wavenumbers(std::size_t points, double length) {
  std::vector<double> q((points - 1) / 3 + 1);
  for (std::size_t k = 0; k < q.size(); ++k) q[k] = two_pi * static_cast<double>(k) / length;
  return q;
}

// c(q) = -nu q^2: the transform of nu u_xx
std::vector<Complex> linear_symbol(const std::vector<double>& wavenumber, double viscosity) {
  std::vector<Complex> symbol;
  for (const double q : wavenumber) symbol.emplace_back(-viscosity * q * q);
  return symbol;
}

}  // namespace

Burgers::State::State(std::size_t points, double length, double viscosity, double step_length)
    : fourier(points),
      wavenumber(kept_wavenumbers(points, length)),
      v(wavenumber.size()),
      u(points),
      all(fourier.modes()),
      step(step_length),
      integrator(linear_symbol(wavenumber, viscosity), step_length,
                 [this](const Complex* from, Complex* to) { nonlinear(from, to); }) {}

void Burgers::State::to_values(const Complex* from) {
  std::fill(std::copy_n(from, v.size(), all.begin()), all.end(), 0);
  fourier.inverse(all.data(), u.data());
}

void Burgers::State::nonlinear(const Complex* from, Complex* result) {
  to_values(from);
  for (double& value : u) value *= value;
  fourier.forward(u.data(), all.data());
  for (std::size_t k = 0; k < v.size(); ++k) result[k] = Complex(0, -0.5 * wavenumber[k]) * all[k];
}

Burgers::Burgers(std::size_t points, double length, double viscosity, double step) {
  BurgersSettings settings;
  settings.points = settings.inner_points = points;
  settings.length = length;
  settings.viscosity = viscosity;
  settings.step = settings.interval = step;
  settings.modes = 1;
  ESPALIER_REQUIRE(std::isfinite(step) && step > 0, "Burgers: the step must be positive");
  validate(settings);
  state_ = std::make_unique<State>(points, length, viscosity, step);
}
Burgers::~Burgers() = default;
Burgers::Burgers(Burgers&&) noexcept = default;
Burgers& Burgers::operator=(Burgers&&) noexcept = default;

void Burgers::set(const std::vector<double>& u) {
  ESPALIER_REQUIRE(u.size() == state_->u.size(), "Burgers: a state of " + std::to_string(u.size()) + " values on " +
                                                     std::to_string(state_->u.size()) + " points");
  state_->fourier.forward(u.data(), state_->all.data());
  std::copy_n(state_->all.begin(), state_->v.size(), state_->v.begin());
  state_->steps_done = 0;
}

void Burgers::advance(std::size_t steps) {
  for (std::size_t i = 0; i < steps; ++i) {
    state_->integrator.step(state_->v.data());
    ++state_->steps_done;
    // A transform spreads one bad value over all modes: one mode tells.
    if (std::isfinite(state_->v[1].real())) continue;
    throw NumericalError("Burgers: the state is not finite at time " +
                             io::describe(io::Attribute(static_cast<double>(state_->steps_done) * state_->step)) +
                             "; use a shorter step or a smaller initial state",
                         __FILE__, __LINE__);
  }
}

std::vector<double> Burgers::get() {
  state_->to_values(state_->v.data());
  return state_->u;
}

namespace {

// Trajectory r at all times into `states`, [count, points]; `interval_done` is called after each interval.
void follow(Burgers& solver, const BurgersSettings& settings, std::size_t r, std::size_t substeps, double* states,
            const std::function<void()>& interval_done) {
  const std::size_t inner = solver_points(settings);
  const std::size_t stride = inner / settings.points;
  solver.set(initial_state(settings, r, inner));
  for (std::size_t i = 0; i < settings.count; ++i) {
    if (i > 0) {
      solver.advance(substeps);
      interval_done();
    }
    const std::vector<double> u = solver.get();
    for (std::size_t j = 0; j < settings.points; ++j) states[i * settings.points + j] = u[j * stride];
  }
}

}  // namespace

io::Series generate_burgers(const BurgersSettings& settings, const ProgressCallback& progress) {
  validate(settings);
  const double step = solver_step(settings);
  const std::size_t substeps = steps_in(settings.interval, step);
  const std::size_t total = settings.trajectories * (settings.count - 1) * substeps;
  const std::size_t inner = solver_points(settings);

  io::Series series;
  series.name = "burgers";
  series.trajectories = settings.trajectories;
  series.dof = settings.points;
  series.settings = attributes(settings);
  for (std::size_t i = 0; i < settings.points; ++i)
    series.coordinates.push_back(settings.length * static_cast<double>(i) / static_cast<double>(settings.points));
  for (std::size_t i = 0; i < settings.count; ++i) series.times.push_back(static_cast<double>(i) * settings.interval);
  series.states.resize(settings.trajectories * settings.count * settings.points);

  // Trajectories are independent: each thread takes every threads-th of them. FFTW plans in one thread only, so that
  // the solvers are made here.
  const std::size_t threads = std::min(static_cast<std::size_t>(at::get_num_threads()), settings.trajectories);
  std::vector<Burgers> solvers;
  for (std::size_t k = 0; k < threads; ++k) solvers.emplace_back(inner, settings.length, settings.viscosity, step);
  std::atomic<std::size_t> done = 0;
  std::atomic<bool> failed = false;
  std::vector<std::exception_ptr> failures(threads);
  const auto run = [&](std::size_t k) {
    try {
      for (std::size_t r = k; r < settings.trajectories && !failed; r += threads)
        follow(solvers[k], settings, r, substeps, &series.states[r * settings.count * settings.points], [&] {
          done += substeps;
          const std::size_t now = done;
          if (k == 0 && progress && now < total) progress(static_cast<long>(now), static_cast<long>(total));
        });
    } catch (...) {
      failures[k] = std::current_exception();
      failed = true;
    }
  };
  std::vector<std::thread> others;
  for (std::size_t k = 1; k < threads; ++k) others.emplace_back(run, k);
  run(0);
  for (auto& thread : others) thread.join();
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
  if (progress) progress(static_cast<long>(total), static_cast<long>(total));
  return series;
}

io::Series cached_series(const std::string& path, const BurgersSettings& settings, MPI_Comm comm) {
  validate(settings);
  SeriesRecipe recipe;
  recipe.name = "burgers";
  recipe.settings = attributes(settings);
  recipe.generate = [&](const ProgressCallback& progress) { return generate_burgers(settings, progress); };
  recipe.title = equation_name;
  const std::size_t steps = (settings.count - 1) * steps_in(settings.interval, solver_step(settings));
  recipe.note = [=, all = settings.trajectories](long done) {
    return std::to_string(static_cast<std::size_t>(done) / steps) + " of " + std::to_string(all) + " trajectories";
  };
  return cached_series(path, recipe, comm);
}

}  // namespace espalier::data
