#include "espalier/nn/resnet.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <sstream>
#include <utility>

#include "espalier/core/error.hpp"
#include "grid_convolution.hpp"

namespace espalier::nn {

namespace {

const std::vector<std::string> precision_names = {"double", "float"};
const std::vector<std::string> boundary_names = {"circular", "zero", "reflect", "replicate"};

// A batch is evaluated in parts whose tensors are of this size or little more. They stay in the cache, and below the
// size from which each tensor gets new pages of the system (core/session.cpp).
constexpr std::int64_t part_bytes = 2 << 20;

ResnetSettings checked(ResnetSettings settings) {
  const auto positive = [](std::int64_t number) { return number > 0; };
  ESPALIER_REQUIRE(
      !settings.cells.empty() && settings.cells.size() <= 3,
      "residual network: the grid must have one to three axes, not " + std::to_string(settings.cells.size()));
  ESPALIER_REQUIRE(std::all_of(settings.cells.begin(), settings.cells.end(), positive),
                   "residual network: each axis of the grid needs at least one cell");
  ESPALIER_REQUIRE(settings.channels_in > 0 && settings.channels_out > 0 && settings.hidden > 0,
                   "residual network: inputs, values and hidden layers need at least one channel each");
  ESPALIER_REQUIRE(settings.blocks > 0, "residual network: at least one block is needed");
  return settings;
}

std::int64_t product(const std::vector<std::int64_t>& factors) {
  return std::accumulate(factors.begin(), factors.end(), std::int64_t{1}, std::multiplies<>());
}

std::string text_of(const std::vector<std::int64_t>& cells) {
  std::vector<std::string> texts;
  for (const auto n : cells) texts.push_back(std::to_string(n));
  return core::join(texts, "x");
}

// A grid of this process alone for boundaries that convolutions do not bring along.
std::shared_ptr<const grid::CellGrid> own_grid(const ResnetSettings& settings) {
  const grid::Boundary end{grid::BoundaryType::neumann, 0};
  std::vector<grid::Axis> axes;
  for (auto cells = settings.cells.rbegin(); cells != settings.cells.rend(); ++cells)
    axes.push_back({static_cast<PetscInt>(*cells), 0, 1, end, end});
  return std::make_shared<grid::CellGrid>(PETSC_COMM_SELF, axes);
}

std::vector<std::int64_t> cells_of(const grid::CellGrid& grid) {
  std::vector<std::int64_t> cells;
  for (int d = grid.dimension() - 1; d >= 0; --d) cells.push_back(grid.axis(d).cells);
  return cells;
}

}  // namespace

grid::Padding padding_of(ResnetBoundary boundary, const grid::CellGrid& grid) {
  for (int d = 0; d < grid.dimension(); ++d)
    ESPALIER_REQUIRE(boundary != ResnetBoundary::circular || grid.axis(d).low.type == grid::BoundaryType::periodic,
                     "a network with circular boundaries needs a grid that is periodic along all axes: choose one of " +
                         core::join(grid::padding_names()));
  if (boundary == ResnetBoundary::reflect) return grid::Padding::reflect;
  return boundary == ResnetBoundary::replicate ? grid::Padding::replicate : grid::Padding::zero;
}

void ResnetSettings::read(MPI_Comm comm) {
  core::read_options(comm, "Network", [&](core::OptionReader& o) {
    hidden = o.integer("-network_hidden", "channels of the hidden layers", static_cast<PetscInt>(hidden), 1);
    blocks = o.integer("-network_blocks", "residual blocks of two convolutions", static_cast<PetscInt>(blocks), 1);
    single_precision = o.choice("-network_precision", "precision of the network under the double solver",
                                precision_names, single_precision ? 1 : 0) == 1;
    seed = static_cast<std::uint64_t>(
        o.integer("-network_seed", "seed of the initial parameters", static_cast<PetscInt>(seed), 0));
  });
}

Resnet::Resnet(ResnetSettings settings) : settings_(checked(std::move(settings))), cells_(product(settings_.cells)) {
  if (settings_.boundary == ResnetBoundary::reflect || settings_.boundary == ResnetBoundary::replicate) {
    const auto grid = own_grid(settings_);
    layers_.emplace(grid, padding_of(settings_.boundary, *grid), HaloExchange::layer, 1);
  }
  draw_parameters();
}

Resnet::Resnet(ResnetSettings settings, std::shared_ptr<const grid::CellGrid> grid, HaloExchange exchange)
    : settings_([&] {
        settings.cells = cells_of(*grid);
        return checked(std::move(settings));
      }()),
      cells_(grid->local_cells()) {
  // Two convolutions in each block.
  layers_.emplace(grid, padding_of(settings_.boundary, *grid), exchange, 2 * settings_.blocks);
  draw_parameters();
}

void Resnet::draw_parameters() {
  at::Generator generator = at::detail::createCPUGenerator(settings_.seed);
  const std::vector<std::int64_t> window(settings_.cells.size(), 3);
  std::vector<at::Tensor> leaves;
  {
    const torch::NoGradGuard no_grad;
    draw_layer(settings_.hidden, settings_.channels_in, {}, generator, leaves);
    for (std::int64_t i = 0; i < 2 * settings_.blocks; ++i)
      draw_layer(settings_.hidden, settings_.hidden, window, generator, leaves);
    draw_layer(settings_.channels_out, settings_.hidden, {}, generator, leaves);
  }
  // Drawn in double and rounded, so that both precisions start from the same function.
  const auto type = settings_.single_precision ? at::kFloat : at::kDouble;
  for (auto& leaf : leaves) leaf = leaf.to(type).requires_grad_(true);
  adopt(std::move(leaves));
}

std::int64_t Resnet::padded_cells() const {
  if (layers_) return layers_->largest_part();
  std::vector<std::int64_t> padded = settings_.cells;
  for (auto& n : padded) n += 2;
  return product(padded);
}

// C x + b; x: [samples, from, ...].
at::Tensor Resnet::convolve(const at::Tensor& x, std::size_t layer) {
  const at::Tensor& weight = parameters().tensors()[2 * layer];
  const at::Tensor& bias = parameters().tensors()[2 * layer + 1];
  if (layers_) return layers_->convolve(x, weight, bias);
  return grid_convolution(x, weight, bias,
                          settings_.boundary == ResnetBoundary::circular ? Ghosts::circular : Ghosts::zeros);
}

at::Tensor Resnet::evaluate_part(const at::Tensor& u) {
  const auto& theta = parameters().tensors();
  std::vector<std::int64_t> shape = {u.size(0), settings_.channels_in};
  shape.insert(shape.end(), settings_.cells.begin(), settings_.cells.end());
  at::Tensor x = over_channels(layers_ ? layers_->begin(u, settings_.channels_in) : u.view(shape), theta[0], theta[1]);
  std::size_t layer = 1;
  // x <- s(C_2 s(C_1 x + b_1) + b_2 + x); nothing else needs what the convolutions give, so it changes in place.
  for (std::int64_t block = 0; block < settings_.blocks; ++block, layer += 2)
    x = convolve(convolve(x, layer).relu_(), layer + 1).add_(layers_ ? layers_->cropped(x, 2) : x).relu_();
  return over_channels(x, theta[2 * layer], theta[2 * layer + 1]).view({u.size(0), outputs()});
}

at::Tensor Resnet::evaluate(double /*t*/, const at::Tensor& u) {
  ESPALIER_REQUIRE(u.dim() == 2 && u.size(1) == inputs(),
                   "residual network: the state must be [samples, " + std::to_string(inputs()) + "]");
  const at::Tensor rows = u.contiguous();
  const std::int64_t samples = rows.size(0);
  if (samples == 0) return rows.new_empty({0, outputs()});
  // torch keeps small batches of one from oneDNN, which is worth more than half of the work.
  if (samples == 1 && settings_.single_precision && !layers_)
    return evaluate_part(at::cat({rows, rows})).narrow(0, 0, 1);
  const std::int64_t bytes = settings_.hidden * padded_cells() * rows.element_size();
  // At least two samples in each part, for the same reason.
  const std::int64_t parts = std::max<std::int64_t>(1, samples / std::max<std::int64_t>(2, part_bytes / bytes));
  if (parts == 1) return evaluate_part(rows);
  std::vector<at::Tensor> values;
  for (const auto& part : at::tensor_split(rows, parts)) values.push_back(evaluate_part(part));
  return at::cat(values);
}

// The values of each activation, which are the next convolution's input, and what the first one gets.
std::size_t Resnet::tape_bytes(std::int64_t samples) const {
  const std::int64_t cells = layers_ ? layers_->largest_part() : cells_;
  const std::int64_t numbers = (settings_.channels_in + settings_.hidden * (1 + 2 * settings_.blocks)) * cells;
  return static_cast<std::size_t>(samples * numbers) * (settings_.single_precision ? sizeof(float) : sizeof(double));
}

std::string Resnet::fingerprint() const {
  std::ostringstream text;
  text << "resnet " << text_of(settings_.cells) << " channels " << settings_.channels_in << "/" << settings_.hidden
       << "/" << settings_.channels_out << " blocks " << settings_.blocks << " "
       << boundary_names[static_cast<std::size_t>(settings_.boundary)] << " "
       << precision_names[settings_.single_precision ? 1 : 0];
  return text.str();
}

}  // namespace espalier::nn
