// The networks for states that are fields on a grid, chosen by options.
#pragma once

#include <memory>

#include "espalier/nn/mlp.hpp"
#include "espalier/nn/resnet.hpp"
#include "espalier/nn/unet.hpp"

namespace espalier::nn {

enum class GridNetworkKind {
  mlp,       ///< of all cells at once; only of whole states
  resnet,    ///< convolutions
  unet,      ///< convolutions on finer and coarser grids; only of states on a distributed grid, and so are
  pointwise  ///< layers of the fields in one cell, the same in all
};

/// A network from states to states of the same shape.
struct GridNetworkSettings {
  GridNetworkKind kind = GridNetworkKind::mlp;
  MlpSettings mlp;          ///< widths: of the hidden layers; those of both ends are made to fit the state
  ResnetSettings resnet;    ///< its cells and channels are those of the states; boundary, precision and seed are
                            ///< those of all networks of convolutions
  std::int64_t levels = 2;  ///< of a U-net
  HaloExchange exchange = HaloExchange::layer;

  /// Reads -network_type (mlp, resnet), -network_padding and the options of both, for whole states. Collective on
  /// `comm`.
  void read(MPI_Comm comm);
  /// The same for states on a distributed grid: -network_type (resnet, unet, pointwise), -network_levels,
  /// -network_halo. `periodic`: whether the grid is along all axes; else -network_padding is read too.
  void read_for_grid(MPI_Comm comm, bool periodic);
  /// Cells to whose multiples the parts of a distributed grid must be aligned.
  PetscInt alignment() const { return kind == GridNetworkKind::unet ? PetscInt{1} << levels : 1; }
  /// In single precision if asked for and allowed: gradient checks want double. The same parameters in both, up to
  /// rounding, and on all ranks. Throws UserError for settings that make no sense.
  std::shared_ptr<Network> make(bool allow_single = true) const;
  /// Of states spread over the ranks of a grid, [channels, local cells] on each. Collective on the grid's communicator.
  std::shared_ptr<Network> make(std::shared_ptr<const grid::CellGrid> grid, bool allow_single = true) const;
};

}  // namespace espalier::nn
