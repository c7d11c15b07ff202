// Flow in a periodic square: its implicit step, and reference trajectories from a finer grid.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <memory>

#include "espalier/core/options.hpp"
#include "espalier/implicit/navier_stokes_step.hpp"
#include "espalier/train/emulator.hpp"

namespace navier_stokes_corrector {

struct Settings {
  long cells = 48;       ///< along each axis, of the solver that is corrected
  long fine_cells = 97;  ///< of the reference
  double viscosity = 1e-4;
  double step = 0.1;
  long cutoff = 4;          ///< largest wave number of the initial states
  double tolerance = 1e-8;  ///< relative, of the reference's solves

  /// Reads -flow_cells, -flow_fine_cells, -flow_nu, -flow_dt, -flow_cutoff and -data_tolerance. Throws UserError.
  void read(espalier::core::OptionReader& o);
};

/// n x n cells on (0, 1)^2. Collective.
std::shared_ptr<const espalier::grid::CellGrid> unit_square(MPI_Comm comm, long n);

/// A step of backward Euler, linearised at the state before.
std::shared_ptr<espalier::implicit::NavierStokesStep> step(const Settings& settings,
                                                           const std::shared_ptr<const espalier::grid::CellGrid>& grid);

/// Velocities on a staggered grid of m x m cells from those [2, n, n] on one of n x n: the fluxes through the coarse
/// faces, divided by their length, of the field that is linear along its own axis and constant across it in each fine
/// cell (Raviart & Thomas 1977). m need not divide n. Where the fine field has no divergence the coarse one has none.
at::Tensor restrict_velocity(const at::Tensor& fine, std::int64_t m);

/// Trajectories of the fine solver on the coarse grid, "u" and "v" [R, T, cells], from the cache or, on first use, by
/// its steps from random states, which takes minutes at full size. Collective.
espalier::io::GridSeries reference(const Settings& settings, const espalier::train::EmulatorData& data, MPI_Comm comm);

}  // namespace navier_stokes_corrector
