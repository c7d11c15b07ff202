#include "espalier/nn/edge_softmax.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr EdgeEnd opposite(EdgeEnd end) { return end == EdgeEnd::receiver ? EdgeEnd::sender : EdgeEnd::receiver; }

std::string text_of(at::IntArrayRef shape) {
  std::vector<std::string> extents;
  for (const auto extent : shape) extents.push_back(std::to_string(extent));
  return "[" + core::join(extents, ", ") + "]";
}

void require_shape(const at::Tensor& tensor, at::IntArrayRef leading, std::int64_t dimensions, const char* what) {
  const bool fits = tensor.dim() == dimensions && tensor.sizes().slice(0, leading.size()).equals(leading);
  ESPALIER_REQUIRE(fits, std::string(what) + " on the edges or nodes of a graph have the shape " +
                             text_of(tensor.sizes()) + ", but must have " + std::to_string(dimensions) +
                             " dimensions that begin with " + text_of(leading));
  ESPALIER_REQUIRE(tensor.scalar_type() == at::kDouble || tensor.scalar_type() == at::kFloat,
                   std::string(what) + " on the edges or nodes of a graph must be float64 or float32");
}

void require_same_type(const at::Tensor& a, const at::Tensor& b) {
  ESPALIER_REQUIRE(a.scalar_type() == b.scalar_type(), "values on edges and nodes must have one type");
}

/// Calls body(Scalar{}) with the type of the tensor's entries.
template <class Body>
void with_scalar(const at::Tensor& tensor, const Body& body) {
  if (tensor.scalar_type() == at::kDouble) {
    body(double{});
  } else {
    body(float{});
  }
}

/// For pieces of `count` rows whose work is about `work` operations in all; a thread is worth 32768 of them.
template <class Body>
void for_rows(std::int64_t count, std::int64_t work, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, count * 32768 / std::max<std::int64_t>(1, work));
  at::parallel_for(0, count, grain, body);
}

/// Plain pointers into Edges::Rows.
struct RowPointers {
  explicit RowPointers(const Edges::Rows& rows)
      : begin(rows.begin.data_ptr<std::int64_t>()),
        neighbours(rows.neighbours.data_ptr<std::int64_t>()),
        edges(rows.edges.data_ptr<std::int64_t>()) {}
  const std::int64_t* begin;
  const std::int64_t* neighbours;
  const std::int64_t* edges;
};

// Sums in eight lanes, which the compiler keeps in vector registers: the order is fixed, so the bits are.
template <class Scalar>
Scalar dot(const Scalar* a, const Scalar* b, std::int64_t width) {
  constexpr std::int64_t lanes = 8;
  Scalar sums[lanes] = {};
  std::int64_t d = 0;
  for (; d + lanes <= width; d += lanes)
    for (std::int64_t l = 0; l < lanes; ++l) sums[l] += a[d + l] * b[d + l];
  Scalar rest = 0;
  for (; d < width; ++d) rest += a[d] * b[d];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest;
}

at::Tensor dot_values(const Edges& edges, const at::Tensor& q, const at::Tensor& k) {
  const std::int64_t heads = q.size(1);
  const std::int64_t width = q.size(2);
  const at::Tensor s = at::empty({edges.count(), heads}, q.options());
  const RowPointers rows(edges.rows(EdgeEnd::receiver));
  with_scalar(q, [&](auto zero) {
    using Scalar = decltype(zero);
    const Scalar* from_q = q.data_ptr<Scalar>();
    const Scalar* from_k = k.data_ptr<Scalar>();
    Scalar* to = s.data_ptr<Scalar>();
    for_rows(edges.nodes(), edges.count() * heads * width, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t n = first; n < last; ++n)
        for (std::int64_t p = rows.begin[n]; p < rows.begin[n + 1]; ++p)
          for (std::int64_t h = 0; h < heads; ++h)
            to[rows.edges[p] * heads + h] =
                dot(from_q + (n * heads + h) * width, from_k + (rows.neighbours[p] * heads + h) * width, width);
    });
  });
  return s;
}

at::Tensor aggregate_values(const Edges& edges, EdgeEnd end, const at::Tensor& a, const at::Tensor& x) {
  const std::int64_t heads = x.size(1);
  const std::int64_t width = x.size(2);
  const at::Tensor y = at::empty(x.sizes(), x.options());
  const RowPointers rows(edges.rows(end));
  with_scalar(x, [&](auto zero) {
    using Scalar = decltype(zero);
    const Scalar* weights = a.data_ptr<Scalar>();
    const Scalar* from = x.data_ptr<Scalar>();
    Scalar* to = y.data_ptr<Scalar>();
    const std::int64_t stride = heads * width;
    for_rows(edges.nodes(), (edges.count() + edges.nodes()) * stride, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t n = first; n < last; ++n) {
        std::fill_n(to + n * stride, stride, Scalar(0));
        for (std::int64_t p = rows.begin[n]; p < rows.begin[n + 1]; ++p) {
          const Scalar* neighbour = from + rows.neighbours[p] * stride;
          for (std::int64_t h = 0; h < heads; ++h) {
            const Scalar weight = weights[rows.edges[p] * heads + h];
            for (std::int64_t d = h * width; d < (h + 1) * width; ++d) to[n * stride + d] += weight * neighbour[d];
          }
        }
      }
    });
  });
  return y;
}

