// Implicit steps of the viscous Burgers equation, linearised at the state before: what neural emulators train through.
#pragma once

#include <memory>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/implicit/residual.hpp"

namespace espalier::implicit {

struct BurgersStepSettings {
  double viscosity = 0;  ///< nu, not negative
  double step = 0;       ///< dt, positive
};

/// Backward Euler for u_t + u u_x = nu u_xx on a periodic line, F(x, y) = A(y) x - y with y the state before and
///
///   A(y) = I + dt (diag(max(a, 0)) B + diag(min(b, 0)) F) - dt nu L,
///   a_i = (y_(i-1) + y_i) / 2,  b_i = (y_i + y_(i+1)) / 2,
///
/// L the second difference, B and F the backward and forward ones (one-sided differences against the wind; Bhatia,
/// Koehler, Thuerey 2025). First order in time and space; a difference and its wind belong to the same two cells, so
/// that shocks of either sign move. Derivatives with respect to y include that of A(y) x; where a wind is 0, that of
/// the negative branch.
///
/// A state holds the samples one after another on each rank, [samples, local cells]. Products allocate nothing.
/// Matrices: one MATAIJ for each sample. Collective on the grid's communicator.
class BurgersStep : public Residual {
 public:
  /// Throws UserError on all ranks for settings that make no sense, and unless the grid is periodic and has one axis.
  BurgersStep(std::shared_ptr<const grid::CellGrid> grid, BurgersStepSettings settings);

  /// Throws UserError on all ranks when a state does not hold whole samples of this grid.
  void apply(Vec x, Vec y, Vec f) override;
  std::shared_ptr<ResidualLinearization> linearize(Vec x, Vec y) override;

  const grid::CellGrid& grid() const { return *grid_; }
  const BurgersStepSettings& settings() const { return settings_; }

 private:
  struct Implementation;
  class Products;

  std::shared_ptr<const grid::CellGrid> grid_;
  BurgersStepSettings settings_;
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace espalier::implicit
