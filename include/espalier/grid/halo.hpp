// Ghost cells of a batch of fields: one exchange between the ranks, then the rules at physical boundaries.
#pragma once

#include <cstdint>
#include <memory>

#include "espalier/grid/cell_grid.hpp"

namespace espalier::grid {

/// What stands in the ghost cells beyond boundaries that are not periodic; u_in is the cell's mirror image.
enum class Beyond {
  values,  ///< the boundary's rule: 2 g - u_in (Dirichlet) or u_in + d q (Neumann), d the distance of the two centres;
           ///< g itself at a Dirichlet point, and 2 g - u_in beyond it
  tangents,  ///< its linear part, g = q = 0
  zero,      ///< 0, for cotangents: a ghost cell has no equation
  nearest    ///< the value of the last cell before the boundary, for coefficients
};

/// Fills ghosted buffers [samples, ghosted cells] (ghosted cells: x fastest, of the extents ghosted_extent()) from
/// states [samples, local_cells]. Ghost cells along the axes only; those at edges and corners are left alone.
/// Construction and fill() are collective, with the same number of samples on every rank; fill() allocates nothing.
/// Host memory.
class Halo {
 public:
  Halo(std::shared_ptr<const CellGrid> grid, std::int64_t samples);

  std::int64_t samples() const { return samples_; }
  /// Entries of a ghosted buffer.
  std::int64_t length() const { return samples_ * ghosted_cells_; }
  std::int64_t ghosted_cells() const { return ghosted_cells_; }
  /// Place of this rank's first cell in a sample's ghosted cells, and the distance of neighbours along each axis.
  std::int64_t first() const { return first_; }
  const std::array<std::int64_t, 3>& strides() const { return strides_; }

  void fill(const double* state, Beyond beyond, double* buffer) const;

 private:
  void connect();
  void fill_boundary(int d, bool high, Beyond beyond, double* field) const;

  std::shared_ptr<const CellGrid> grid_;
  std::int64_t samples_;
  std::int64_t ghosted_cells_ = 1;
  std::int64_t first_ = 0;
  std::array<std::int64_t, 3> strides_ = {1, 1, 1};
  SfHandle exchange_;  // roots: the state; leaves: ghost cells in the buffer
};

}  // namespace espalier::grid