at::Tensor sum_values(const Edges& edges, EdgeEnd end, const at::Tensor& a) {
  const std::int64_t heads = a.size(1);
  const at::Tensor s = at::zeros({edges.nodes(), heads}, a.options());
  const RowPointers rows(edges.rows(end));
  with_scalar(a, [&](auto zero) {
    using Scalar = decltype(zero);
    const Scalar* from = a.data_ptr<Scalar>();
    Scalar* to = s.data_ptr<Scalar>();
    for_rows(edges.nodes(), (edges.count() + edges.nodes()) * heads, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t n = first; n < last; ++n)
        for (std::int64_t p = rows.begin[n]; p < rows.begin[n + 1]; ++p)
          for (std::int64_t h = 0; h < heads; ++h) to[n * heads + h] += from[rows.edges[p] * heads + h];
    });
  });
  return s;
}

// With r = sqrt(s^2 + 4), which is |s| once the 4 is rounded away: (s + r) / 2, and for s < 0 the equal 2 / (r - s),
// which does not cancel.
template <class Scalar>
Scalar squareplus(Scalar s) {
  const Scalar size = std::abs(s);
  const Scalar root = size < 1 / std::numeric_limits<Scalar>::epsilon() ? std::sqrt(s * s + 4) : size;
  return s < 0 ? 1 / (root / 2 - s / 2) : root / 2 + s / 2;
}

// For one node and head. Both p(s) are divided by their largest value first: the sum is at least one, and finite.
template <class Scalar>
void normalise_row(EdgeNormalisation normalisation, const std::int64_t* first, const std::int64_t* last,
                   const Scalar* s, Scalar* a, std::int64_t heads) {
  Scalar largest = s[*first * heads];
  for (const auto* e = first; e < last; ++e) largest = std::max(largest, s[*e * heads]);
  const Scalar top = normalisation == EdgeNormalisation::squareplus ? squareplus(largest) : 1;
  Scalar sum = 0;
  for (const auto* e = first; e < last; ++e) {
    const Scalar logit = s[*e * heads];
    const Scalar p = normalisation == EdgeNormalisation::softmax ? std::exp(logit - largest) : squareplus(logit) / top;
    a[*e * heads] = p;
    sum += p;
  }
  for (const auto* e = first; e < last; ++e) a[*e * heads] /= sum;
}

at::Tensor softmax_values(const Edges& edges, EdgeEnd end, const at::Tensor& s, EdgeNormalisation normalisation) {
  const std::int64_t heads = s.size(1);
  const at::Tensor a = at::empty(s.sizes(), s.options());
  const RowPointers rows(edges.rows(end));
  with_scalar(s, [&](auto zero) {
    using Scalar = decltype(zero);
    const Scalar* from = s.data_ptr<Scalar>();
    Scalar* to = a.data_ptr<Scalar>();
    for_rows(edges.nodes(), 32 * edges.count() * heads, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t n = first; n < last; ++n) {
        if (rows.begin[n] == rows.begin[n + 1]) continue;
        for (std::int64_t h = 0; h < heads; ++h)
          normalise_row(normalisation, rows.edges + rows.begin[n], rows.edges + rows.begin[n + 1], from + h, to + h,
                        heads);
      }
    });
  });
  return a;
}

/// Hands the edges from forward() to backward().
struct EdgesHolder : torch::CustomClassHolder {
  explicit EdgesHolder(Edges held) : edges(std::move(held)) {}
  Edges edges;
};

void keep(AutogradContext* ctx, const Edges& edges) {
  ctx->saved_data["edges"] = at::IValue::make_capsule(c10::make_intrusive<EdgesHolder>(edges));
}

Edges kept(AutogradContext* ctx) {
  return c10::static_intrusive_pointer_cast<EdgesHolder>(ctx->saved_data.at("edges").toCapsule())->edges;
}

// Each backward() is written in the functions of the header, so that derivatives have derivatives. Gradients that
// nobody asked for are left undefined; the arguments that are not tensors have none.

