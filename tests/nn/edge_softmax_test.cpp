#include "espalier/nn/edge_softmax.hpp"

#include <torch/autograd.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <limits>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"
#include "nn/graphs.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using nn::EdgeEnd;
using nn::EdgeNormalisation;
using nn::Edges;
using testing::dense;
using testing::dense_softmax;
using testing::difference;
using testing::graph_nodes;
using testing::mentions;
using testing::random_tensor;
using testing::sparse;

namespace utf = boost::unit_test;

namespace {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

constexpr EdgeEnd ends[] = {EdgeEnd::receiver, EdgeEnd::sender};
constexpr EdgeNormalisation normalisations[] = {EdgeNormalisation::softmax, EdgeNormalisation::squareplus};

Edges small_graph() { return Edges(graph_nodes, testing::graph_pairs()); }

at::Tensor long_tensor(const std::vector<std::int64_t>& values) { return at::tensor(values, at::kLong); }

at::Tensor pairs_of(const std::vector<std::int64_t>& receivers, const std::vector<std::int64_t>& senders) {
  return at::stack({long_tensor(receivers), long_tensor(senders)});
}

/// Value, first derivatives, and the derivatives of a function of these: with respect to all inputs and to the
/// cotangent.
Tensors derivatives(const Function& function, const Tensors& at_point) {
  Tensors inputs;
  for (const auto& tensor : at_point) inputs.push_back(tensor.detach().clone().requires_grad_(true));
  const auto y = function(inputs);
  const auto w = random_tensor(y.sizes(), 91).to(y.scalar_type()).requires_grad_(true);
  const auto first = torch::autograd::grad({y}, inputs, {w}, true, true);
  at::Tensor scalar = at::zeros({}, y.options());
  for (std::size_t i = 0; i < first.size(); ++i)
    scalar = scalar + (first[i] * random_tensor(first[i].sizes(), 92 + i).to(y.scalar_type())).sum();
  auto results = first;
  results.push_back(y);
  inputs.push_back(w);
  for (const auto& second : torch::autograd::grad({scalar}, inputs, {}, false, false, true))
    results.push_back(second.defined() ? second : at::zeros({1}));
  return results;
}

/// In both precisions, at inputs of the given shapes.
void compare(const Function& function, const Function& reference,
             const std::vector<std::vector<std::int64_t>>& shapes) {
  Tensors inputs;
  for (std::size_t i = 0; i < shapes.size(); ++i) inputs.push_back(random_tensor(shapes[i], i + 1));
  const auto expected = derivatives(reference, inputs);
  for (const bool single : {false, true}) {
    Tensors converted;
    for (const auto& input : inputs) converted.push_back(single ? input.to(at::kFloat) : input);
    const auto results = derivatives(function, converted);
    for (std::size_t i = 0; i < results.size(); ++i)
      BOOST_TEST(difference(results[i], expected[i]) <= (single ? 1e-5 : 1e-13),
                 "result " << i << " single " << single);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_edge_softmax, *utf::label("unit") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(edges_are_numbered_by_receiver_then_sender) {
  const Edges edges(4, pairs_of({2, 0, 2, 0, 2}, {1, 3, 0, 0, 3}));
  BOOST_TEST(edges.nodes() == 4);
  BOOST_TEST(edges.count() == 5);
  BOOST_TEST(at::equal(edges.ends(EdgeEnd::receiver), long_tensor({0, 0, 2, 2, 2})));
  BOOST_TEST(at::equal(edges.ends(EdgeEnd::sender), long_tensor({0, 3, 0, 1, 3})));
  BOOST_TEST(at::equal(edges.order(), long_tensor({3, 1, 2, 0, 4})));
  const auto& into = edges.rows(EdgeEnd::receiver);
  BOOST_TEST(at::equal(into.begin, long_tensor({0, 2, 2, 5, 5})));
  BOOST_TEST(at::equal(into.neighbours, long_tensor({0, 3, 0, 1, 3})));
  BOOST_TEST(at::equal(into.edges, long_tensor({0, 1, 2, 3, 4})));
  const auto& out_of = edges.rows(EdgeEnd::sender);
  BOOST_TEST(at::equal(out_of.begin, long_tensor({0, 2, 3, 3, 5})));
  BOOST_TEST(at::equal(out_of.neighbours, long_tensor({0, 2, 2, 0, 2})));
  BOOST_TEST(at::equal(out_of.edges, long_tensor({0, 2, 3, 1, 4})));
}

BOOST_AUTO_TEST_CASE(self_loops_are_added_where_there_is_none) {
  const auto pairs = pairs_of({2, 1, 1, 0}, {1, 1, 1, 2});
  const auto with = nn::with_self_loops(4, pairs);
  BOOST_TEST(at::equal(with, pairs_of({2, 1, 1, 0, 0, 2, 3}, {1, 1, 1, 2, 0, 2, 3})));
  BOOST_TEST(at::equal(nn::with_self_loops(4, with), with));
  BOOST_TEST(nn::with_self_loops(0, at::empty({2, 0}, at::kLong)).size(1) == 0);
}

BOOST_AUTO_TEST_CASE(dot_products_equal_dense_ones, *utf::label("gradient")) {
  const Edges edges = small_graph();
  for (const std::int64_t heads : {1, 4})
    for (const std::int64_t width : {1, 3, 16, 19}) BOOST_TEST_CONTEXT("heads " << heads << " width " << width) {
        compare([&](const Tensors& in) { return nn::edge_dot(edges, in[0], in[1]); },
                [&](const Tensors& in) {
                  return sparse(edges, at::einsum("ihd,jhd->ijh", {in[0], in[1]}));
                },
                {{graph_nodes, heads, width}, {graph_nodes, heads, width}});
      }
}

BOOST_AUTO_TEST_CASE(weighted_sums_equal_dense_ones, *utf::label("gradient")) {
  const Edges edges = small_graph();
  for (const EdgeEnd end : ends)
    for (const std::int64_t heads : {1, 4})
      for (const std::int64_t width : {1, 3, 16, 19})
        BOOST_TEST_CONTEXT("end " << static_cast<int>(end) << " heads " << heads << " width " << width) {
          const std::string product = end == EdgeEnd::receiver ? "ijh,jhd->ihd" : "ijh,ihd->jhd";
          compare([&](const Tensors& in) { return nn::edge_aggregate(edges, end, in[0], in[1]); },
                  [&](const Tensors& in) {
                    return at::einsum(product, {dense(edges, in[0]), in[1]});
                  },
                  {{edges.count(), heads}, {graph_nodes, heads, width}});
        }
}

BOOST_AUTO_TEST_CASE(sums_and_copies_equal_dense_ones, *utf::label("gradient")) {
  const Edges edges = small_graph();
  for (const EdgeEnd end : ends)
    for (const std::int64_t heads : {1, 4}) BOOST_TEST_CONTEXT("end " << static_cast<int>(end) << " heads " << heads) {
        const bool receiver = end == EdgeEnd::receiver;
        compare([&](const Tensors& in) { return nn::edge_sum(edges, end, in[0]); },
                [&](const Tensors& in) { return dense(edges, in[0]).sum(receiver ? 1 : 0); }, {{edges.count(), heads}});
        compare([&](const Tensors& in) { return nn::edge_spread(edges, end, in[0]); },
                [&](const Tensors& in) {
                  const auto wide = in[0].unsqueeze(receiver ? 1 : 0).expand({graph_nodes, graph_nodes, heads});
                  return sparse(edges, wide);
                },
                {{graph_nodes, heads}});
      }
}

BOOST_AUTO_TEST_CASE(normalised_weights_equal_dense_ones, *utf::label("gradient")) {
  const Edges edges = small_graph();
  for (const EdgeEnd end : ends)
    for (const auto normalisation : normalisations)
      for (const std::int64_t heads : {1, 4})
        BOOST_TEST_CONTEXT("end " << static_cast<int>(end) << " normalisation " << static_cast<int>(normalisation)
                                  << " heads " << heads) {
          const auto mask = dense(edges, at::ones({edges.count()}, at::kDouble));
          compare([&](const Tensors& in) { return nn::edge_softmax(edges, end, in[0], normalisation); },
                  [&](const Tensors& in) {
                    return sparse(edges, dense_softmax(mask, end, dense(edges, in[0]), normalisation));
                  },
                  {{edges.count(), heads}});
        }
}

BOOST_AUTO_TEST_CASE(weights_are_positive_with_sum_one_and_nodes_without_edges_get_zero) {
  const Edges edges = small_graph();
  const auto s = 3 * random_tensor({edges.count(), 4}, 1);
  for (const EdgeEnd end : ends)
    for (const auto normalisation : normalisations) {
      const auto a = nn::edge_softmax(edges, end, s, normalisation);
      BOOST_TEST(a.min().item<double>() > 0);
      auto ones = at::ones({graph_nodes, 4}, at::kDouble);
      ones[3].zero_();
      ones[end == EdgeEnd::receiver ? 7 : 5].zero_();
      BOOST_TEST(difference(nn::edge_sum(edges, end, a), ones) <= 1e-15);
      const auto y = nn::edge_aggregate(edges, end, a, random_tensor({graph_nodes, 4, 2}, 2));
      for (std::int64_t n = 0; n < graph_nodes; ++n)
        BOOST_TEST((y[n].abs().max().item<double>() == 0) == (ones[n][0].item<double>() == 0));
    }
}

// One node with four edges: the weights are known.
BOOST_AUTO_TEST_CASE(large_logits_neither_overflow_nor_vanish) {
  const Edges edges(4, pairs_of({0, 0, 0, 0}, {0, 1, 2, 3}));
  struct Case {
    EdgeNormalisation normalisation;
    std::vector<double> logits, weights;
  };
  const double ratio = std::exp(-1.0);
  const std::vector<Case> cases = {
      {EdgeNormalisation::softmax, {1e4, 1e4, 0, -1e30}, {0.5, 0.5, 0, 0}},
      {EdgeNormalisation::softmax, {-1e4, -1e4, -2e4, -1e30}, {0.5, 0.5, 0, 0}},
      {EdgeNormalisation::softmax, {-2048, -2049, -1e30, -1e30}, {1 / (1 + ratio), ratio / (1 + ratio), 0, 0}},
      {EdgeNormalisation::squareplus, {1e30, 3e30, 0, -1e30}, {0.25, 0.75, 0, 0}},
      {EdgeNormalisation::squareplus, {-1e30, -3e30, -1e30, -3e30}, {0.375, 0.125, 0.375, 0.125}},
      {EdgeNormalisation::squareplus, {-2048, -4096, -2048, -4096}, {1 / 3., 1 / 6., 1 / 3., 1 / 6.}},
  };
  for (const auto type : {at::kDouble, at::kFloat})
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const auto s = at::tensor(cases[i].logits, at::kDouble).unsqueeze(1).to(type).requires_grad_(true);
      const auto a = nn::edge_softmax(edges, EdgeEnd::receiver, s, cases[i].normalisation);
      const auto expected = at::tensor(cases[i].weights, at::kDouble).unsqueeze(1);
      // The last case is the limit of infinite logits to 2 / 2048^2.
      BOOST_TEST(difference(a, expected) <= 1e-6, "case " << i);
      const auto s_bar = torch::autograd::grad({a}, {s}, {at::tensor({1, -2, 3, 4}, type).unsqueeze(1)})[0];
      BOOST_TEST(s_bar.isfinite().all().item<bool>(), "case " << i);
    }
  for (const auto type : {at::kDouble, at::kFloat})
    for (const auto normalisation : normalisations)
      for (const double sign : {-1.0, 1.0}) {
        const double largest = type == at::kDouble ? std::numeric_limits<double>::max()
                                                   : static_cast<double>(std::numeric_limits<float>::max());
        const auto s = at::full({4, 1}, sign * largest, type);
        BOOST_TEST(difference(nn::edge_softmax(edges, EdgeEnd::receiver, s, normalisation),
                              at::full({4, 1}, 0.25, at::kDouble)) == 0);
      }
}

// (s + sqrt(s^2 + 4)) / 2 as it is written is zero for s = -1e9.
BOOST_AUTO_TEST_CASE(squareplus_keeps_its_digits_at_negative_logits) {
  const Edges edges(2, pairs_of({0, 0}, {0, 1}));
  for (const double s : {-1e2, -1e5, -1e9}) {
    const auto logits = at::tensor({s, 0.0}, at::kDouble).unsqueeze(1);
    const auto a = nn::edge_softmax(edges, EdgeEnd::receiver, logits, EdgeNormalisation::squareplus);
    // p(s) = 2 / (|s| + sqrt(s^2 + 4)), p(0) = 1.
    const double p = 2 / (-s + std::sqrt(s * s + 4));
    BOOST_TEST(std::abs(a[0][0].item<double>() / (p / (1 + p)) - 1) <= 1e-14);
  }
}

BOOST_AUTO_TEST_CASE(a_logit_that_is_not_finite_is_not_hidden) {
  const Edges edges(3, pairs_of({0, 0, 1}, {1, 2, 2}));
  for (const auto normalisation : normalisations) {
    const auto s = at::tensor({0.0, std::nan(""), 1.0}, at::kDouble).unsqueeze(1);
    const auto a = nn::edge_softmax(edges, EdgeEnd::receiver, s, normalisation);
    BOOST_TEST(at::equal(a.isnan().flatten(), long_tensor({1, 1, 0}).to(at::kBool)));
  }
}

BOOST_AUTO_TEST_CASE(an_edge_given_twice_counts_twice) {
  const Edges edges(2, pairs_of({0, 0, 0}, {1, 1, 0}));
  const auto a = nn::edge_softmax(edges, EdgeEnd::receiver, at::zeros({3, 1}), EdgeNormalisation::softmax);
  const auto y = nn::edge_aggregate(edges, EdgeEnd::receiver, a, at::tensor({3.f, 6.f}).view({2, 1, 1}));
  BOOST_TEST(difference(y.flatten(), at::tensor({5., 0.}, at::kDouble)) <= 1e-6);
}

BOOST_AUTO_TEST_CASE(graphs_without_edges_or_nodes) {
  for (const std::int64_t nodes : {0, 3}) {
    const Edges edges(nodes, at::empty({2, 0}, at::kLong));
    const auto x = random_tensor({nodes, 2, 5}, 1).requires_grad_(true);
    for (const EdgeEnd end : ends)
      for (const auto normalisation : normalisations) {
        const auto s = nn::edge_dot(edges, x, x);
        BOOST_TEST(s.sizes() == (at::IntArrayRef{0, 2}));
        const auto a = nn::edge_softmax(edges, end, s, normalisation);
        const auto y = nn::edge_aggregate(edges, end, a, x);
        const auto x_bar = torch::autograd::grad({y}, {x}, {at::ones_like(y)})[0];
        BOOST_TEST(difference(y, at::zeros_like(x)) == 0);
        BOOST_TEST(difference(x_bar, at::zeros_like(x)) == 0);
      }
  }
}

// Large enough to be shared among threads; edges in another order are the same graph.
BOOST_AUTO_TEST_CASE(the_bits_depend_neither_on_threads_nor_on_the_order_of_edges, *utf::label("gradient")) {
  const std::int64_t nodes = 3000;
  const auto unsorted = testing::random_pairs(nodes, 20000, 3);
  // Without repetitions, which have no order.
  const auto pairs = at::nonzero(dense(Edges(nodes, unsorted), at::ones({20000}, at::kByte))).t();
  const auto shuffled = pairs.index_select(1, random_tensor({pairs.size(1)}, 4).argsort());
  const auto q = random_tensor({nodes, 4, 20}, 5);
  const auto k = random_tensor({nodes, 4, 20}, 6);
  const int threads = at::get_num_threads();
  Tensors first;
  for (const int t : {1, 1, 2, 3}) {
    at::set_num_threads(t);
    Tensors results;
    for (const EdgeEnd end : ends)
      for (const auto normalisation : normalisations) {
        const Edges edges(nodes, t == 1 ? pairs : shuffled);
        const Function all = [&](const Tensors& in) {
          const auto a = nn::edge_softmax(edges, end, nn::edge_dot(edges, in[0], in[1]), normalisation);
          return nn::edge_aggregate(edges, end, a, in[0]);
        };
        for (const auto& result : derivatives(all, {q, k})) results.push_back(result);
      }
    if (first.empty()) first = results;
    for (std::size_t i = 0; i < results.size(); ++i) BOOST_TEST(at::equal(results[i], first[i]), "result " << i);
  }
  at::set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  const auto missing = pairs_of({0, 1, 4}, {1, 2, 0});
  BOOST_CHECK_EXCEPTION(Edges(4, missing), UserError, mentions("edge 2", "node 4", "0 to 3"));
  BOOST_CHECK_EXCEPTION(nn::with_self_loops(4, missing), UserError, mentions("edge 2", "node 4", "0 to 3"));
  BOOST_CHECK_EXCEPTION(Edges(4, pairs_of({0, 1}, {1, -2})), UserError, mentions("edge 1", "node -2"));
  BOOST_CHECK_EXCEPTION(Edges(4, at::zeros({3, 2}, at::kLong)), UserError, mentions("[2, edges]", "[3, 2]"));
  BOOST_CHECK_THROW(Edges(4, at::zeros({2, 2}, at::kInt)), UserError);
  BOOST_CHECK_THROW(Edges(-1, at::zeros({2, 0}, at::kLong)), UserError);

  const Edges edges = small_graph();
  const auto q = random_tensor({graph_nodes, 2, 3}, 1);
  const auto a = random_tensor({edges.count(), 2}, 1);
  BOOST_CHECK_EXCEPTION(nn::edge_dot(edges, q, random_tensor({graph_nodes, 3, 3}, 1)), UserError,
                        mentions("[9, 3, 3]", "[9, 2, 3]"));
  BOOST_CHECK_THROW(nn::edge_dot(edges, random_tensor({8, 2, 3}, 1), random_tensor({8, 2, 3}, 1)), UserError);
  BOOST_CHECK_THROW(nn::edge_dot(edges, q, q.to(at::kFloat)), UserError);
  BOOST_CHECK_THROW(nn::edge_dot(edges, q.to(at::kLong), q.to(at::kLong)), UserError);
  BOOST_CHECK_THROW(nn::edge_aggregate(edges, EdgeEnd::sender, a.narrow(1, 0, 1), q), UserError);
  BOOST_CHECK_THROW(nn::edge_aggregate(edges, EdgeEnd::sender, a.narrow(0, 0, 1), q), UserError);
  BOOST_CHECK_THROW(nn::edge_sum(edges, EdgeEnd::sender, a.narrow(0, 1, 3)), UserError);
  BOOST_CHECK_THROW(nn::edge_spread(edges, EdgeEnd::sender, a), UserError);
  BOOST_CHECK_THROW(nn::edge_softmax(edges, EdgeEnd::sender, a.flatten(), EdgeNormalisation::softmax), UserError);
}

// The kernels read plain memory.
BOOST_AUTO_TEST_CASE(views_are_fine) {
  const Edges edges = small_graph();
  const auto wide = random_tensor({4, 2, graph_nodes}, 1);
  const auto q = wide.permute({2, 1, 0});
  const auto a = random_tensor({2, edges.count()}, 2).t();
  const auto x = q.contiguous();
  const auto b = a.contiguous();
  BOOST_TEST(at::equal(nn::edge_dot(edges, q, q), nn::edge_dot(edges, x, x)));
  for (const EdgeEnd end : ends) {
    BOOST_TEST(at::equal(nn::edge_aggregate(edges, end, a, q), nn::edge_aggregate(edges, end, b, x)));
    BOOST_TEST(at::equal(nn::edge_sum(edges, end, a), nn::edge_sum(edges, end, b)));
    for (const auto normalisation : normalisations)
      BOOST_TEST(
          at::equal(nn::edge_softmax(edges, end, a, normalisation), nn::edge_softmax(edges, end, b, normalisation)));
  }
}

BOOST_AUTO_TEST_SUITE_END()
