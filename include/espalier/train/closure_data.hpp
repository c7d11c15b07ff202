// Reference data of closures: a solution on a fine grid, averaged to the cells of a coarse one, made by all ranks.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/io/grid_series_slab.hpp"
#include "espalier/model/term.hpp"

namespace espalier::train {

/// What the options decide of the data; all that is not of the equation itself.
struct ClosureDataSettings {
  PetscInt cells = 32;      ///< of the coarse grid along each axis
  PetscInt refinement = 4;  ///< fine cells in a coarse one, along each axis
  PetscInt trajectories = 10;
  PetscInt snapshots = 11;  ///< of each trajectory, the initial one included
  double interval = 1;      ///< time between them
  double step = 0.05;       ///< of the classical Runge-Kutta method on the fine grid
  std::uint64_t seed = 0;
  std::string folder = "espalier_data";

  /// Reads -closure_* , -data_step, -data_seed and -data_dir. Throws UserError.
  void read(core::OptionReader& o);
};

/// An equation with its data. Fields are spread over the ranks, [samples, fields * local cells].
struct ClosureProblem {
  std::string name;                 ///< of the data and their file
  std::vector<std::string> fields;  ///< names of the state's fields
  std::vector<grid::Axis> axes;     ///< of the coarse grid, x first
  PetscInt stencil_width = 1;
  io::Attributes constants;  ///< of the equation, for the data's file
  std::string model;         ///< what is known of it, as name=value, for restart files; may be empty
  /// The whole right-hand side on the fine grid.
  std::function<std::shared_ptr<model::Term>(std::shared_ptr<const grid::CellGrid>)> truth;
  /// Initial states on the fine grid, the same whatever the number of ranks.
  std::function<at::Tensor(const grid::CellGrid&)> initial_states;
  /// What is known of it on the coarse grid: both parts or one. The network is added to the explicit one.
  std::function<model::SplitSystem(std::shared_ptr<const grid::CellGrid>)> known;
};

/// The file with cell averages of the solution, quantities [R, T, cells] under the fields' names; made on first use.
/// Throws UserError on all ranks by the rules of data::cached_file(). Collective on `comm`.
std::string closure_file(const ClosureProblem& problem, const ClosureDataSettings& settings, MPI_Comm comm);

/// All that the data depend on.
io::Attributes closure_attributes(const ClosureProblem& problem, const ClosureDataSettings& settings);

/// This rank's part of the states in the file, [R, T, fields * local cells]. Collective on the grid's communicator.
at::Tensor read_states(const std::string& file, const ClosureProblem& problem, const grid::CellGrid& grid);

/// This rank's cells, as files take them.
io::GridBox box_of(const grid::CellGrid& grid);

}  // namespace espalier::train
