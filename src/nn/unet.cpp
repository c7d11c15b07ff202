#include "espalier/nn/unet.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/utils.h>

#include <sstream>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

/// With one exchange: ghost cells at the beginning of a level, at the end of which `ghosts` shall be left.
std::int64_t ghosts_before(std::int64_t level, std::int64_t levels, std::int64_t ghosts) {
  if (level == levels) return ghosts + 2;
  const std::int64_t coarse = (ghosts + 2 + 1) / 2;  // what the way up needs of the coarser grid
  return 2 * ghosts_before(level + 1, levels, coarse) + 2;
}

void check(const UnetSettings& settings, const grid::CellGrid& grid) {
  ESPALIER_REQUIRE(settings.channels_in > 0 && settings.channels_out > 0 && settings.hidden > 0,
                   "U-net: inputs, values and hidden layers need at least one channel each");
  ESPALIER_REQUIRE(settings.levels > 0 && settings.levels < 16,
                   "U-net: the grid is halved once or more often, but not " + std::to_string(settings.levels) +
                       " times: choose -network_levels");
  const PetscInt block = PetscInt{1} << settings.levels;
  ESPALIER_REQUIRE(grid.alignment() % block == 0, "U-net: a grid that is halved " + std::to_string(settings.levels) +
                                                      " times must be cut between the ranks at multiples of " +
                                                      std::to_string(block) + " cells, but it is at multiples of " +
                                                      std::to_string(grid.alignment()) +
                                                      ": make the CellGrid with alignment " + std::to_string(block));
}

}  // namespace

Unet::Unet(UnetSettings settings, std::shared_ptr<const grid::CellGrid> grid) : settings_(settings) {
  check(settings_, *grid);
  const std::int64_t levels = settings_.levels;
  layers_ = std::make_unique<GridLayers>(grid, padding_of(settings_.boundary, *grid), settings_.exchange,
                                         ghosts_before(0, levels, 0), std::int64_t{1} << levels);
  at::Generator generator = at::detail::createCPUGenerator(settings_.seed);
  const auto dimension = static_cast<std::size_t>(grid->dimension());
  const std::vector<std::int64_t> window(dimension, 3);
  const std::int64_t block = std::int64_t{1} << grid->dimension();
  std::vector<at::Tensor> leaves;
  const torch::NoGradGuard no_grad;
  const auto twice = [&](std::int64_t to, std::int64_t from) {
    draw_layer(to, from, window, generator, leaves);
    draw_layer(to, to, window, generator, leaves);
  };
  // In the order in which on_level() takes them.
  for (std::int64_t level = 0; level < levels; ++level) {
    const std::int64_t width = settings_.hidden << level;
    twice(width, level == 0 ? settings_.channels_in : width);
    draw_layer(2 * width, block * width, {}, generator, leaves);
  }
  twice(settings_.hidden << levels, settings_.hidden << levels);
  for (std::int64_t level = levels - 1; level >= 0; --level) {
    const std::int64_t width = settings_.hidden << level;
    draw_layer(block * width, 2 * width, {}, generator, leaves);
    leaves.back() = leaves.back().narrow(0, 0, width).clone();  // one bias for the cells of a block
    twice(width, 2 * width);
  }
  draw_layer(settings_.channels_out, settings_.hidden, {}, generator, leaves);
  // Drawn in double and rounded, so that both precisions start from the same function.
  const auto type = settings_.single_precision ? at::kFloat : at::kDouble;
  for (auto& leaf : leaves) {
    leaf = leaf.to(type).requires_grad_(true);
  }
  adopt(std::move(leaves));
}

// x <- s(C_2 s(C_1 x + b_1) + b_2)
at::Tensor Unet::convolve_twice(const at::Tensor& x, std::size_t& layer) {
  const auto& theta = parameters().tensors();
  at::Tensor y = x;
  for (int i = 0; i < 2; ++i, ++layer) y = layers_->convolve(y, theta[2 * layer], theta[2 * layer + 1]).relu_();
  return y;
}

// Of one level and those below it; `ghosts` are left at the end if all were exchanged at once.
at::Tensor Unet::on_level(const at::Tensor& x, std::int64_t level, std::int64_t ghosts, std::size_t& layer) {
  const auto& theta = parameters().tensors();
  const at::Tensor down = convolve_twice(x, layer);
  if (level == settings_.levels) return down;
  const at::Tensor coarse = halved(down, theta[2 * layer], theta[2 * layer + 1]);
  ++layer;
  const std::int64_t coarse_ghosts = (ghosts + 3) / 2;
  const at::Tensor below = on_level(coarse, level + 1, coarse_ghosts, layer);
  const at::Tensor up = doubled(below, theta[2 * layer], theta[2 * layer + 1]);
  ++layer;
  // Both with the ghosts that two more convolutions need.
  const std::int64_t down_ghosts = 2 * ghosts_before(level + 1, settings_.levels, coarse_ghosts);
  const at::Tensor beside = layers_->cropped(down, down_ghosts - ghosts - 2);
  return convolve_twice(at::cat({beside, layers_->cropped(up, 2 * coarse_ghosts - ghosts - 2)}, 1), layer);
}

at::Tensor Unet::evaluate(double /*t*/, const at::Tensor& u) {
  ESPALIER_REQUIRE(u.dim() == 2 && u.size(1) == inputs(),
                   "U-net: the state must be [samples, " + std::to_string(inputs()) + "]");
  if (u.size(0) == 0) return u.new_empty({0, outputs()});
  const auto& theta = parameters().tensors();
  std::size_t layer = 0;
  const at::Tensor x = on_level(layers_->begin(u, settings_.channels_in), 0, 0, layer);
  return over_channels(x, theta[2 * layer], theta[2 * layer + 1]).view({u.size(0), outputs()});
}

// The values of all convolutions, with their ghosts, and of the layers between the grids.
std::size_t Unet::tape_bytes(std::int64_t samples) const {
  const int dimension = layers_->grid().dimension();
  double numbers = static_cast<double>(settings_.channels_in);
  for (std::int64_t level = 0; level <= settings_.levels; ++level) {
    const auto width = static_cast<double>(settings_.hidden << level);
    numbers +=
        (level == settings_.levels ? 4 : 12) * width / static_cast<double>(std::int64_t{1} << (level * dimension));
  }
  const double entry = settings_.single_precision ? sizeof(float) : sizeof(double);
  return static_cast<std::size_t>(static_cast<double>(samples * layers_->largest_part()) * numbers * entry);
}

std::string Unet::fingerprint() const {
  std::ostringstream text;
  text << "unet";
  for (int d = layers_->grid().dimension() - 1; d >= 0; --d)
    text << (d + 1 == layers_->grid().dimension() ? " " : "x") << layers_->grid().axis(d).cells;
  text << " channels " << settings_.channels_in << "/" << settings_.hidden << "/" << settings_.channels_out
       << " levels " << settings_.levels << " boundary " << static_cast<int>(settings_.boundary)
       << (settings_.single_precision ? " float" : " double");
  return text.str();
}

}  // namespace espalier::nn
