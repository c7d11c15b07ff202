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
  long modes = 20;  ///< of the initial states

  /// Reads -burgers_points, -burgers_nu, -burgers_dt and -burgers_modes. Throws UserError.
  void read(espalier::core::OptionReader& o);
  std::vector<espalier::grid::Axis> axes() const;
};

/// (I + dt Gamma(u_t) - dt nu L) u_(t+1) = u_t.
std::shared_ptr<espalier::implicit::Residual> step(const Settings& settings,
                                                   const std::shared_ptr<const espalier::grid::CellGrid>& grid);

/// Trajectories from the cache or, on first use, by steps to rounding. Collective.
espalier::io::GridSeries reference(const Settings& settings, const espalier::train::EmulatorData& data, MPI_Comm comm);

}  // namespace burgers_emulator
