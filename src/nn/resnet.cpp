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

// Weight and bias, U(+-1/sqrt(fan_in)), fan_in = from window^d.
void draw_layer(std::int64_t to, std::int64_t from, const std::vector<std::int64_t>& window, at::Generator& generator,
                std::vector<at::Tensor>& leaves) {
  const double bound = 1 / std::sqrt(static_cast<double>(from * product(window)));
  std::vector<std::int64_t> shape = {to, from};
  shape.insert(shape.end(), window.begin(), window.end());
  for (const at::IntArrayRef sizes : {at::IntArrayRef(shape), at::IntArrayRef(to)})
    leaves.push_back(at::empty(sizes, at::TensorOptions().dtype(at::kDouble)).uniform_(-bound, bound, generator));
}

std::string text_of(const std::vector<std::int64_t>& cells) {
  std::vector<std::string> texts;
  for (const auto n : cells) texts.push_back(std::to_string(n));
  return core::join(texts, "x");
}

}  // namespace

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
  std::vector<std::int64_t> padded = settings_.cells;
  for (auto& n : padded) n += 2;
  return product(padded);
}

// W x + b in each cell; x: [samples, from, cells].
at::Tensor Resnet::over_channels(const at::Tensor& x, std::size_t layer) {
  const auto& weight = parameters().tensors()[2 * layer];
  const auto& bias = parameters().tensors()[2 * layer + 1];
  return at::baddbmm(bias.unsqueeze(1), weight.expand({x.size(0), weight.size(0), weight.size(1)}), x);
}

// C x + b; x: [samples, from, ...].
at::Tensor Resnet::convolve(const at::Tensor& x, std::size_t layer) {
  return grid_convolution(x, parameters().tensors()[2 * layer], parameters().tensors()[2 * layer + 1],
                          settings_.boundary == ResnetBoundary::circular);
}

at::Tensor Resnet::evaluate_part(const at::Tensor& u) {
  const std::int64_t samples = u.size(0);
  std::vector<std::int64_t> shape = {samples, settings_.hidden};
  shape.insert(shape.end(), settings_.cells.begin(), settings_.cells.end());
  at::Tensor x = over_channels(u.view({samples, settings_.channels_in, cells_}), 0).view(shape);
  std::size_t layer = 1;
  // x <- s(C_2 s(C_1 x + b_1) + b_2 + x); nothing else needs what the convolutions give, so it changes in place.
  for (std::int64_t block = 0; block < settings_.blocks; ++block, layer += 2)
    x = convolve(convolve(x, layer).relu_(), layer + 1).add_(x).relu_();
  return over_channels(x.view({samples, settings_.hidden, cells_}), layer).view({samples, outputs()});
}

at::Tensor Resnet::evaluate(double /*t*/, const at::Tensor& u) {
  ESPALIER_REQUIRE(u.dim() == 2 && u.size(1) == inputs(),
                   "residual network: the state must be [samples, " + std::to_string(inputs()) + "]");
  const at::Tensor rows = u.contiguous();
  const std::int64_t samples = rows.size(0);
  if (samples == 0) return rows.new_empty({0, outputs()});
  // torch keeps small batches of one from oneDNN, which is worth more than half of the work.
  if (samples == 1 && settings_.single_precision) return evaluate_part(at::cat({rows, rows})).narrow(0, 0, 1);
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
  const std::int64_t numbers = inputs() + settings_.hidden * (1 + 2 * settings_.blocks) * cells_;
  return static_cast<std::size_t>(samples * numbers) * (settings_.single_precision ? sizeof(float) : sizeof(double));
}

std::string Resnet::fingerprint() const {
  std::ostringstream text;
  text << "resnet " << text_of(settings_.cells) << " channels " << settings_.channels_in << "/" << settings_.hidden
       << "/" << settings_.channels_out << " blocks " << settings_.blocks
       << (settings_.boundary == ResnetBoundary::circular ? " circular " : " zero ")
       << precision_names[settings_.single_precision ? 1 : 0];
  return text.str();
}

}  // namespace espalier::nn