struct Dot : torch::autograd::Function<Dot> {
  static at::Tensor forward(AutogradContext* ctx, const Edges& edges, const at::Tensor& q, const at::Tensor& k) {
    keep(ctx, edges);
    ctx->save_for_backward({q, k});
    return dot_values(edges, q, k);
  }
  // q_bar[i] = sum over e into i of s_bar[e] k[j];  k_bar[j] = sum over e out of j of s_bar[e] q[i].
  static variable_list backward(AutogradContext* ctx, const variable_list& s_bar) {
    const auto edges = kept(ctx);
    const auto saved = ctx->get_saved_variables();
    at::Tensor q_bar;
    at::Tensor k_bar;
    if (ctx->needs_input_grad(0)) q_bar = edge_aggregate(edges, EdgeEnd::receiver, s_bar[0], saved[1]);
    if (ctx->needs_input_grad(1)) k_bar = edge_aggregate(edges, EdgeEnd::sender, s_bar[0], saved[0]);
    return {at::Tensor(), q_bar, k_bar};
  }
};

struct Aggregate : torch::autograd::Function<Aggregate> {
  static at::Tensor forward(AutogradContext* ctx, const Edges& edges, EdgeEnd end, const at::Tensor& a,
                            const at::Tensor& x) {
    keep(ctx, edges);
    ctx->saved_data["end"] = static_cast<std::int64_t>(end);
    ctx->save_for_backward({a, x});
    return aggregate_values(edges, end, a, x);
  }
  // With n at `end` of e and m at its other: a_bar[e] = <y_bar[n], x[m]>;  x_bar[m] = sum over e at m of a[e] y_bar[n].
  static variable_list backward(AutogradContext* ctx, const variable_list& y_bar) {
    const auto edges = kept(ctx);
    const auto end = static_cast<EdgeEnd>(ctx->saved_data.at("end").toInt());
    const auto saved = ctx->get_saved_variables();
    at::Tensor a_bar;
    at::Tensor x_bar;
    if (ctx->needs_input_grad(0))
      a_bar = end == EdgeEnd::receiver ? edge_dot(edges, y_bar[0], saved[1]) : edge_dot(edges, saved[1], y_bar[0]);
    if (ctx->needs_input_grad(1)) x_bar = edge_aggregate(edges, opposite(end), saved[0], y_bar[0]);
    return {at::Tensor(), at::Tensor(), a_bar, x_bar};
  }
};

struct Sum : torch::autograd::Function<Sum> {
  static at::Tensor forward(AutogradContext* ctx, const Edges& edges, EdgeEnd end, const at::Tensor& a) {
    keep(ctx, edges);
    ctx->saved_data["end"] = static_cast<std::int64_t>(end);
    return sum_values(edges, end, a);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& s_bar) {
    const auto end = static_cast<EdgeEnd>(ctx->saved_data.at("end").toInt());
    return {at::Tensor(), at::Tensor(), edge_spread(kept(ctx), end, s_bar[0])};
  }
};

struct Spread : torch::autograd::Function<Spread> {
  static at::Tensor forward(AutogradContext* ctx, const Edges& edges, EdgeEnd end, const at::Tensor& s) {
    keep(ctx, edges);
    ctx->saved_data["end"] = static_cast<std::int64_t>(end);
    return at::index_select(s, 0, edges.ends(end));
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& a_bar) {
    const auto end = static_cast<EdgeEnd>(ctx->saved_data.at("end").toInt());
    return {at::Tensor(), at::Tensor(), edge_sum(kept(ctx), end, a_bar[0])};
  }
};

struct Softmax : torch::autograd::Function<Softmax> {
  static at::Tensor forward(AutogradContext* ctx, const Edges& edges, EdgeEnd end, const at::Tensor& s,
                            EdgeNormalisation normalisation) {
    const auto a = softmax_values(edges, end, s, normalisation);
    keep(ctx, edges);
    ctx->saved_data["end"] = static_cast<std::int64_t>(end);
    if (normalisation == EdgeNormalisation::squareplus) {
      ctx->save_for_backward({a, s});
    } else {
      ctx->save_for_backward({a});
    }
    return a;
  }
  // s_bar = a slope(s) (a_bar - sum of a a_bar over the edges of the node), with slope(s) = d(log p)/ds: one for
  // softmax, 1 / sqrt(s^2 + 4) for squareplus.
  static variable_list backward(AutogradContext* ctx, const variable_list& a_bar) {
    const auto edges = kept(ctx);
    const auto end = static_cast<EdgeEnd>(ctx->saved_data.at("end").toInt());
    const auto saved = ctx->get_saved_variables();
    const auto& a = saved[0];
    auto s_bar = a * (a_bar[0] - edge_spread(edges, end, edge_sum(edges, end, a * a_bar[0])));
    if (saved.size() == 2) s_bar = s_bar / at::hypot(saved[1], at::full({}, 2, saved[1].options()));
    return {at::Tensor(), at::Tensor(), s_bar, at::Tensor()};
  }
};

