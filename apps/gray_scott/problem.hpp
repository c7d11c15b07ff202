// The Gray-Scott equations on a fine grid, averaged to a coarse one, and a model on the coarse grid with a network.
#pragma once

#include <memory>
#include <string>

#include "espalier/core/options.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/io/grid_series_slab.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/model/term.hpp"
#include "espalier/nn/grid_network.hpp"

namespace espalier::gray_scott {

/// What the network stands for.
enum class Closure {
  subgrid,  ///< what the coarse grid does not resolve, beside the known reaction
  reaction  ///< the reaction as a whole
};

struct Settings {
  PetscInt cells = 32;      ///< of the coarse grid along each axis
  PetscInt refinement = 4;  ///< fine cells in a coarse one, along each axis
  double length = 1.25;     ///< of the square's sides
  double feed = 0.04;       ///< F
  double decay = 0.06;      ///< k
  PetscInt trajectories = 10;
  PetscInt snapshots = 11;  ///< of each trajectory, the initial one included
  double interval = 20;     ///< time between them
  double data_step = 1;     ///< of the fine grid's classical Runge-Kutta method
  std::uint64_t data_seed = 0;
  std::string data_folder = "espalier_data";
  Closure closure = Closure::subgrid;

  /// Reads -gray_scott_*, -data_dir and -data_seed. Throws UserError.
  void read(core::OptionReader& o);
  /// All that the data depend on.
  io::Attributes attributes() const;
};

/// The file with the averages of the fine solution in the coarse cells, quantities u and v [R, T, cells]. It is made on
/// first use, by all ranks together. Collective on `comm`.
std::string reference_file(const Settings& settings, MPI_Comm comm);

/// The coarse grid. Collective on `comm`.
std::shared_ptr<const grid::CellGrid> coarse_grid(const Settings& settings, MPI_Comm comm, PetscInt alignment);

/// This rank's part of the states in the file, [R, T, 2 local cells]. Collective on the grid's communicator.
at::Tensor read_states(const std::string& file, const grid::CellGrid& grid);

/// This rank's cells, as files take them.
io::GridBox box_of(const grid::CellGrid& grid);

/// du/dt = D Laplace u + R(u) + G(u; theta): diffusion implicit, reaction (if known) and network explicit.
struct Model {
  std::shared_ptr<nn::Network> network;
  std::shared_ptr<model::NeuralTerm> closure;  ///< G
  model::SplitSystem system;
};

/// The network's last layer begins with `last_layer` times its random parameters: from zero on, training starts from
/// the equations without the network.
Model make_model(const Settings& settings, const std::shared_ptr<const grid::CellGrid>& grid,
                 const nn::GridNetworkSettings& network, bool allow_single, double last_layer = 0);

}  // namespace espalier::gray_scott
