#include "espalier/nn/graph_attention.hpp"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/autograd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <set>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "espalier/model/gradient_check.hpp"
#include "io/temporary_folder.hpp"
#include "nn/graphs.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using nn::EdgeEnd;
using nn::EdgeNormalisation;
using nn::GraphAttention;
using nn::GraphAttentionSettings;
using nn::Similarity;
using testing::dense;
using testing::dense_softmax;
using testing::difference;
using testing::graph_nodes;
using testing::mentions;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t hidden = 5;
constexpr std::int64_t state_size = graph_nodes * hidden;

GraphAttentionSettings small() {
  GraphAttentionSettings settings;
  settings.hidden = hidden;
  settings.attention_dim = 12;
  settings.heads = 4;
  settings.seed = 11;
  return settings;
}

/// Every choice that changes the function.
std::vector<GraphAttentionSettings> variants() {
  std::vector<GraphAttentionSettings> all;
  for (const auto similarity : {Similarity::scaled_dot, Similarity::pearson})
    for (const auto normalisation : {EdgeNormalisation::softmax, EdgeNormalisation::squareplus})
      for (const auto end : {EdgeEnd::receiver, EdgeEnd::sender})
        for (const std::int64_t heads : {1, 4}) {
          auto settings = small();
          settings.similarity = similarity;
          settings.normalisation = normalisation;
          settings.normalise_over = end;
          settings.heads = heads;
          all.push_back(settings);
        }
  auto settings = small();
  settings.self_loop_weight = 0.3;
  all.push_back(settings);
  settings.reweight = true;
  all.push_back(settings);
  settings.similarity = Similarity::pearson;
  settings.bias = false;
  all.push_back(settings);
  settings.similarity = Similarity::scaled_dot;
  settings.self_loop_weight = 0;
  all.push_back(settings);
  return all;
}

/// Parameters that make attention uneven: those it starts with do not.
void randomise(GraphAttention& network, double size = 0.7) {
  auto& theta = network.parameters().values();
  theta.copy_(size * random_tensor(theta.sizes(), 21));
}

/// The network once more, with matrices of all pairs of nodes.
class DenseAttention {
 public:
  explicit DenseAttention(GraphAttentionSettings settings) : settings_(std::move(settings)) {
    const auto pairs = testing::graph_pairs();
    mask_ = at::zeros({graph_nodes, graph_nodes}, at::kDouble);
    mask_.index_put_({pairs[0], pairs[1]}, at::ones({1}, at::kDouble));
    weights_ = mask_.clone();
    if (settings_.self_loop_weight == 0) return;
    for (int n = 0; n < graph_nodes; ++n)
      if (mask_[n][n].item<double>() == 0) {
        mask_[n][n] = 1;
        weights_[n][n] = settings_.self_loop_weight;
      }
  }

  /// [receivers, senders, heads], theta in the network's order.
  at::Tensor attention(const at::Tensor& x, const std::vector<at::Tensor>& theta) const {
    const std::size_t step = settings_.bias ? 2 : 1;
    const auto map = [&](std::size_t first) {
      auto mapped = x.matmul(theta[first].t());
      if (settings_.bias) mapped = mapped + theta[first + 1];
      return mapped.view({graph_nodes, settings_.heads, -1});
    };
    auto q = map(0);
    auto k = map(step);
    double scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
    if (settings_.similarity == Similarity::pearson) {
      q = q - q.mean(2, true);
      k = k - k.mean(2, true);
      q = q / q.norm(2, {2}, true).clamp_min(1e-5);
      k = k / k.norm(2, {2}, true).clamp_min(1e-5);
      scale = 1;
    }
    auto logits = scale * at::einsum("ihd,jhd->ijh", {q, k});
    if (settings_.reweight) logits = logits * weights_.unsqueeze(2);
    return dense_softmax(mask_, settings_.normalise_over, logits, settings_.normalisation);
  }

  at::Tensor operator()(const at::Tensor& u, const std::vector<at::Tensor>& theta) const {
    const auto x = u.view({graph_nodes, hidden});
    return attention(x, theta).mean(2).matmul(x).view({1, state_size});
  }

 private:
  GraphAttentionSettings settings_;
  at::Tensor mask_, weights_;
};

