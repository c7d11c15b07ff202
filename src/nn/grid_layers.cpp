#include "espalier/nn/grid_layers.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "espalier/core/error.hpp"
#include "grid_convolution.hpp"

namespace espalier::nn {

namespace {

std::vector<std::int64_t> cells_of(const at::Tensor& x) { return x.sizes().slice(2).vec(); }

std::vector<std::int64_t> joined(std::vector<std::int64_t> first, const std::vector<std::int64_t>& then) {
  first.insert(first.end(), then.begin(), then.end());
  return first;
}

/// The order of axes between [samples, channels, z/2, 2, y/2, 2, x/2, 2] and [samples, channels, 2, 2, 2, z/2, y/2,
/// x/2].
std::vector<std::int64_t> blocks_first(std::int64_t dimension) {
  std::vector<std::int64_t> order = {0, 1};
  for (const std::int64_t inner : {1, 0})
    for (std::int64_t d = 0; d < dimension; ++d) order.push_back(2 + 2 * d + inner);
  return order;
}

std::vector<std::int64_t> blocks_last(std::int64_t dimension) {
  std::vector<std::int64_t> order = {0, 1};
  for (std::int64_t d = 0; d < dimension; ++d) {
    order.push_back(2 + dimension + d);
    order.push_back(2 + d);
  }
  return order;
}

}  // namespace

const std::vector<std::string>& halo_exchange_names() {
  static const std::vector<std::string> names = {"layer", "once"};
  return names;
}

GridLayers::GridLayers(std::shared_ptr<const grid::CellGrid> grid, grid::Padding padding, HaloExchange exchange,
                       std::int64_t reach, std::int64_t coarser)
    : halo_(std::move(grid), padding), exchange_(exchange), reach_(exchange == HaloExchange::once ? reach : 1) {
  const std::string what =
      exchanges_once() ? "a network that exchanges its halo once (-network_halo once)" : "a network of convolutions";
  if (exchanges_once()) halo_.require_cells(reach_, grid::Sides::remote, 1, what);
  halo_.require_cells(1, exchanges_once() ? grid::Sides::local : grid::Sides::all, coarser, what);
}

at::Tensor GridLayers::begin(const at::Tensor& u, std::int64_t channels) const {
  std::vector<std::int64_t> shape = {u.size(0), channels};
  for (int d = grid().dimension() - 1; d >= 0; --d) shape.push_back(grid().extent()[static_cast<std::size_t>(d)]);
  const at::Tensor fields = u.reshape(shape);
  return exchanges_once() ? halo_.extend(fields, reach_, grid::Sides::remote) : fields;
}

at::Tensor GridLayers::convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
  const at::Tensor framed = halo_.extend(x, 1, exchanges_once() ? grid::Sides::local : grid::Sides::all);
  return grid_convolution(framed, weight, bias, Ghosts::given);
}

at::Tensor GridLayers::cropped(const at::Tensor& x, std::int64_t layers) const {
  if (!exchanges_once() || layers == 0) return x;
  at::Tensor inner = x;
  for (int d = 0; d < grid().dimension(); ++d) {
    if (grid().parts()[static_cast<std::size_t>(d)] == 1) continue;
    const std::int64_t axis = x.dim() - 1 - d;
    const std::int64_t low = grid().neighbour(d, false) == MPI_PROC_NULL ? 0 : layers;
    const std::int64_t high = grid().neighbour(d, true) == MPI_PROC_NULL ? 0 : layers;
    inner = inner.narrow(axis, low, x.size(axis) - low - high);
  }
  return inner;
}

std::int64_t GridLayers::largest_part() const {
  std::int64_t cells = 1;
  for (int d = 0; d < grid().dimension(); ++d) cells *= grid().largest_extent(d) + 2 * reach_;
  return cells;
}

at::Tensor over_channels(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor values =
      at::baddbmm(bias.unsqueeze(1), weight.expand({x.size(0), weight.size(0), weight.size(1)}), x.flatten(2));
  return values.view(joined({x.size(0), weight.size(0)}, cells_of(x)));
}

at::Tensor halved(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  std::vector<std::int64_t> blocks = {x.size(0), x.size(1)};
  std::vector<std::int64_t> coarse = {x.size(0), weight.size(1)};
  for (const std::int64_t n : cells_of(x)) {
    blocks.insert(blocks.end(), {n / 2, 2});
    coarse.push_back(n / 2);
  }
  return over_channels(x.reshape(blocks).permute(blocks_first(x.dim() - 2)).reshape(coarse), weight, bias);
}

at::Tensor doubled(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const std::int64_t dimension = x.dim() - 2;
  const std::int64_t block = std::int64_t{1} << dimension;
  std::vector<std::int64_t> blocks = {x.size(0), bias.size(0)};
  blocks.insert(blocks.end(), static_cast<std::size_t>(dimension), 2);
  std::vector<std::int64_t> fine = {x.size(0), bias.size(0)};
  for (const std::int64_t n : cells_of(x)) fine.push_back(2 * n);
  const at::Tensor values = over_channels(x, weight, bias.repeat_interleave(block));
  return values.reshape(joined(blocks, cells_of(x))).permute(blocks_last(dimension)).reshape(fine);
}

void draw_layer(std::int64_t to, std::int64_t from, const std::vector<std::int64_t>& window, at::Generator& generator,
                std::vector<at::Tensor>& leaves) {
  const std::int64_t cells = std::accumulate(window.begin(), window.end(), std::int64_t{1}, std::multiplies<>());
  const double bound = 1 / std::sqrt(static_cast<double>(from * cells));
  for (const auto& sizes : {joined({to, from}, window), std::vector<std::int64_t>{to}})
    leaves.push_back(at::empty(sizes, at::TensorOptions().dtype(at::kDouble)).uniform_(-bound, bound, generator));
}

}  // namespace espalier::nn