/// Stable counting sort of `order` by `key`, which is below `nodes`.
std::vector<std::int64_t> sorted_by(const std::int64_t* key, std::int64_t nodes,
                                    const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> next(static_cast<std::size_t>(nodes) + 1, 0);
  for (const auto e : order) ++next[static_cast<std::size_t>(key[e]) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<std::int64_t> sorted(order.size());
  for (const auto e : order) sorted[static_cast<std::size_t>(next[static_cast<std::size_t>(key[e])]++)] = e;
  return sorted;
}

at::Tensor indices(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

std::vector<std::int64_t> all_of(std::int64_t count) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

/// begin[n]: number of entries of the sorted `key` below n.
at::Tensor row_begins(const at::Tensor& key, std::int64_t nodes) {
  const auto counts = at::bincount(key, {}, nodes);
  return at::cat({at::zeros({1}, counts.options()), counts.cumsum(0)});
}

void require_pairs(std::int64_t nodes, const at::Tensor& pairs) {
  ESPALIER_REQUIRE(nodes >= 0, "a graph cannot have " + std::to_string(nodes) + " nodes");
  ESPALIER_REQUIRE(
      pairs.dim() == 2 && pairs.size(0) == 2 && pairs.scalar_type() == at::kLong,
      "the edges of a graph must be an int64 tensor of shape [2, edges], not of shape " + text_of(pairs.sizes()));
  const auto at = pairs.contiguous();
  const auto* entry = at.data_ptr<std::int64_t>();
  const std::int64_t count = pairs.size(1);
  for (std::int64_t e = 0; e < 2 * count; ++e)
    ESPALIER_REQUIRE(entry[e] >= 0 && entry[e] < nodes, "edge " + std::to_string(e % count) +
                                                            " of a graph ends at node " + std::to_string(entry[e]) +
                                                            ", but its nodes are 0 to " + std::to_string(nodes - 1));
}

}  // namespace

Edges::Edges(std::int64_t nodes, const at::Tensor& pairs) : nodes_(nodes) {
  require_pairs(nodes, pairs);
  const auto receivers = pairs[0].contiguous();
  const auto senders = pairs[1].contiguous();
  const auto numbers = all_of(pairs.size(1));
  const auto by_sender = sorted_by(senders.data_ptr<std::int64_t>(), nodes, numbers);
  order_ = indices(sorted_by(receivers.data_ptr<std::int64_t>(), nodes, by_sender));
  receivers_ = receivers.index_select(0, order_);
  senders_ = senders.index_select(0, order_);
  by_receiver_ = {row_begins(receivers_, nodes), senders_, indices(numbers)};
  const auto transposed = indices(sorted_by(senders_.data_ptr<std::int64_t>(), nodes, numbers));
  by_sender_ = {row_begins(senders_, nodes), receivers_.index_select(0, transposed), transposed};
}

at::Tensor with_self_loops(std::int64_t nodes, const at::Tensor& pairs) {
  require_pairs(nodes, pairs);
  const auto loops = pairs[0].masked_select(pairs[0] == pairs[1]);
  const auto missing = at::nonzero(at::bincount(loops, {}, nodes) == 0).flatten();
  return at::cat({pairs, at::stack({missing, missing})}, 1);
}

at::Tensor edge_dot(const Edges& edges, const at::Tensor& q, const at::Tensor& k) {
  require_shape(q, {edges.nodes()}, 3, "queries");
  require_shape(k, q.sizes(), 3, "keys");
  require_same_type(q, k);
  return Dot::apply(edges, q.contiguous(), k.contiguous());
}

at::Tensor edge_aggregate(const Edges& edges, EdgeEnd end, const at::Tensor& a, const at::Tensor& x) {
  require_shape(x, {edges.nodes()}, 3, "features");
  require_shape(a, {edges.count(), x.size(1)}, 2, "weights");
  require_same_type(a, x);
  return Aggregate::apply(edges, end, a.contiguous(), x.contiguous());
}

at::Tensor edge_sum(const Edges& edges, EdgeEnd end, const at::Tensor& a) {
  require_shape(a, {edges.count()}, 2, "terms of a sum");
  return Sum::apply(edges, end, a.contiguous());
}

at::Tensor edge_spread(const Edges& edges, EdgeEnd end, const at::Tensor& s) {
  require_shape(s, {edges.nodes()}, 2, "values");
  return Spread::apply(edges, end, s);
}

at::Tensor edge_softmax(const Edges& edges, EdgeEnd end, const at::Tensor& s, EdgeNormalisation normalisation) {
  require_shape(s, {edges.count()}, 2, "logits");
  return Softmax::apply(edges, end, s.contiguous(), normalisation);
}

}  // namespace espalier::nn
