#include "espalier/nn/conditional_field.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

constexpr double leaky_slope = 0.01;

const std::vector<std::string> precision_names = {"double", "float"};

std::vector<std::int64_t> widths_of(std::int64_t inputs, const std::vector<std::int64_t>& hidden,
                                    std::int64_t outputs) {
  std::vector<std::int64_t> widths = {inputs};
  widths.insert(widths.end(), hidden.begin(), hidden.end());
  widths.push_back(outputs);
  return widths;
}

std::string text_of(const std::vector<std::int64_t>& widths) {
  std::vector<std::string> texts;
  for (const auto width : widths) texts.push_back(std::to_string(width));
  return core::join(texts, "/");
}

// One number for all fields, one for each, or none.
void check_list(const std::vector<double>& numbers, std::size_t fields, const std::string& what) {
  ESPALIER_REQUIRE(numbers.size() <= 1 || numbers.size() == fields,
                   "conditional field: " + std::to_string(numbers.size()) + " numbers as " + what + " of " +
                       std::to_string(fields) + " fields: give one for each, or one for all");
  for (const double number : numbers)
    ESPALIER_REQUIRE(std::isfinite(number), "conditional field: the " + what + " must be finite");
}

ConditionalFieldSettings checked(ConditionalFieldSettings settings) {
  const auto positive = [](const std::vector<std::int64_t>& widths) {
    return std::all_of(widths.begin(), widths.end(), [](std::int64_t width) { return width > 0; });
  };
  ESPALIER_REQUIRE(!settings.names.empty(), "conditional field: at least one field needs a name");
  ESPALIER_REQUIRE(positive({settings.dimension, settings.condition, settings.latent}),
                   "conditional field: points, condition and latent code need at least one entry each");
  ESPALIER_REQUIRE(!settings.hidden.empty(), "conditional field: the base network needs a hidden layer");
  ESPALIER_REQUIRE(positive(settings.hidden) && positive(settings.hypernetwork),
                   "conditional field: widths of hidden layers must be positive");
  ESPALIER_REQUIRE(std::isfinite(settings.omega) && settings.omega > 0, "conditional field: omega must be positive");
  ESPALIER_REQUIRE(std::isfinite(settings.spread) && settings.spread > 0,
                   "conditional field: the spread must be positive: a projector without matrix hides the condition");
  check_list(settings.scale, settings.names.size(), "scale");
  check_list(settings.offset, settings.names.size(), "offset");
  return settings;
}

// numbers[k] for each field, [fields, 1].
at::Tensor per_field(const std::vector<double>& numbers, double otherwise, std::int64_t fields, at::ScalarType type) {
  if (numbers.size() <= 1) return at::full({fields, 1}, numbers.empty() ? otherwise : numbers.front(), type);
  return at::tensor(numbers, at::TensorOptions().dtype(at::kDouble)).unsqueeze(1).to(type);
}

at::Tensor uniform(at::IntArrayRef shape, double bound, at::Generator& generator) {
  return at::empty(shape, at::TensorOptions().dtype(at::kDouble)).uniform_(-bound, bound, generator);
}

// The largest weight and bias of layer l of a SIREN at the start.
std::pair<double, double> siren_bounds(std::size_t layer, std::int64_t inputs, double omega) {
  const double n = static_cast<double>(inputs);
  return {layer == 0 ? 1 / n : std::sqrt(6 / n) / omega, 1 / std::sqrt(n)};
}

// W_l and b_l of the hypernetworks, as Initialisation::uniform.
void draw_hypernetworks(const ConditionalFieldSettings& settings, at::Generator& generator,
                        std::vector<at::Tensor>& leaves) {
  const auto fields = static_cast<std::int64_t>(settings.names.size());
  const auto widths = widths_of(settings.condition, settings.hypernetwork, settings.latent);
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    const double bound = 1 / std::sqrt(static_cast<double>(widths[l]));
    leaves.push_back(uniform({fields, widths[l + 1], widths[l]}, bound, generator));
    leaves.push_back(uniform({fields, 1, widths[l + 1]}, bound, generator));
  }
}

