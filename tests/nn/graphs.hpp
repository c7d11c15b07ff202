// Small graphs, and what networks on graphs are compared with: the same in dense matrices.
#pragma once

#include <torch/types.h>

#include <vector>

#include "espalier/nn/edge_softmax.hpp"
#include "nn/tensors.hpp"

namespace espalier::testing {

constexpr std::int64_t graph_nodes = 9;

/// A directed graph of 9 nodes, edges in random order: node 3 has none; node 5 receives along one edge and sends along
/// none; node 7 sends along one and receives along none; node 2 has an edge to itself.
inline at::Tensor graph_pairs() {
  auto mask = random_tensor({graph_nodes, graph_nodes}, 77) > -0.3;
  mask.fill_diagonal_(false);
  for (const std::int64_t n : {3, 5, 7}) {
    mask.select(0, n).fill_(false);
    mask.select(1, n).fill_(false);
  }
  for (const auto& [i, j] : {std::pair<int, int>{5, 1}, {4, 7}, {2, 2}}) mask[i][j].fill_(true);
  const auto pairs = at::nonzero(mask).t();
  return pairs.index_select(1, random_tensor({pairs.size(1)}, 78).argsort());
}

/// `count` random edges, some of them twice.
inline at::Tensor random_pairs(std::int64_t nodes, std::int64_t count, std::uint64_t seed) {
  const auto scaled = (random_tensor({2, count}, seed) * 1e6).to(at::kLong);
  return scaled.remainder(nodes);
}

/// Values of edges [count, ...] as a matrix [receivers, senders, ...] with zeros elsewhere, and back.
inline at::Tensor dense(const nn::Edges& edges, const at::Tensor& values) {
  auto shape = values.sizes().vec();
  shape.insert(shape.begin(), 2, edges.nodes());
  shape.erase(shape.begin() + 2);
  return at::zeros(shape, values.options())
      .index_put({edges.ends(nn::EdgeEnd::receiver), edges.ends(nn::EdgeEnd::sender)}, values);
}
inline at::Tensor sparse(const nn::Edges& edges, const at::Tensor& matrix) {
  return matrix.index({edges.ends(nn::EdgeEnd::receiver), edges.ends(nn::EdgeEnd::sender)});
}

/// Logits [receivers, senders, heads] normalised over the edges of a node, zero where `mask` [receivers, senders] is.
inline at::Tensor dense_softmax(const at::Tensor& mask, nn::EdgeEnd end, const at::Tensor& logits,
                                nn::EdgeNormalisation normalisation) {
  // The sum over all edges of one receiver runs over its senders.
  const int summed = end == nn::EdgeEnd::receiver ? 1 : 0;
  const auto p =
      mask.unsqueeze(2) *
      (normalisation == nn::EdgeNormalisation::softmax ? logits.exp() : (logits + (logits.square() + 4).sqrt()) / 2);
  return p / p.sum(summed, /*keepdim=*/true).clamp_min(1e-30);
}

}  // namespace espalier::testing