/// Every product of one evaluation of the dense network, at the parameters of `network`.
struct Reference {
  Reference(const GraphAttentionSettings& settings, GraphAttention& network, const at::Tensor& u, const at::Tensor& w,
            const at::Tensor& v) {
    std::vector<at::Tensor> theta;
    for (const auto& leaf : network.parameters().tensors())
      theta.push_back(leaf.detach().to(at::kDouble).clone().requires_grad_(true));
    const auto leaf = u.clone().requires_grad_(true);
    const auto value = DenseAttention(settings)(leaf, theta);
    std::vector<at::Tensor> inputs = {leaf};
    inputs.insert(inputs.end(), theta.begin(), theta.end());
    const auto cotangents = torch::autograd::grad({value}, inputs, {w}, true);
    y = value.detach();
    u_bar = cotangents[0];
    std::vector<at::Tensor> flat;
    for (std::size_t i = 1; i < cotangents.size(); ++i) flat.push_back(cotangents[i].flatten());
    theta_bar = at::cat(flat);
    const auto dummy = at::zeros_like(value).requires_grad_(true);
    const auto pulled = torch::autograd::grad({value}, {leaf}, {dummy}, true, true)[0];
    y_tan = torch::autograd::grad({pulled}, {dummy}, {v})[0];
  }
  at::Tensor y, u_bar, theta_bar, y_tan;
};

at::Tensor empty_state() { return at::full({1, state_size}, std::nan(""), at::kDouble); }

void compare_with_dense(const GraphAttentionSettings& settings, double tolerance) {
  GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
  randomise(network);
  const auto u = random_tensor({1, state_size}, 1);
  const auto w = random_tensor({1, state_size}, 2);
  const auto v = random_tensor({1, state_size}, 3);
  const Reference reference(settings, network, u, w, v);
  const auto y = empty_state();
  const auto u_bar = empty_state();
  const auto y_tan = empty_state();

  network.forward(0, u, y);
  BOOST_TEST(difference(y, reference.y) <= tolerance);
  y.fill_(std::nan(""));
  const auto tape = network.record(0, u, y);
  BOOST_TEST(difference(y, reference.y) <= tolerance);
  BOOST_TEST(difference(tape->input(), u) <= tolerance);
  tape->vjp(w, u_bar);
  BOOST_TEST(difference(u_bar, reference.u_bar) <= tolerance);
  tape->jvp(v, y_tan);
  BOOST_TEST(difference(y_tan, reference.y_tan) <= tolerance);
  network.parameters().gradient().fill_(1);
  tape->accumulate(0.25);
  tape->accumulate(-2);
  BOOST_TEST(difference(network.parameters().gradient(), 1 - 1.75 * reference.theta_bar) <= 5 * tolerance);
}

template <class Total>
Total total_of(void (c10::MemoryReportingInfoBase::*)(void*, std::int64_t, Total, Total, c10::Device));