// P and p.
void draw_projectors(const ConditionalFieldSettings& settings, const std::vector<std::int64_t>& base,
                     at::Generator& generator, std::vector<at::Tensor>& leaves) {
  const auto fields = static_cast<std::int64_t>(settings.names.size());
  const double share = settings.spread / std::sqrt(static_cast<double>(settings.latent));
  std::vector<at::Tensor> matrix;
  std::vector<at::Tensor> bias;
  for (std::size_t l = 0; l + 1 < base.size(); ++l) {
    const auto [weight_bound, bias_bound] = siren_bounds(l, base[l], settings.omega);
    for (const auto& [count, bound] : {std::pair{base[l + 1] * base[l], weight_bound}, {base[l + 1], bias_bound}}) {
      matrix.push_back(uniform({fields, count, settings.latent}, share * bound, generator));
      bias.push_back(uniform({fields, 1, count}, bound, generator));
    }
  }
  leaves.push_back(at::cat(matrix, 1));
  leaves.push_back(at::cat(bias, 2));
}

/// W x + b for each of several networks.
struct AffineMap {
  at::Tensor weight;  // [networks, outputs, inputs]
  at::Tensor bias;    // [networks, 1, outputs]
};

// The layers of base networks from their weights, [networks, weights].
std::vector<AffineMap> unpack(const at::Tensor& weights, const std::vector<std::int64_t>& widths) {
  std::vector<AffineMap> maps;
  std::int64_t first = 0;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    const std::int64_t count = widths[l + 1] * widths[l];
    maps.push_back({weights.narrow(1, first, count).view({weights.size(0), widths[l + 1], widths[l]}),
                    weights.narrow(1, first + count, widths[l + 1]).unsqueeze(1)});
    first += count + widths[l + 1];
  }
  return maps;
}

// factor (W a + b), a: [networks, n, inputs].
at::Tensor affine(const at::Tensor& a, const AffineMap& map, double factor) {
  return at::baddbmm(map.bias, a, map.weight.transpose(1, 2), factor, factor);
}

at::Tensor sine(const at::Tensor& a) { return a.requires_grad() ? a.sin() : a.sin_(); }

/// Sines and cosines of the first layer's two parts: w0 (W_x x + b) along the lines, w0 W_r r across them.
struct LinePhases {
  at::Tensor sin_x, cos_x;  // [networks, p, width]
  at::Tensor sin_r, cos_r;  // [networks, m, width]
};

LinePhases line_phases(const PointSet& points, const AffineMap& map, double omega) {
  const auto along = [&](const at::Tensor& coordinates) {
    return coordinates.expand({map.weight.size(0), coordinates.size(0), coordinates.size(1)});
  };
  const std::int64_t others = points.rest().size(1);
  const auto x = affine(along(points.x()), {map.weight.narrow(2, 0, 1), map.bias}, omega);
  const auto r = at::bmm(along(points.rest()), map.weight.narrow(2, 1, others).transpose(1, 2)).mul(omega);
  return {x.sin(), x.cos(), r.sin(), r.cos()};
}

// y = W_2 sin(w0 (W_1 x + b_1)) + b_2 as [cos_r, sin_r] (w_2 [sin_x, cos_x])^T + b_2: [networks, m, p].
at::Tensor two_layers_in_lines(const PointSet& points, const AffineMap& first, const AffineMap& second, double omega) {
  const auto phases = line_phases(points, first, omega);
  const auto across = at::cat({phases.cos_r, phases.sin_r}, 2);
  const auto lines = at::cat({phases.sin_x * second.weight, phases.cos_x * second.weight}, 2);
  return at::baddbmm(second.bias, across, lines.transpose(1, 2));
}

