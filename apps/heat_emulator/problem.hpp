// Heat on a line, a square or a cube: its implicit step, and trajectories of random initial states.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/train/emulator.hpp"

namespace heat_emulator {

struct Settings {
  int dimension = 1;
  long points = 30;           ///< along each axis
  bool periodic = false;      ///< else u = 0 at both ends of each axis
  double diffusivity = 1e-3;  ///< nu
  double step = 1;            ///< dt
  long modes = 5;             ///< of the initial states, in each direction

  /// Reads -heat_dimension, -heat_points, -heat_boundary, -heat_nu, -heat_dt and -heat_modes. Throws UserError.
  void read(espalier::core::OptionReader& o);
  std::vector<espalier::grid::Axis> axes() const;
};

/// (I - nu dt L) x = y, L the second differences: one step of backward Euler.
std::shared_ptr<espalier::implicit::Residual> step(const Settings& settings,
                                                   const std::shared_ptr<const espalier::grid::CellGrid>& grid);

/// Trajectories from the cache or, on first use, by steps to rounding. Collective.
espalier::io::GridSeries reference(const Settings& settings, const espalier::train::EmulatorData& data, MPI_Comm comm);

}  // namespace heat_emulator
