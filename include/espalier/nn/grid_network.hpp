// The networks for states that are fields on a grid, chosen by options.
#pragma once

#include <memory>

#include "espalier/nn/mlp.hpp"
#include "espalier/nn/resnet.hpp"

namespace espalier::nn {

enum class GridNetworkKind {
  mlp,    ///< of all cells at once
  resnet  ///< convolutions
};

/// A network from states to states of the same shape.
struct GridNetworkSettings {
  GridNetworkKind kind = GridNetworkKind::mlp;
  MlpSettings mlp;        ///< widths: of the hidden layers; those of both ends are made to fit the cells
  ResnetSettings resnet;  ///< its cells and channels are those of the states

  /// Reads -network_type (mlp, resnet) and the options of both. Collective on `comm`.
  void read(MPI_Comm comm);
  /// In single precision if asked for and allowed: gradient checks want double. The same parameters in both, up to
  /// rounding, and on all ranks. Throws UserError for settings that make no sense.
  std::shared_ptr<Network> make(bool allow_single = true) const;
};

}  // namespace espalier::nn
