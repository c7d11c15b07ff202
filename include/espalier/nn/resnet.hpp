// Residual networks of convolutions on structured grids, for states that are fields.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/nn/grid_layers.hpp"
#include "espalier/nn/network.hpp"

namespace espalier::nn {

/// What a network of convolutions sees around its grid.
enum class ResnetBoundary {
  circular,  ///< the grid is periodic
  zero,      ///< zeros around the grid: homogeneous Dirichlet values
  reflect,   ///< the mirror image in the last cell's centre
  replicate  ///< the last cell's value
};

/// The same for the ends of a grid that are not periodic. Throws UserError when the grid is to be periodic and is not.
grid::Padding padding_of(ResnetBoundary boundary, const grid::CellGrid& grid);

struct ResnetSettings {
  std::vector<std::int64_t> cells;  ///< of the grid along each of one to three axes, the slowest first: {z, y, x}
  std::int64_t channels_in = 1;     ///< fields of the state
  std::int64_t channels_out = 1;    ///< fields of the values
  std::int64_t hidden = 32;         ///< channels in between
  std::int64_t blocks = 6;
  ResnetBoundary boundary = ResnetBoundary::circular;
  bool single_precision = false;
  std::uint64_t seed = 0;

  /// Reads -network_hidden, -network_blocks, -network_precision and -network_seed; what the structure holds before is
  /// the default. Collective on `comm`.
  void read(MPI_Comm comm);
};

/// The classic residual network (K. He, X. Zhang, S. Ren, J. Sun, 2016) without normalisation:
///   x = W_0 u + b_0,  x <- s(C_2 s(C_1 x + b_1) + b_2 + x) in each block,  y = W_1 x + b,
/// s(z) = max(z, 0), C convolutions of three cells along each axis with stride 1, W matrices over the channels of a
/// cell. A row of u holds [channels_in, cells], of y [channels_out, cells].
///
/// Parameters in the order of the layers, weight before bias; a convolution's weight is [to, from, 3, ...]. All start
/// as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), fan_in = from 3^d (1 for d in W). The same seed gives the same parameters on
/// every rank, up to rounding in both precisions.
///
/// In float the convolutions are those of oneDNN where torch has it, close to what the processor can do; in double our
/// own, at a third to a half of that speed.
class Resnet : public AutogradNetwork {
 public:
  /// Of whole states. Throws UserError when a number makes no sense.
  explicit Resnet(ResnetSettings settings);
  /// Of states that are spread over the ranks of a grid, each rank its part [channels, local cells]: values and
  /// products are those on one rank up to rounding, and a rank's gradient of the parameters is its part of a sum over
  /// the ranks. settings.cells are those of the grid; settings.boundary says what stands beyond ends that are not
  /// periodic. Evaluations and products are collective on the grid's communicator, and so is the constructor. Throws
  /// UserError on all ranks, also for parts that have too few cells for the halo.
  Resnet(ResnetSettings settings, std::shared_ptr<const grid::CellGrid> grid,
         HaloExchange exchange = HaloExchange::layer);

  std::int64_t inputs() const override { return settings_.channels_in * cells_; }
  std::int64_t outputs() const override { return settings_.channels_out * cells_; }
  MPI_Comm comm() const override { return layers_ ? layers_->grid().comm() : MPI_COMM_NULL; }
  /// u: [samples, inputs()] in the parameters' precision; [samples, outputs()].
  at::Tensor evaluate(double t, const at::Tensor& u) override;
  std::size_t tape_bytes(std::int64_t samples) const override;
  std::string fingerprint() const override;
  const ResnetSettings& settings() const { return settings_; }
  /// What this rank has sent to others; nothing without a grid.
  grid::HaloTraffic halo_traffic() const { return layers_ ? layers_->traffic() : grid::HaloTraffic(); }

 private:
  void draw_parameters();
  at::Tensor evaluate_part(const at::Tensor& u);
  at::Tensor convolve(const at::Tensor& x, std::size_t layer);
  std::int64_t padded_cells() const;

  ResnetSettings settings_;
  std::optional<GridLayers> layers_;
  std::int64_t cells_;  // of this rank
};

}  // namespace espalier::nn
