// U-shaped networks of convolutions on structured grids, for states that are fields.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "espalier/nn/grid_layers.hpp"
#include "espalier/nn/network.hpp"
#include "espalier/nn/resnet.hpp"

namespace espalier::nn {

struct UnetSettings {
  std::int64_t channels_in = 1;   ///< fields of the state
  std::int64_t channels_out = 1;  ///< fields of the values
  std::int64_t hidden = 16;       ///< channels on the finest grid; twice as many on each coarser one
  std::int64_t levels = 2;        ///< how often the grid is halved
  ResnetBoundary boundary = ResnetBoundary::circular;
  HaloExchange exchange = HaloExchange::layer;
  bool single_precision = false;
  std::uint64_t seed = 0;
};

/// The U-net of O. Ronneberger, P. Fischer, T. Brox (2015) with convolutions that keep the number of cells: on each
/// grid two convolutions of three cells along each axis, s(C x + b) with s(z) = max(z, 0), on the way down and on the
/// way up; between the grids convolutions of two cells with stride 2 and their transposes; on the way up the values of
/// the way down on the same grid are further channels. At last a matrix over the channels. A row of u holds
/// [channels_in, local cells] of a rank, of y [channels_out, local cells].
///
/// Parameters in the order of the layers, weight before bias, drawn as those of Resnet; the same seed gives the same
/// parameters on every rank. Values and products are those on one rank up to rounding; a rank's gradient of the
/// parameters is its part of a sum over the ranks. Collective on the grid's communicator.
class Unet : public AutogradNetwork {
 public:
  /// Throws UserError on all ranks when a number makes no sense, when parts of the grid do not begin at multiples of
  /// 2^levels cells (CellGrid's alignment), or when a part has too few cells for the halo.
  Unet(UnetSettings settings, std::shared_ptr<const grid::CellGrid> grid);

  std::int64_t inputs() const override { return settings_.channels_in * layers_->grid().local_cells(); }
  std::int64_t outputs() const override { return settings_.channels_out * layers_->grid().local_cells(); }
  MPI_Comm comm() const override { return layers_->grid().comm(); }
  /// u: [samples, inputs()] in the parameters' precision; [samples, outputs()].
  at::Tensor evaluate(double t, const at::Tensor& u) override;
  std::size_t tape_bytes(std::int64_t samples) const override;
  std::string fingerprint() const override;
  /// What this rank has sent to others.
  grid::HaloTraffic halo_traffic() const { return layers_->traffic(); }

 private:
  at::Tensor convolve_twice(const at::Tensor& x, std::size_t& layer);
  at::Tensor on_level(const at::Tensor& x, std::int64_t level, std::int64_t ghosts, std::size_t& layer);

  UnetSettings settings_;
  std::unique_ptr<GridLayers> layers_;
};

}  // namespace espalier::nn
