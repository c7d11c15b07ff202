// What tests on grids share: axes with all kinds of boundaries, and values beyond them by definition, in natural order.
#pragma once

#include <array>
#include <cstdlib>
#include <vector>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/grid/halo.hpp"

namespace espalier::testing {

using Axes = std::vector<grid::Axis>;
using Index = std::array<long, 3>;

inline grid::Axis periodic_axis(PetscInt cells) { return {cells, 0.5, 2.0, {}, {}}; }

inline grid::Axis bounded_axis(PetscInt cells, grid::Boundary low, grid::Boundary high) {
  return {cells, -0.25, 1.0, low, high};
}

/// One to three dimensions with each boundary at each end; few cells, but enough for width 2 on four ranks.
inline std::vector<Axes> various_axes() {
  const grid::Boundary dirichlet{grid::BoundaryType::dirichlet, 0.7};
  const grid::Boundary neumann{grid::BoundaryType::neumann, -0.4};
  const grid::Boundary point{grid::BoundaryType::dirichlet_point, 0.3};
  return {{periodic_axis(9)},
          {bounded_axis(10, dirichlet, neumann)},
          {bounded_axis(9, point, neumann)},
          {periodic_axis(7), periodic_axis(6)},
          {periodic_axis(6), bounded_axis(7, dirichlet, neumann)},
          {bounded_axis(7, neumann, dirichlet), bounded_axis(5, neumann, neumann)},
          {bounded_axis(6, neumann, point), bounded_axis(7, point, point)},
          {bounded_axis(6, dirichlet, dirichlet), periodic_axis(5), bounded_axis(5, neumann, dirichlet)}};
}

inline Index cells_of(const Axes& axes) {
  Index cells = {1, 1, 1};
  for (std::size_t d = 0; d < axes.size(); ++d) cells[d] = axes[d].cells;
  return cells;
}

inline std::size_t count_of(const Axes& axes) {
  const Index n = cells_of(axes);
  return static_cast<std::size_t>(n[0] * n[1] * n[2]);
}

inline double spacing_of(const grid::Axis& axis) { return (axis.upper - axis.lower) / static_cast<double>(axis.cells); }

/// The value at a cell that may be outside along one axis.
template <class T>
T value_at(const Axes& axes, const std::vector<T>& u, Index i, grid::Beyond beyond) {
  const Index n = cells_of(axes);
  double factor = 1;
  double constant = 0;
  for (std::size_t d = 0; d < axes.size(); ++d) {
    if (i[d] >= 0 && i[d] < n[d]) continue;
    const grid::Boundary& end = i[d] < 0 ? axes[d].low : axes[d].high;
    if (end.type == grid::BoundaryType::periodic) {
      i[d] = (i[d] + n[d]) % n[d];
      continue;
    }
    const bool point = end.type == grid::BoundaryType::dirichlet_point;
    if (point && beyond != grid::Beyond::nearest && (i[d] == -1 || i[d] == n[d]))
      return beyond == grid::Beyond::values ? T(end.value) : T(0);
    const long shift = point ? 1 : 0;
    const long mirrored = i[d] < 0 ? -1 - shift - i[d] : 2 * n[d] - 1 + shift - i[d];
    const double distance = static_cast<double>(std::abs(i[d] - mirrored)) * spacing_of(axes[d]);
    i[d] = mirrored;
    if (beyond == grid::Beyond::zero) factor = 0;
    if (beyond == grid::Beyond::nearest) i[d] = 2 * mirrored < n[d] ? 0 : n[d] - 1;
    if (beyond == grid::Beyond::nearest || beyond == grid::Beyond::zero) continue;
    const bool dirichlet = point || end.type == grid::BoundaryType::dirichlet;
    if (dirichlet) factor = -1;
    if (beyond == grid::Beyond::values) constant = dirichlet ? 2 * end.value : distance * end.value;
  }
  return factor * u[static_cast<std::size_t>((i[2] * n[1] + i[1]) * n[0] + i[0])] + constant;
}

}  // namespace espalier::testing
