// Layers of networks on the rank's part of a distributed grid, with the values that they have on one rank.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "espalier/grid/field_halo.hpp"

namespace espalier::nn {

/// When the ranks exchange what convolutions see of each other's cells.
enum class HaloExchange {
  layer,  ///< before each convolution, one cell of each channel
  once    ///< before the first one, of the network's inputs as many cells as all convolutions see; the values of cells
          ///< near the boundaries are then computed by both ranks
};

/// The names for options, in the order of the enumeration.
const std::vector<std::string>& halo_exchange_names();

/// Fields are tensors [samples, channels, (z,) y, x] of this rank's cells, x fastest; exchanged once, with ghost cells
/// where other ranks' parts begin, of which each convolution uses up one layer. float32 or float64. Everything can be
/// differentiated any number of times. Collective on the grid's communicator unless it says otherwise.
class GridLayers {
 public:
  /// `padding`: what stands beyond ends that are not periodic. `reach`: the ghost cells that all layers together use
  /// up, 1 with HaloExchange::layer; `coarser`: the factor between the finest and the coarsest grid. Throws UserError
  /// on all ranks when a part of the grid has too few cells for it.
  GridLayers(std::shared_ptr<const grid::CellGrid> grid, grid::Padding padding, HaloExchange exchange,
             std::int64_t reach, std::int64_t coarser = 1);

  /// From [samples, channels * local cells] to fields, with the ghosts that all layers need if exchanged once.
  at::Tensor begin(const at::Tensor& u, std::int64_t channels) const;
  /// C x + b with three cells along each axis; weight [to, from, 3, ...], bias [to].
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  /// x without the ghosts that a value has lost which is `layers` of x's cells nearer to the end of the network. Not
  /// collective.
  at::Tensor cropped(const at::Tensor& x, std::int64_t layers) const;

  bool exchanges_once() const { return exchange_ == HaloExchange::once; }
  const grid::CellGrid& grid() const { return halo_.grid(); }
  /// The most cells that a rank has, ghosts of the first layer included: the same number on every rank.
  std::int64_t largest_part() const;
  grid::HaloTraffic traffic() const { return halo_.traffic(); }

 private:
  grid::FieldHalo halo_;
  HaloExchange exchange_;
  std::int64_t reach_;
};

/// W x + b in each cell; x: [samples, from, ...], weight [to, from], bias [to]. Not collective.
at::Tensor over_channels(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
/// A convolution of two cells along each axis with stride 2, which needs no other rank's cells when parts begin at even
/// cells; weight [to, from 2^d], for each channel the cells of a block, x fastest. Not collective.
at::Tensor halved(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
/// Its transpose, each value becomes a block of two cells along each axis; weight [to 2^d, from], bias [to]. Not
/// collective.
at::Tensor doubled(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Appends weight [to, from, window...] and bias [to] of a layer, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) in float64, fan_in
/// = the weight's entries for one value.
void draw_layer(std::int64_t to, std::int64_t from, const std::vector<std::int64_t>& window, at::Generator& generator,
                std::vector<at::Tensor>& leaves);

}  // namespace espalier::nn
