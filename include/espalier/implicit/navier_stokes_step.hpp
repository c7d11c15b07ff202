// Implicit steps of incompressible flow in the plane, velocity and pressure together, linearised at the state before.
#pragma once

#include <petscksp.h>

#include <memory>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/implicit/residual.hpp"

namespace espalier::implicit {

struct NavierStokesStepSettings {
  double viscosity = 0;  ///< nu, not negative
  double step = 0;       ///< dt, positive
};

/// Backward Euler for u_t + (u . grad) u = -grad p + nu lap u, div u = 0 on a periodic plane, the equations of momentum
/// divided by dt: F(x, y) = A(y) x - b(y), x = (u, v, p), b(y) = (y_u / dt, y_v / dt, 0),
///
///          ( 1/dt + C(M_u y) - nu L          0           G_x )
///   A(y) = (          0           1/dt + C(M_v y) - nu L G_y ).
///          (         D_x                    D_y          0   )
///
/// The grid is staggered (Harlow & Welch 1965): p in the centre of a cell, u on its lower face along x, v on its lower
/// face along y. D are forward differences, G backward ones. C takes a backward difference times the positive and a
/// forward difference times the negative part of the wind between the two points; winds are averages of both points,
/// M_u and M_v the average of the four neighbours of the other component (Bhatia, Koehler, Thuerey 2025). First order
/// in time and space. Derivatives with respect to y include that of A(y) x; where a wind is 0, that of the negative
/// branch. y_p has no influence.
///
/// A state holds the samples one after another on each rank, [samples, 3, local cells]. Products allocate nothing.
/// Matrices: one MATAIJ for each sample, with zeros on the diagonal of the last rows. Collective on the grid's
/// communicator.
///
/// Constants of p are the null space of A and of A^T. b has no part of it, and GMRES without preconditioner from zero
/// gives pressures of mean 0; cotangents with a part of it, and preconditioners, need attach_null_space().
class NavierStokesStep : public Residual {
 public:
  /// Throws UserError on all ranks for settings that make no sense, and unless the grid is periodic and has two axes.
  NavierStokesStep(std::shared_ptr<const grid::CellGrid> grid, NavierStokesStepSettings settings);

  /// Throws UserError on all ranks when a state does not hold whole samples of this grid.
  void apply(Vec x, Vec y, Vec f) override;
  std::shared_ptr<ResidualLinearization> linearize(Vec x, Vec y) override;

  /// p -= the mean of p, in each sample. Collective.
  void remove_mean_pressure(Vec x) const;
  /// From now on the solves of `ksp`, transposed or not, leave the mean pressure out of right-hand sides and solutions;
  /// takes the place of its function before solves (KSPSetPreSolve). The step must outlive the KSP. Collective.
  void attach_null_space(KSP ksp) const;

  const grid::CellGrid& grid() const { return *grid_; }
  const NavierStokesStepSettings& settings() const { return settings_; }

 private:
  struct Batch;
  struct Implementation;
  class Products;

  std::shared_ptr<const grid::CellGrid> grid_;
  NavierStokesStepSettings settings_;
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace espalier::implicit
