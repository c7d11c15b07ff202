// Burgers' equation on a periodic line: its linearised implicit step, and trajectories of random initial states.
#pragma once

#include <mpi.h>

#include <memory>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/implicit/burgers_step.hpp"
#include "espalier/train/emulator.hpp"

namespace burgers_emulator {

struct Settings {
  long points = 256;  ///< on (0, 1)
  double viscosity = 1e-3;
  double step = 0.01;
  long modes = 20;      ///< of the initial states
  bool newton = false;  ///< the nonlinear step, solved by Newton's method, instead of the linearised one

  /// Reads -burgers_points, -burgers_nu, -burgers_dt, -burgers_modes and -burgers_step. Throws UserError.
  void read(espalier::core::OptionReader& o);
  std::vector<espalier::grid::Axis> axes() const;
};

/// The solver of a step: (I + dt Gamma(u_t) - dt nu L) u_(t+1) = u_t by GMRES for each sample; or, with
/// settings.newton, u_(t+1) - u_t = dt (nu L u_(t+1) - div F(u_(t+1))), F upwind fluxes of u^2 / 2, by Newton's method.
/// Options
/// -<prefix>ksp_*, -<prefix>snes_*.
std::unique_ptr<espalier::implicit::DifferentiableSolve> make_solver(
    const Settings& settings, const std::shared_ptr<const espalier::grid::CellGrid>& grid, Vec like,
    const std::string& prefix);

/// Trajectories from the cache or, on first use, by steps to rounding. Collective.
espalier::io::GridSeries reference(const Settings& settings, const espalier::train::EmulatorData& data, MPI_Comm comm);

}  // namespace burgers_emulator
