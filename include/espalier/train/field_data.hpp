// Reference solutions of PDEs whose coefficient fields are known: what experiments learn the fields back from.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/data/series_cache.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/model/coefficient_fields.hpp"
#include "espalier/model/term.hpp"

namespace espalier::train {

/// Makes the right-hand side of the PDE with the given coefficient fields.
using FieldTermFactory = std::function<std::shared_ptr<model::Term>(std::shared_ptr<const grid::CellGrid>,
                                                                    std::shared_ptr<model::CoefficientFields>)>;

/// What such experiments in the plane have in common: [-1, 1] x [0, 1], periodic, and initial states in [0, 1] from
/// Gaussian processes, some of which train while the others are out of distribution (Akhare, Luo & Wang 2025).
struct FieldDataSettings {
  std::vector<PetscInt> cells = {128, 64};  ///< along x and y
  double horizon = 0.2;                     ///< T: the data reach from 0 to T
  double interval = 0.01;                   ///< between stored states
  std::vector<double> more_times;           ///< of stored states, beside the multiples of `interval`
  double step = 1e-3;                       ///< of the reference solution
  long training = 5;                        ///< initial states of length scales 0.3 + 0.1 f, f = 0, 0.2, ..., 0.8
  long test = 5;                            ///< and, after them, of length scales 0.1 + f
  long seed = 1;
  std::string folder = "espalier_data";

  /// Reads -data_cells, -data_horizon, -data_interval, -data_times, -data_step, -data_training, -data_test, -data_seed
  /// and -data_dir. Throws UserError.
  void read(core::OptionReader& o);
  std::vector<grid::Axis> axes() const;
  /// 0, the multiples of the interval up to T, and more_times. Throws UserError for times beyond T.
  std::vector<double> stored_times() const;
  /// [R, points].
  at::Tensor initial_states(const at::Tensor& points) const;
  /// The cells as the fields of data:: take them.
  std::vector<std::size_t> reference_cells() const;
  /// The seed of field k, different from those of the initial states.
  std::uint64_t field_seed(int k) const;
  /// "FOLDER/NAME_128x64_seed1.h5".
  std::string path(const std::string& name) const;
};

/// A PDE on a grid with known fields and several initial states.
struct FieldProblem {
  std::string name;         ///< of the data, such as "advection_diffusion"
  io::Attributes settings;  ///< of the equation and its fields: with `data`, all that the solutions depend on
  FieldDataSettings data;
  PetscInt stencil_width = 1;
  std::vector<std::string> field_names;
  bool fields_move = false;
  /// [fields, points] at time t.
  std::function<at::Tensor(const at::Tensor& points, double t)> fields;
  FieldTermFactory make_term;
};

/// The solutions on rank 0's own grid, in natural order: the quantities "state" [R, T, cells] and one for each field,
/// [T, cells] where they move. PETSc's options with the prefix `data_` apply. Not collective: one rank calls it. Throws
/// NumericalError when the step (of the classical Runge-Kutta method) is too large.
io::GridSeries solve_reference(const FieldProblem& problem, const data::ProgressCallback& progress);

/// The same from the file data.path(name), generated on first use; see data::cached_series. Collective on `comm`.
io::GridSeries cached_reference(const FieldProblem& problem, MPI_Comm comm);

}  // namespace espalier::train