// sin(w0 (W x + b)), [networks, n, width].
at::Tensor first_sines(const PointSet& points, const AffineMap& map, double omega) {
  const std::int64_t networks = map.weight.size(0);
  if (!points.in_lines()) {
    const auto& all = points.all();
    return sine(affine(all.expand({networks, all.size(0), all.size(1)}), map, omega));
  }
  const auto phases = line_phases(points, map, omega);
  const auto product = [](const at::Tensor& r, const at::Tensor& x) { return r.unsqueeze(2) * x.unsqueeze(1); };
  return (product(phases.cos_r, phases.sin_x) + product(phases.sin_r, phases.cos_x))
      .view({networks, points.all().size(0), map.weight.size(1)});
}

}  // namespace

PointSet::PointSet(at::Tensor points) : points_(std::move(points)) {
  ESPALIER_REQUIRE(points_.dim() == 2 && points_.size(1) > 0, "conditional field: points must be [n, dimension]");
  const std::int64_t n = points_.size(0);
  if (n == 0 || points_.size(1) == 1) return;
  // The first line is as long as the other coordinates stay the same.
  const auto rest = points_.slice(1, 1);
  const auto differs = (rest != rest[0]).any(1);
  const std::int64_t p = differs.any().item<bool>() ? differs.to(at::kByte).argmax().item<std::int64_t>() : n;
  if (p == 1 || p == n || n % p != 0) return;
  const auto lines = points_.reshape({n / p, p, points_.size(1)});
  const auto x = lines[0].slice(1, 0, 1);
  const auto heads = lines.select(1, 0).slice(1, 1);  // [m, dimension - 1]
  if (!lines.slice(2, 0, 1).eq(x).all().item<bool>() || !lines.slice(2, 1).eq(heads.unsqueeze(1)).all().item<bool>())
    return;
  x_ = x.contiguous();
  rest_ = heads.contiguous();
}

PointSet PointSet::to(at::ScalarType type) const {
  if (points_.scalar_type() == type) return *this;
  PointSet converted;
  converted.points_ = points_.to(type);
  if (!in_lines()) return converted;
  converted.x_ = x_.to(type);
  converted.rest_ = rest_.to(type);
  return converted;
}

void ConditionalFieldSettings::read(core::OptionReader& o) {
  const auto widths = [&](const char* name, const char* help, const std::vector<std::int64_t>& fallback) {
    const auto given = o.integers(name, help, std::vector<PetscInt>(fallback.begin(), fallback.end()), 1);
    return std::vector<std::int64_t>(given.begin(), given.end());
  };
  hypernetwork = widths("-field_hypernetwork", "widths of the hypernetwork's hidden layers", hypernetwork);
  latent = o.integer("-field_latent", "entries of the latent code", static_cast<PetscInt>(latent), 1);
  hidden = widths("-field_hidden", "widths of the base network's hidden layers", hidden);
  omega = o.positive("-field_omega", "w0, the factor inside the base network's sines", omega);
  spread = o.positive("-field_spread", "size of the projector's matrix at the start", spread);
  scale = o.reals("-field_scale", "factor of each field, or one for all", scale);
  offset = o.reals("-field_offset", "what is added to each field, or to all", offset);
  single_precision = o.choice("-field_precision", "precision of the fields' networks under the double solver",
                              precision_names, single_precision ? 1 : 0) == 1;
  seed = static_cast<std::uint64_t>(
      o.integer("-field_seed", "seed of the fields' initial parameters", static_cast<PetscInt>(seed), 0));
}

ConditionalField::ConditionalField(ConditionalFieldSettings settings)
    : settings_(checked(std::move(settings))), base_(widths_of(settings_.dimension, settings_.hidden, 1)) {
  at::Generator generator = at::detail::createCPUGenerator(settings_.seed);
  std::vector<at::Tensor> leaves;
  {
    const torch::NoGradGuard no_grad;
    draw_hypernetworks(settings_, generator, leaves);
    draw_projectors(settings_, base_, generator, leaves);
  }
  // Drawn in double and rounded, so that both precisions start from the same field.
  const auto type = settings_.single_precision ? at::kFloat : at::kDouble;
  for (auto& leaf : leaves) leaf = leaf.to(type).requires_grad_(true);
  parameters_ = FlatParameters(std::move(leaves));
  scale_ = per_field(settings_.scale, 1, outputs(), type);
  offset_ = per_field(settings_.offset, 0, outputs(), type);
}

