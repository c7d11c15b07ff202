// What tests of networks on distributed grids share: grids, and the definition of ghost cells on the whole grid.
#pragma once

#include <ATen/ATen.h>

#include <torch/autograd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/rank.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/grid/field_halo.hpp"
#include "espalier/nn/network.hpp"
#include "nn/tensors.hpp"

namespace espalier::testing {

struct NetworkGrid {
  std::shared_ptr<const grid::CellGrid> grid;
  grid::Padding padding;
  std::string name;
};

/// One to three axes, periodic or not, with each padding; four cells for each of `ranks` along an axis that all of them
/// share, so that halos of three cells fit.
inline std::vector<NetworkGrid> network_grids(MPI_Comm comm = PETSC_COMM_WORLD, int ranks = 0, PetscInt alignment = 1) {
  if (ranks == 0) ranks = testing::size_of();
  const grid::Boundary wall{grid::BoundaryType::neumann, 0};
  const auto open = [&](PetscInt n) { return grid::Axis{n, 0, 1, wall, wall}; };
  const auto ring = [](PetscInt n) { return grid::Axis{n, 0, 1, {}, {}}; };
  const PetscInt line = 4 * ranks + (alignment == 1 ? 1 : 0);
  const PetscInt side = alignment == 1 ? 13 : 24;
  const std::vector<std::vector<grid::Axis>> all = {{ring(line)},
                                                    {open(line)},
                                                    {ring(side), ring(side + alignment)},
                                                    {ring(side), open(side)},
                                                    {open(side), open(side + 2 * alignment)},
                                                    {ring(8), open(alignment == 1 ? 12 : 48), ring(8)}};
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

/// This rank's part of [samples, fields * all cells].
inline at::Tensor part_of(const grid::CellGrid& grid, const at::Tensor& whole) {
  const std::int64_t fields = whole.size(1) / grid.global_cells();
  return grid.part_of(whole.reshape({whole.size(0) * fields, grid.global_cells()}))
      .reshape({whole.size(0), fields * grid.local_cells()});
}

inline at::Tensor sum_over_ranks(const at::Tensor& local) {
  at::Tensor all = local.to(at::kDouble).contiguous().clone();
  MPI_Allreduce(MPI_IN_PLACE, all.data_ptr(), static_cast<int>(all.numel()), MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
  return all;
}

/// A network's function of whole states with parameters `theta`.
using WholeFunction = std::function<at::Tensor(const std::vector<at::Tensor>& theta, const at::Tensor& u)>;

/// Largest difference of a distributed network's values and derivatives from those of `reference` on the whole grid.
inline double disagreement(const grid::CellGrid& grid, nn::Network& network, const WholeFunction& reference) {
  constexpr std::int64_t samples = 2;
  const std::int64_t cells = grid.global_cells();
  const at::Tensor u = random_tensor({samples, network.inputs() / grid.local_cells() * cells}, 1).requires_grad_(true);
  const at::Tensor w = random_tensor({samples, network.outputs() / grid.local_cells() * cells}, 2);
  const at::Tensor v = random_tensor(u.sizes(), 3);
  std::vector<at::Tensor> inputs;
  for (const auto& tensor : network.parameters().tensors())
    inputs.push_back(tensor.detach().to(at::kDouble).clone().requires_grad_(true));
  const std::vector<at::Tensor> theta = inputs;
  inputs.push_back(u);
  const at::Tensor expected = reference(theta, u);
  const auto expected_bar = torch::autograd::grad({expected}, inputs, {w});

  const at::Tensor w_part = part_of(grid, w);
  const at::Tensor u_part = part_of(grid, u.detach());
  const at::Tensor v_part = part_of(grid, v);
  const at::Tensor y = at::empty_like(w_part);
  const at::Tensor pushed = at::empty_like(w_part);
  const at::Tensor u_bar = at::empty_like(u_part);
  network.parameters().zero_gradient();
  network.forward(0, u_part, y);
  double largest = difference(y, part_of(grid, expected.detach()));
  const auto tape = network.record(0, u_part, y);
  tape->vjp(w_part, u_bar);
  tape->accumulate(1);
  tape->jvp(v_part, pushed);
  largest = std::max(largest, difference(y, part_of(grid, expected.detach())));
  largest = std::max(largest, difference(u_bar, part_of(grid, expected_bar.back())));
  std::vector<at::Tensor> flat;
  for (std::size_t i = 0; i < theta.size(); ++i) flat.push_back(expected_bar[i].flatten());
  largest = std::max(largest, difference(sum_over_ranks(network.parameters().gradient()), at::cat(flat)));
  // <w, J v> = <J^T w, v>
  const at::Tensor products = sum_over_ranks(at::stack({(w_part * pushed).sum(), (u_bar * v_part).sum()}));
  return std::max(largest, difference(products[0], products[1]));
}

}  // namespace espalier::testing
