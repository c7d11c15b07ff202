#include "espalier/nn/graph_attention.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>
#include <vector>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

constexpr double least_length = 1e-5;  // of a centred query or key that a cosine is taken of

const std::vector<std::string> similarity_names = {"scaled_dot", "pearson"};
const std::vector<std::string> normalisation_names = {"softmax", "squareplus"};
const std::vector<std::string> end_names = {"receivers", "senders"};

template <class Choice>
const std::string& name_of(const std::vector<std::string>& names, Choice choice) {
  return names[static_cast<std::size_t>(choice)];
}

const GraphAttentionSettings& checked(const GraphAttentionSettings& settings) {
  const auto number = [](auto value) { return std::to_string(value); };
  ESPALIER_REQUIRE(settings.hidden > 0 && settings.attention_dim > 0 && settings.heads > 0,
                   "graph attention needs positive numbers of features, dimensions and heads, not " +
                       number(settings.hidden) + ", " + number(settings.attention_dim) + " and " +
                       number(settings.heads));
  ESPALIER_REQUIRE(settings.attention_dim % settings.heads == 0,
                   "the attention dimension " + number(settings.attention_dim) + " cannot be split into " +
                       number(settings.heads) + " heads of one width: make it a multiple");
  ESPALIER_REQUIRE(settings.self_loop_weight >= 0 && std::isfinite(settings.self_loop_weight),
                   "the weight " + number(settings.self_loop_weight) + " of self-loops must be zero or positive");
  return settings;
}

Edges edges_of(std::int64_t nodes, const at::Tensor& pairs, const GraphAttentionSettings& settings) {
  return Edges(nodes, settings.self_loop_weight > 0 ? with_self_loops(nodes, pairs) : pairs);
}

// x minus its mean over the last dimension; at::mean() would keep x for its backward pass.
at::Tensor centred(const at::Tensor& x) { return x - x.sum(-1, /*keepdim=*/true) / static_cast<double>(x.size(-1)); }

// x / max(|x|, least_length), with |x| over the last dimension: smooth where |x| is zero.
at::Tensor unit(const at::Tensor& x) {
  const auto square = x.square().sum(-1, /*keepdim=*/true);
  return x * square.clamp_min(least_length * least_length).rsqrt();
}

}  // namespace

GraphAttention::GraphAttention(std::int64_t nodes, const at::Tensor& pairs, const GraphAttentionSettings& settings)
    : settings_(checked(settings)), edges_(edges_of(nodes, pairs, settings)) {
  const auto type = settings_.single_precision ? at::kFloat : at::kDouble;
  const auto options = at::TensorOptions().dtype(at::kDouble);
  at::Generator generator = at::detail::createCPUGenerator(settings_.seed);
  const double bound = 1 / std::sqrt(static_cast<double>(settings_.hidden));
  std::vector<at::Tensor> leaves;
  for (int map = 0; map < 2; ++map) {
    leaves.push_back(at::full({settings_.attention_dim, settings_.hidden}, settings_.initial_weight, options));
    if (settings_.bias)
      leaves.push_back(at::empty({settings_.attention_dim}, options).uniform_(-bound, bound, generator));
  }
  // Drawn in double and rounded, so that both precisions start from the same network.
  for (auto& leaf : leaves) leaf = leaf.to(type).requires_grad_(true);
  adopt(std::move(leaves));
  if (settings_.reweight) {
    const auto added = edges_.order() >= pairs.size(1);
    edge_weights_ = at::ones({edges_.count(), 1}, options).masked_fill(added.unsqueeze(1), settings_.self_loop_weight);
    edge_weights_ = edge_weights_.to(type);
  }
}

// scale (W x + b), split into heads: [nodes, heads, width].
at::Tensor GraphAttention::heads_of(const at::Tensor& x, std::size_t first_leaf, double scale) {
  const auto& theta = parameters().tensors();
  const auto weight = theta[first_leaf].t();
  const auto mapped = settings_.bias ? at::addmm(theta[first_leaf + 1], x, weight, scale, scale) : x.mm(weight * scale);
  return mapped.view({edges_.nodes(), settings_.heads, settings_.attention_dim / settings_.heads});
}

at::Tensor GraphAttention::attention(const at::Tensor& x) {
  const bool pearson = settings_.similarity == Similarity::pearson;
  const std::int64_t width = settings_.attention_dim / settings_.heads;
  auto q = heads_of(x, 0, pearson ? 1 : 1 / std::sqrt(static_cast<double>(width)));
  auto k = heads_of(x, settings_.bias ? 2 : 1, 1);
  if (pearson) {
    q = unit(centred(q));
    k = unit(centred(k));
  }
  auto logits = edge_dot(edges_, q, k);
  if (settings_.reweight) logits = logits * edge_weights_;
  return edge_softmax(edges_, settings_.normalise_over, logits, settings_.normalisation);
}

at::Tensor GraphAttention::evaluate(double /*t*/, const at::Tensor& u) {
  ESPALIER_REQUIRE(
      u.dim() == 2 && u.size(0) <= 1 && u.size(1) == inputs(),
      "graph attention takes one sample of all nodes' features, that is [1, " + std::to_string(inputs()) + "]");
  if (u.size(0) == 0) return u;
  const auto x = u.reshape({edges_.nodes(), settings_.hidden});
  // y_i = sum_j a_ij x_j, a = mean over heads.
  const auto a = attention(x).mean(1, /*keepdim=*/true);
  return edge_aggregate(edges_, EdgeEnd::receiver, a, x.unsqueeze(1)).reshape({1, inputs()});
}

std::size_t GraphAttention::tape_bytes(std::int64_t samples) const {
  const std::int64_t nodes = edges_.nodes();
  const std::int64_t count = edges_.count();
  const bool pearson = settings_.similarity == Similarity::pearson;
  const bool keeps_logits = settings_.normalisation == EdgeNormalisation::squareplus;
  // u and y; q and k, with what makes them unit vectors; a with its mean, and the logits where its slope needs them.
  std::int64_t entries = 2 * nodes * settings_.hidden;
  entries += (pearson ? 4 : 2) * nodes * settings_.attention_dim;
  entries += (pearson ? 4 : 0) * nodes * settings_.heads;
  entries += count * (settings_.heads * (keeps_logits ? 2 : 1) + 1);
  return static_cast<std::size_t>(samples * entries) * (settings_.single_precision ? sizeof(float) : sizeof(double));
}

std::string GraphAttention::fingerprint() const {
  std::vector<std::string> words = {
      "graph_attention",
      std::to_string(settings_.hidden) + "/" + std::to_string(settings_.attention_dim) + "/" +
          std::to_string(settings_.heads),
      name_of(similarity_names, settings_.similarity),
      name_of(normalisation_names, settings_.normalisation),
      name_of(end_names, settings_.normalise_over),
  };
  if (settings_.self_loop_weight > 0) words.push_back("loops");
  if (settings_.reweight) words.push_back("reweighted " + std::to_string(settings_.self_loop_weight));
  if (!settings_.bias) words.push_back("unbiased");
  words.push_back(settings_.single_precision ? "float" : "double");
  return core::join(words, " ");
}

}  // namespace espalier::nn
