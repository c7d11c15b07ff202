// What tests of networks on distributed grids share: grids, and the definition of ghost cells on the whole grid.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/grid/field_halo.hpp"

namespace espalier::testing {

inline int rank_in(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

inline int size_of(MPI_Comm comm) {
  int size = 1;
  MPI_Comm_size(comm, &size);
  return size;
}

struct NetworkGrid {
  std::shared_ptr<const grid::CellGrid> grid;
  grid::Padding padding;
  std::string name;
};

/// One to three axes, periodic or not, with each padding; four cells for each of `ranks` along an axis that all of them
/// share, so that halos of three cells fit.
inline std::vector<NetworkGrid> network_grids(MPI_Comm comm = PETSC_COMM_WORLD, int ranks = 0, PetscInt alignment = 1) {
  if (ranks == 0) ranks = size_of(PETSC_COMM_WORLD);
  const grid::Boundary wall{grid::BoundaryType::neumann, 0};
  const auto open = [&](PetscInt n) { return grid::Axis{n, 0, 1, wall, wall}; };
  const auto ring = [](PetscInt n) { return grid::Axis{n, 0, 1, {}, {}}; };
  const PetscInt line = 4 * ranks + (alignment == 1 ? 1 : 0);
  const PetscInt side = alignment == 1 ? 13 : 24;
  const std::vector<std::vector<grid::Axis>> all = {{ring(line)},
                                                    {open(line)},
                                                    {ring(side), ring(side + alignment)},
                                                    {ring(side), open(side)},
                                                    {open(side), open(side - alignment)},
                                                    {ring(8), open(12), ring(8)}};
  std::vector<NetworkGrid> grids;
  for (const auto& axes : all)
    for (const auto padding : {grid::Padding::zero, grid::Padding::reflect, grid::Padding::replicate}) {
      bool periodic = true;
      std::string name = "grid";
      for (const auto& axis : axes) {
        periodic = periodic && axis.low.type == grid::BoundaryType::periodic;
        name += " " + std::to_string(axis.cells) + (axis.low.type == grid::BoundaryType::periodic ? "p" : "");
      }
      if (periodic && padding != grid::Padding::zero) continue;
      grids.push_back({std::make_shared<grid::CellGrid>(comm, axes, 1, alignment), padding,
                       name + " " + grid::padding_names()[static_cast<std::size_t>(padding)]});
    }
  return grids;
}

/// Fields [.., z, y, x] of the whole grid with `width` ghost cells, by definition.
inline at::Tensor framed(const grid::CellGrid& grid, grid::Padding padding, at::Tensor x, std::int64_t width) {
  for (int d = 0; d < grid.dimension(); ++d) {
    const std::int64_t axis = x.dim() - 1 - d;
    const std::int64_t n = x.size(axis);
    std::vector<at::Tensor> layers;
    for (std::int64_t i = -width; i < n + width; ++i) {
      std::int64_t from = i;
      double factor = 1;
      if (i < 0 || i >= n) {
        if (grid.axis(d).low.type == grid::BoundaryType::periodic) {
          from = (i + n) % n;
        } else if (padding == grid::Padding::zero) {
          from = 0;
          factor = 0;
        } else if (padding == grid::Padding::reflect) {
          from = i < 0 ? -i : 2 * (n - 1) - i;
        } else {
          from = i < 0 ? 0 : n - 1;
        }
      }
      layers.push_back(factor == 0 ? at::zeros_like(x.narrow(axis, 0, 1)) : x.narrow(axis, from, 1));
    }
    x = at::cat(layers, axis);
  }
  return x;
}

}  // namespace espalier::testing