at::Tensor ConditionalField::base_weights(const at::Tensor& condition) const {
  ESPALIER_REQUIRE((condition.dim() == 1 || condition.dim() == 2) && condition.size(-1) == settings_.condition,
                   "conditional field: a condition must have " + std::to_string(settings_.condition) + " entries");
  const auto& theta = parameters_.tensors();
  const auto c = condition.to(theta.front().scalar_type()).reshape({-1, settings_.condition});
  at::Tensor z = c.expand({outputs(), c.size(0), settings_.condition});  // [fields, m, entries]
  // z <- s(W z + b) for each field and condition; weights = P z + p.
  for (std::size_t i = 0; i < theta.size(); i += 2) {
    const bool last = i + 4 >= theta.size();  // of the hypernetwork, or the projector
    z = at::baddbmm(theta[i + 1], z, theta[i].transpose(1, 2));
    if (!last) z = at::leaky_relu(z, leaky_slope);
  }
  return z;
}

at::Tensor ConditionalField::evaluate(const at::Tensor& points, const at::Tensor& condition) const {
  return evaluate(PointSet(points), condition);
}

at::Tensor ConditionalField::evaluate(const PointSet& points, const at::Tensor& condition) const {
  ESPALIER_REQUIRE(points.all().size(1) == settings_.dimension,
                   "conditional field: points must be [n, " + std::to_string(settings_.dimension) + "]");
  const auto weights = base_weights(condition);
  const std::int64_t conditions = weights.size(1);
  const std::int64_t count = points.all().size(0);
  const auto flat = weights.reshape({outputs() * conditions, weights.size(2)});
  const auto base = evaluate_base(points.to(flat.scalar_type()), flat);
  const auto y = at::addcmul(offset_, scale_, base.view({outputs(), conditions * count}));
  if (condition.dim() == 1) return y.t();
  return y.view({outputs(), conditions, count}).permute({1, 2, 0});
}

// All base networks, [networks, n], each with weights of its own, [networks, weights].
at::Tensor ConditionalField::evaluate_base(const PointSet& points, const at::Tensor& weights) const {
  const std::int64_t networks = weights.size(0);
  const auto affine_maps = unpack(weights, base_);
  const bool one_hidden = affine_maps.size() == 2;
  if (points.in_lines() && one_hidden) {
    return two_layers_in_lines(points, affine_maps[0], affine_maps[1], settings_.omega).view({networks, -1});
  }
  at::Tensor a = first_sines(points, affine_maps.front(), settings_.omega);
  // a <- sin(w0 (W a + b)); the last layer is W a + b.
  for (std::size_t l = 1; l < affine_maps.size(); ++l) {
    const bool last = l + 1 == affine_maps.size();
    const double factor = last ? 1 : settings_.omega;
    a = affine(a, affine_maps[l], factor);
    if (!last) a = sine(a);
  }
  return a.view({networks, -1});
}

std::string ConditionalField::fingerprint() const {
  // A field with other factors is another function of the same parameters.
  std::ostringstream text;
  text << "conditional_field " << text_of(base_) << " sine " << settings_.omega << " from "
       << text_of(widths_of(settings_.condition, settings_.hypernetwork, settings_.latent)) << " leaky_relu";
  for (std::size_t k = 0; k < names().size(); ++k) {
    const auto field = static_cast<std::int64_t>(k);
    text << " " << names()[k] << " " << scale_[field].item<double>() << " " << offset_[field].item<double>();
  }
  text << " " << precision_names[settings_.single_precision ? 1 : 0];
  return text.str();
}

}  // namespace espalier::nn
