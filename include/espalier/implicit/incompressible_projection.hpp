// Velocities without divergence on a staggered periodic grid, for the states that flows begin with.
#pragma once

#include <petscksp.h>

#include <memory>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::implicit {

/// u -= G phi with D G phi = D u (Chorin 1968), D and G the divergence and the gradient of NavierStokesStep: the
/// nearest velocity with D u = 0. Options -projection_ksp_* and -projection_pc_*: CG without preconditioner to a
/// relative tolerance of 1e-12. Collective on the grid's communicator.
class IncompressibleProjection {
 public:
  /// Throws UserError on all ranks unless the grid is periodic and has two axes.
  explicit IncompressibleProjection(std::shared_ptr<const grid::CellGrid> grid);
  ~IncompressibleProjection();

  /// Projects the velocities of a state [samples, 3, local cells] as NavierStokesStep has them; pressures stay. Throws
  /// UserError on all ranks when x does not hold whole samples, NumericalError when the solver does not converge.
  void apply(Vec x);

 private:
  struct Batch;
  struct Implementation;

  std::unique_ptr<Implementation> implementation_;
};

}  // namespace espalier::implicit
