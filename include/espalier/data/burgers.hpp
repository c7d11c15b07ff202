// Reference data of the viscous Burgers equation, u_t = -u u_x + nu u_xx on [0, L), periodic: decaying turbulence with
// shocks from random initial states.
//
// Fourier spectral in space with the 2/3 rule, ETDRK4 in time (Cox & Matthews 2002, Kassam & Trefethen 2005). The
// defaults are the data of SINODE, section 5.3 and appendix C.2. All quantities are dimensionless.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "espalier/data/series_cache.hpp"
#include "espalier/io/series.hpp"

namespace espalier::data {

/// What the generator needs. Each value is stored with the series.
struct BurgersSettings {
  std::size_t points = 512;        ///< values of a state, at x_i = i L / points
  double length = 1;               ///< the period L
  double viscosity = 8e-4;         ///< nu
  std::size_t trajectories = 100;  ///< initial states
  std::size_t count = 51;          ///< states of each: t = i interval, 0 <= i < count
  double interval = 0.1;           ///< time between states
  /// Points of the solver, of which every so-many-th is stored; 0: see solver_points().
  std::size_t inner_points = 0;
  /// Step of the solver, of which the interval is a multiple; 0: see solver_step().
  double step = 0;
  std::size_t modes = 4;  ///< waves of the initial state, see initial_state()
  double amplitude = 1;   ///< largest |u| of the initial state; |u| never grows beyond it
  std::int64_t seed = 1;  ///< of the initial states
};

/// The points of the solver: `inner_points`, or what 0 stands for: the least `points` 2^m, m >= 0, that are at least
/// 3 amplitude L / viscosity, which resolves shocks, and at least 32 for each mode of the initial state.
std::size_t solver_points(const BurgersSettings& settings);
/// The step of the solver: `step`, or what 0 stands for: the longest that divides `interval`, up to 5/16 of the time
/// viscosity / amplitude^2 in which a shock passes a point, and up to 0.005 of the time L / (modes amplitude) in which
/// the waves of the initial state steepen.
double solver_step(const BurgersSettings& settings);

/// Throws UserError that names the setting and its allowed values.
void validate(const BurgersSettings& settings);

/// The settings as the series stores them, with the generator's name and version.
io::Attributes attributes(const BurgersSettings& settings);

/// u(x, 0) at n equally spaced points: a multiple of the sum over k = 1 .. modes of a_k sin(2 pi k x / L + phi_k), a_k
/// normal with mean 0 and standard deviation 1 / k, phi_k uniform, such that the largest |u| is `amplitude` (to 0.2 %).
/// The numbers come from the seed and the trajectory (from 0) by std::mt19937_64: the same, up to rounding, on every
/// platform, for every n and every number of trajectories. Throws UserError unless n >= 1 and modes >= 1.
std::vector<double> initial_state(const BurgersSettings& settings, std::size_t trajectory, std::size_t n);

/// The flow map on a grid of n points. Keeps its plans and coefficients; no allocation in a step.
class Burgers {
 public:
  /// `points` >= 4; `length`, `viscosity` and `step` positive (UserError).
  Burgers(std::size_t points, double length, double viscosity, double step);
  ~Burgers();
  Burgers(Burgers&&) noexcept;
  Burgers& operator=(Burgers&&) noexcept;

  /// Sets the state from its n values, without the modes that the 2/3 rule leaves out; the time counts from here.
  void set(const std::vector<double>& u);
  /// Takes so many steps. Throws NumericalError, naming the time, when the state is no longer finite. Cost per
  /// step: 8 transforms.
  void advance(std::size_t steps);
  /// The n values of the state.
  std::vector<double> get();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Runs the solver and samples it: states [trajectories, count, points]. Not collective; works with torch's number of
/// threads. The same settings give the same bits on the same machine, with any number of threads.
io::Series generate_burgers(const BurgersSettings& settings, const ProgressCallback& progress = {});

/// The series of the settings from the file `path`, which is generated on first use (see series_cache.hpp). Collective
/// on `comm`. Throws UserError on all ranks together if a setting makes no sense or the file cannot be used.
io::Series cached_series(const std::string& path, const BurgersSettings& settings, MPI_Comm comm);

}  // namespace espalier::data