/// Counts what torch holds on the CPU while it lives.
class MemoryMeter : public c10::MemoryReportingInfoBase {
 public:
  // Its type changed with LibTorch 2.
  using Total = decltype(total_of(&c10::MemoryReportingInfoBase::reportMemoryUsage));
  void reportMemoryUsage(void*, std::int64_t size, Total, Total, c10::Device) override {
    held += size;
    highest = std::max(highest, held);
  }
  bool memoryProfilingEnabled() const override { return true; }
  std::int64_t held = 0;
  std::int64_t highest = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_graph_attention, *utf::label("unit") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(products_equal_dense_ones, *utf::label("gradient")) {
  for (const auto& settings : variants())
    BOOST_TEST_CONTEXT(GraphAttention(graph_nodes, testing::graph_pairs(), settings).fingerprint()) {
      compare_with_dense(settings, 1e-12);
    }
}

BOOST_AUTO_TEST_CASE(single_precision_is_right_to_its_rounding, *utf::label("gradient")) {
  for (auto settings : variants()) {
    settings.single_precision = true;
    BOOST_TEST_CONTEXT(GraphAttention(graph_nodes, testing::graph_pairs(), settings).fingerprint()) {
      compare_with_dense(settings, 1e-5);
    }
  }
}

BOOST_AUTO_TEST_CASE(weights_equal_dense_ones_and_have_the_sum_one) {
  const auto x = random_tensor({graph_nodes, hidden}, 1);
  for (const auto& settings : variants()) {
    GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
    randomise(network);
    const auto a = network.attention(x);
    BOOST_TEST(difference(dense(network.edges(), a),
                          DenseAttention(settings).attention(x, network.parameters().tensors())) <= 1e-13);
    auto ones = at::ones({graph_nodes, settings.heads}, at::kDouble);
    if (settings.self_loop_weight == 0) {
      ones[3].zero_();
      ones[settings.normalise_over == EdgeEnd::receiver ? 7 : 5].zero_();
    }
    BOOST_TEST(difference(nn::edge_sum(network.edges(), settings.normalise_over, a), ones) <= 1e-14);
  }
}

BOOST_AUTO_TEST_CASE(products_are_transposed_to_each_other, *utf::label("gradient")) {
  for (const auto& settings : variants()) {
    GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
    randomise(network);
    const auto v = random_tensor({1, state_size}, 2);
    const auto w = random_tensor({1, state_size}, 3);
    const auto y = empty_state();
    const auto tape = network.record(0, random_tensor({1, state_size}, 1), y);
    const auto jv = empty_state();
    const auto jtw = empty_state();
    tape->jvp(v, jv);
    tape->vjp(w, jtw);
    const double forward = (w * jv).sum().item<double>();
    BOOST_TEST(std::abs(forward - (jtw * v).sum().item<double>()) <= 1e-12 * (w.norm() * jv.norm()).item<double>());
  }
}

BOOST_AUTO_TEST_CASE(taylor_remainders_fall_with_slope_two, *utf::label("gradient")) {
  for (const auto& settings : variants()) {
    GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
    randomise(network);
    const auto u = random_tensor({1, state_size}, 1);
    const auto w = random_tensor({1, state_size}, 2);
    const auto y = empty_state();
    const auto u_bar = empty_state();
    const auto tape = network.record(0, u, y);
    tape->vjp(w, u_bar);
    tape->accumulate(1);
    auto& theta = network.parameters().values();
    const auto start = theta.clone();
    const auto value = [&](const at::Tensor& point) {
      network.forward(0, point, y);
      return (y * w).sum().item<double>();
    };
    const auto u_tan = random_tensor(u.sizes(), 23);
    const auto in_u = model::taylor_test([&](double e) { return value(u + e * u_tan); },
                                         (u_bar * u_tan).sum().item<double>(), 1e-3, 5);
    const auto theta_tan = random_tensor(start.sizes(), 4);
    const auto in_theta = model::taylor_test(
        [&](double e) {
          theta.copy_(start + e * theta_tan);
          return value(u);
        },
        network.parameters().gradient().dot(theta_tan).item<double>(), 1e-3, 5);
    BOOST_TEST_CONTEXT(network.fingerprint()) {
      BOOST_TEST(std::abs(in_u.slope() - 2) <= 0.1);
      BOOST_TEST(std::abs(in_theta.slope() - 2) <= 0.1);
    }
  }
}

// Queries and keys of length zero: no attention can be read from them, and nothing may be divided by them.
BOOST_AUTO_TEST_CASE(pearson_is_smooth_at_queries_without_direction, *utf::label("gradient")) {
  auto settings = small();
  settings.similarity = Similarity::pearson;
  settings.bias = false;
  GraphAttention network(graph_nodes, testing::graph_pairs(), settings);  // the rows of Q are equal
  const auto u = random_tensor({1, state_size}, 1);
  const auto y = empty_state();
  const auto u_bar = empty_state();
  const auto y_tan = empty_state();
  const auto tape = network.record(0, u, y);
  tape->vjp(u, u_bar);
  tape->jvp(u, y_tan);
  tape->accumulate(1);
  for (const auto& tensor : {y, u_bar, y_tan, network.parameters().gradient()})
    BOOST_TEST(tensor.isfinite().all().item<bool>());
  // So every node takes the mean of its neighbours: y is linear in u.
  BOOST_TEST(difference(y_tan, y) <= 1e-10);
}

BOOST_AUTO_TEST_CASE(large_features_do_not_overflow, *utf::label("gradient")) {
  for (auto settings : variants())
    for (const bool single : {false, true}) {
      settings.single_precision = single;
      GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
      randomise(network, 1e3);
      const auto u = 1e3 * random_tensor({1, state_size}, 1);
      const auto y = empty_state();
      const auto u_bar = empty_state();
      const auto tape = network.record(0, u, y);
      tape->vjp(u, u_bar);
      tape->accumulate(1);
      for (const auto& tensor : {y, u_bar, network.parameters().gradient()})
        BOOST_TEST(tensor.isfinite().all().item<bool>(), network.fingerprint());
    }
}

BOOST_AUTO_TEST_CASE(attention_starts_even) {
  auto settings = small();
  settings.hidden = 400;
  settings.attention_dim = 300;
  GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
  const auto& theta = network.parameters().tensors();
  BOOST_TEST(theta.size() == 4U);
  BOOST_TEST(network.parameters().count() == 2 * 300 * 401);
  for (const std::size_t map : {0, 2}) {
    BOOST_TEST(theta[map].sizes() == (at::IntArrayRef{300, 400}));
    BOOST_TEST(at::equal(theta[map].detach(), at::full({300, 400}, 1e-5, at::kDouble)));
    const auto bias = theta[map + 1].detach();
    BOOST_TEST(bias.sizes() == (at::IntArrayRef{300}));
    BOOST_TEST(bias.max().item<double>() <= 0.05);
    BOOST_TEST(bias.max().item<double>() > 0.045);
    BOOST_TEST(bias.min().item<double>() >= -0.05);
    BOOST_TEST(bias.min().item<double>() < -0.045);
  }
  BOOST_TEST(!at::equal(theta[1].detach(), theta[3].detach()));
  // One over the number of edges, but for what 1e-5 adds.
  const auto& edges = network.edges();
  const auto a = network.attention(random_tensor({graph_nodes, 400}, 1));
  const auto ones = at::ones_like(a.detach());
  const auto degree = nn::edge_spread(edges, EdgeEnd::receiver, nn::edge_sum(edges, EdgeEnd::receiver, ones));
  BOOST_TEST(difference(a * degree, ones) <= 1e-3);
  BOOST_TEST(difference(a * degree, ones) > 0);
}

BOOST_AUTO_TEST_CASE(the_seed_decides_the_bias) {
  GraphAttention first(graph_nodes, testing::graph_pairs(), small());
  GraphAttention second(graph_nodes, testing::graph_pairs(), small());
  BOOST_TEST(at::equal(first.parameters().values(), second.parameters().values()));
  auto settings = small();
  settings.single_precision = true;
  GraphAttention single(graph_nodes, testing::graph_pairs(), settings);
  BOOST_TEST(at::equal(single.parameters().values(), first.parameters().values().to(at::kFloat)));
  settings = small();
  settings.seed = 12;
  GraphAttention other(graph_nodes, testing::graph_pairs(), settings);
  BOOST_TEST(!at::equal(other.parameters().values(), first.parameters().values()));
}

BOOST_AUTO_TEST_CASE(the_weight_of_self_loops_counts_only_where_edges_are_weighted) {
  const auto u = random_tensor({1, state_size}, 1);
  const auto value = [&](double self_loop_weight, bool reweight) {
    auto settings = small();
    settings.self_loop_weight = self_loop_weight;
    settings.reweight = reweight;
    GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
    randomise(network);
    const auto y = empty_state();
    network.forward(0, u, y);
    return y;
  };
  BOOST_TEST(at::equal(value(0.3, false), value(1, false)));
  BOOST_TEST(difference(value(0, false), value(1, false)) > 1e-2);
  BOOST_TEST(difference(value(0.3, true), value(1, true)) > 1e-3);
  BOOST_TEST(at::equal(value(1, true), value(1, false)));
}

BOOST_AUTO_TEST_CASE(a_node_alone_gets_zero_and_with_a_loop_itself) {
  const auto u = random_tensor({1, state_size}, 1);
  auto settings = small();
  for (const double loops : {0.0, 1.0}) {
    settings.self_loop_weight = loops;
    GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
    randomise(network);
    const auto y = empty_state();
    network.forward(0, u, y);
    const auto rows = y.view({graph_nodes, hidden});
    BOOST_TEST(difference(rows[3], loops * u.view({graph_nodes, hidden})[3]) <= 1e-15);
    BOOST_TEST(rows[0].abs().min().item<double>() > 0);
  }
}

BOOST_AUTO_TEST_CASE(the_same_bits_twice, *utf::label("gradient")) {
  for (const auto& settings : variants()) {
    std::vector<at::Tensor> results[2];
    for (auto& result : results) {
      GraphAttention network(graph_nodes, testing::graph_pairs(), settings);
      randomise(network);
      const auto y = empty_state();
      const auto u_bar = empty_state();
      const auto y_tan = empty_state();
      const auto tape = network.record(0, random_tensor({1, state_size}, 1), y);
      tape->vjp(random_tensor({1, state_size}, 2), u_bar);
      tape->accumulate(1);
      tape->jvp(random_tensor({1, state_size}, 3), y_tan);
      result = {y, u_bar, y_tan, network.parameters().gradient().clone()};
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) BOOST_TEST(at::equal(results[0][i], results[1][i]));
  }
}

BOOST_AUTO_TEST_CASE(a_rank_without_samples_computes_nothing_and_fails_not) {
  GraphAttention network(graph_nodes, testing::graph_pairs(), small());
  const auto nothing = at::empty({0, state_size}, at::kDouble);
  const auto y = nothing.clone();
  const auto u_bar = nothing.clone();
  network.forward(0, nothing, y);
  const auto tape = network.record(0, nothing, y);
  tape->vjp(nothing, u_bar);
  tape->accumulate(1);
  tape->jvp(nothing, y);
  BOOST_TEST(network.parameters().gradient().abs().max().item<double>() == 0);
  BOOST_TEST(network.tape_bytes(0) == 0U);
}

// A graph of 2000 nodes: a matrix of all pairs would be 32 MB.
BOOST_AUTO_TEST_CASE(memory_grows_with_edges_and_tapes_hold_what_they_say) {
  const std::int64_t nodes = 2000;
  const auto pairs = testing::random_pairs(nodes, 8000, 3);
  for (auto settings : variants())
    for (const bool single : {false, true}) {
      settings.single_precision = single;
      GraphAttention network(nodes, pairs, settings);
      randomise(network);
      const auto u = random_tensor({1, nodes * hidden}, 1);
      const auto y = at::empty_like(u);
      const auto u_bar = at::empty_like(u);
      const auto meter = std::make_shared<MemoryMeter>();
      const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
      const auto tape = network.record(0, u, y);
      const double said = static_cast<double>(network.tape_bytes(1));
      BOOST_TEST(std::abs(static_cast<double>(meter->held) / said - 1) <= 0.02,
                 network.fingerprint() << " holds " << meter->held << " and says " << said);
      tape->vjp(u, u_bar);
      tape->jvp(u, y);
      BOOST_TEST(meter->highest <= 6'000'000);
    }
}

BOOST_AUTO_TEST_CASE(the_fingerprint_says_what_can_exchange_parameters) {
  std::set<std::string> fingerprints;
  std::size_t count = 0;
  for (auto settings : variants())
    for (const bool single : {false, true}) {
      settings.single_precision = single;
      fingerprints.insert(GraphAttention(graph_nodes, testing::graph_pairs(), settings).fingerprint());
      ++count;
    }
  BOOST_TEST(fingerprints.size() == count);
  BOOST_TEST(GraphAttention(graph_nodes, testing::graph_pairs(), small()).fingerprint() ==
             "graph_attention 5/12/4 scaled_dot softmax receivers double");
  auto other = small();
  other.seed = 5;
  other.initial_weight = 0.1;
  BOOST_TEST(GraphAttention(2, at::empty({2, 0}, at::kLong), other).fingerprint() ==
             GraphAttention(graph_nodes, testing::graph_pairs(), small()).fingerprint());
}

BOOST_AUTO_TEST_CASE(wrong_settings_and_states_are_refused) {
  const auto pairs = testing::graph_pairs();
  auto settings = small();
  settings.heads = 5;
  BOOST_CHECK_EXCEPTION(GraphAttention(graph_nodes, pairs, settings), UserError, mentions("12", "5", "heads"));
  settings.heads = 0;
  BOOST_CHECK_THROW(GraphAttention(graph_nodes, pairs, settings), UserError);
  settings = small();
  settings.hidden = 0;
  BOOST_CHECK_THROW(GraphAttention(graph_nodes, pairs, settings), UserError);
  settings = small();
  for (const double weight : {-1.0, std::nan("")}) {
    settings.self_loop_weight = weight;
    BOOST_CHECK_EXCEPTION(GraphAttention(graph_nodes, pairs, settings), UserError, mentions("self-loops"));
  }
  BOOST_CHECK_EXCEPTION(GraphAttention(graph_nodes - 1, pairs, small()), UserError, mentions("node 8"));

  GraphAttention network(graph_nodes, pairs, small());
  const auto y = empty_state();
  BOOST_CHECK_EXCEPTION(network.forward(0, random_tensor({2, state_size}, 1), y), UserError, mentions("[1, 45]"));
  BOOST_CHECK_THROW(network.forward(0, random_tensor({1, 3}, 1), y), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
