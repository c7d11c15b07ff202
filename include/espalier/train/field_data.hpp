// Reference solutions of PDEs whose coefficient fields are known: what experiments learn the fields back from.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/data/series_cache.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/model/coefficient_fields.hpp"
#include "espalier/model/term.hpp"

namespace espalier::train {

/// Makes the right-hand side of the PDE with the given coefficient fields.
using FieldTermFactory = std::function<std::shared_ptr<model::Term>(std::shared_ptr<const grid::CellGrid>,
                                                                    std::shared_ptr<model::CoefficientFields>)>;

/// A PDE on a grid with known fields and several initial states.
struct FieldProblem {
  std::string name;          ///< of the data, such as "advection_diffusion"
  io::Attributes settings;   ///< all that the data depend on, but for what stands in the members below
  std::vector<grid::Axis> axes;  ///< x, y, z
  PetscInt stencil_width = 1;
  std::vector<double> times;  ///< [T] of the stored states, the first one is that of the initial states
  double step = 1e-3;         ///< of the classical Runge-Kutta method
  std::vector<std::string> field_names;
  bool fields_move = false;
  /// [fields, points] at time t.
  std::function<at::Tensor(const at::Tensor& points, double t)> fields;
  /// [R, points]: the initial states.
  std::function<at::Tensor(const at::Tensor& points)> initial_states;
  FieldTermFactory make_term;
};

/// The solutions on rank 0's own grid, in natural order: the quantities "state" [R, T, cells] and one for each field,
/// [T, cells] where they move. PETSc's options with the prefix `data_` apply. Not collective: one rank calls it. Throws
/// NumericalError when the step is too large.
io::GridSeries solve_reference(const FieldProblem& problem, const data::ProgressCallback& progress);

/// The same from the file `path`, generated on first use; see data::cached_series. Collective on `comm`.
io::GridSeries cached_reference(const std::string& path, const FieldProblem& problem, MPI_Comm comm);

}  // namespace espalier::train
