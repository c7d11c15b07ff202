// Cell-centred structured grids in one to three dimensions, distributed over the ranks.
#pragma once

#include <petscdm.h>
#include <petscsf.h>
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "espalier/petsc/handle.hpp"

namespace espalier::grid {

using DmHandle = petsc::Handle<DM, DMDestroy>;
using SfHandle = petsc::Handle<PetscSF, PetscSFDestroy>;

/// What holds at one end of an axis.
enum class BoundaryType {
  periodic,        ///< both ends of the axis together
  dirichlet,       ///< the value is u on the boundary face
  neumann,         ///< the value is the outward derivative of u on the boundary face
  dirichlet_point  ///< the value is u half a cell beyond the boundary face, where the next centre would be: grids of
                   ///< points whose outermost ones are given (see point_axis())
};

/// The names for options, in the order of the enumeration.
const std::vector<std::string>& boundary_names();
/// Throws UserError, listing the names, for another one.
BoundaryType boundary_type(const std::string& name);

struct Boundary {
  BoundaryType type = BoundaryType::periodic;
  double value = 0;
};

/// One axis: equal cells from `lower` to `upper`, in the unit of length of the problem.
struct Axis {
  PetscInt cells = 0;
  double lower = 0;
  double upper = 1;
  Boundary low = {};   ///< at `lower`
  Boundary high = {};  ///< at `upper`
};

/// Points at lower + i h, h = (upper - lower) / (points + 1), i = 1, ..., points, with `value` at both ends: the
/// centres of cells from lower + h/2 to upper - h/2.
Axis point_axis(PetscInt points, double lower = 0, double upper = 1, double value = 0);

/// A DMDA with one unknown per cell, x fastest, whose parts are boxes. Fields on it are tensors [k, local_cells()]. The
/// ranks form the box of boxes with the smallest inner surface. Construction is collective, the rest is not unless it
/// says so.
class CellGrid {
 public:
  /// `axes`: x, y, z, as many as there are dimensions. `stencil_width`: 1 or 2 cells on each side, along the axes.
  /// `alignment`: parts begin and end at multiples of so many cells, as networks that halve their grids need.
  /// Throws UserError on all ranks for axes that make no sense, fewer than 2 stencil_width + 1 cells along an axis,
  /// cells that are no multiple of the alignment, or ranks that cannot all have stencil_width cells along each axis.
  CellGrid(MPI_Comm comm, std::vector<Axis> axes, PetscInt stencil_width = 1, PetscInt alignment = 1);

  MPI_Comm comm() const;
  DM dm() const { return dm_.get(); }
  int dimension() const { return static_cast<int>(axes_.size()); }
  PetscInt stencil_width() const { return stencil_width_; }
  const Axis& axis(int d) const { return axes_[static_cast<std::size_t>(d)]; }
  /// h along axis d.
  double spacing(int d) const;
  std::int64_t global_cells() const;
  std::int64_t local_cells() const { return std::int64_t{extent_[0]} * extent_[1] * extent_[2]; }
  /// Index of this rank's first cell along each axis, and how many there are; 0 and 1 beyond the dimension.
  const std::array<PetscInt, 3>& corner() const { return corner_; }
  const std::array<PetscInt, 3>& extent() const { return extent_; }
  /// How many parts there are along each axis, and which of them this rank's is; 1 and 0 beyond the dimension.
  const std::array<PetscInt, 3>& parts() const { return parts_; }
  const std::array<PetscInt, 3>& part() const { return part_; }
  PetscInt alignment() const { return alignment_; }
  /// Cells along axis d of the shortest and of the longest part.
  PetscInt least_extent(int d) const { return shares_[static_cast<std::size_t>(d)].back(); }
  PetscInt largest_extent(int d) const { return shares_[static_cast<std::size_t>(d)].front(); }
  /// The rank of the next part along axis d, this rank itself if there is one part only; MPI_PROC_NULL beyond a
  /// boundary that is not periodic.
  int neighbour(int d, bool high) const;
  /// As extent(), with stencil_width() ghost cells on each side of each axis.
  std::array<PetscInt, 3> ghosted_extent() const;
  /// Whether this rank's part begins (ends) at a boundary that is not periodic.
  bool at_low_boundary(int d) const;
  bool at_high_boundary(int d) const;

  /// Cell centres of this rank: [local_cells, dimension], float64.
  at::Tensor centres() const;
  /// Place of each local cell in natural order (row-major z, y, x over the whole grid): [local_cells], int64.
  const at::Tensor& natural_indices() const { return natural_; }
  /// This rank's part [k, local_cells] of an array [k, global_cells] in natural order that every rank has. Throws
  /// UserError for another shape.
  at::Tensor part_of(const at::Tensor& natural) const;
  /// From rank 0's array [k, global_cells] in natural order to each rank's part [k, local_cells], float64; what the
  /// other ranks give is not looked at. Collective. Throws UserError on all ranks for another shape.
  at::Tensor scatter_natural(const at::Tensor& natural) const;
  /// The reverse: [k, global_cells] on rank 0, [k, 0] elsewhere. k must be the same everywhere. Collective.
  at::Tensor gather_natural(const at::Tensor& local) const;

 private:
  std::array<PetscInt, 3> choose_parts() const;
  void share_out();
  void create_dm();
  void connect_rank_0();

  std::vector<Axis> axes_;
  PetscInt stencil_width_;
  PetscInt alignment_;
  std::array<PetscInt, 3> parts_ = {1, 1, 1};
  std::array<PetscInt, 3> part_ = {0, 0, 0};
  std::array<std::vector<PetscInt>, 3> shares_;  // cells of each part along an axis, the longer ones first
  DmHandle dm_;
  SfHandle to_rank_0_;  // roots: local cells; leaves: natural order on rank 0
  std::array<PetscInt, 3> corner_ = {0, 0, 0};
  std::array<PetscInt, 3> extent_ = {1, 1, 1};
  at::Tensor natural_;
};

}  // namespace espalier::grid
