#include "espalier/data/graph_generator.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <unordered_set>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"

namespace espalier::data {

namespace {

constexpr std::int64_t most = std::int64_t(1) << 31;  // of nodes and features: their pairs still have 64-bit numbers

// Random numbers for one part of the graph.
enum class Stream : std::uint64_t { classes, edges, features };

std::mt19937_64 engine_of(std::int64_t seed, Stream stream) {
  return std::mt19937_64(core::mix(core::mix(static_cast<std::uint64_t>(seed)) + static_cast<std::uint64_t>(stream)));
}

// First of n things in equal shares that belongs to share c of `shares`.
std::int64_t share_begin(std::int64_t c, std::int64_t n, std::int64_t shares) {
  return c * (n / shares) + std::min(c, n % shares);
}

// Nodes in the order of their classes.
struct Classes {
  std::vector<std::int64_t> order;   // [N], nodes
  std::vector<std::int64_t> begins;  // [C + 1], of the classes in `order`
};

Classes draw_classes(const GraphSettings& settings) {
  Classes classes;
  classes.order.resize(static_cast<std::size_t>(settings.nodes));
  std::iota(classes.order.begin(), classes.order.end(), std::int64_t{0});
  std::mt19937_64 engine = engine_of(settings.seed, Stream::classes);
  core::draw_to_front(engine, classes.order, classes.order.size());
  for (std::int64_t c = 0; c <= settings.classes; ++c)
    classes.begins.push_back(share_begin(c, settings.nodes, settings.classes));
  return classes;
}

// Pairs of positions p > q in the order of classes, numbered by p, then by q. Inside classes q begins where the class
// of p does; across them q ends there.
struct Pairs {
  std::vector<std::uint64_t> before = {0};  // [N + 1], pairs with a smaller p
  std::vector<std::int64_t> first;          // [N], the least q

  std::uint64_t count() const { return before.back(); }
  Edge operator[](std::uint64_t number) const {
    const auto p = std::upper_bound(before.begin(), before.end(), number) - before.begin() - 1;
    const auto i = static_cast<std::size_t>(p);
    return {p, first[i] + static_cast<std::int64_t>(number - before[i])};
  }
};

Pairs pairs_of(const std::vector<std::int64_t>& begins, bool inside) {
  Pairs pairs;
  for (std::size_t c = 0; c + 1 < begins.size(); ++c) {
    for (std::int64_t p = begins[c]; p < begins[c + 1]; ++p) {
      const std::int64_t count = inside ? p - begins[c] : begins[c];
      pairs.first.push_back(inside ? begins[c] : 0);
      pairs.before.push_back(pairs.before.back() + static_cast<std::uint64_t>(count));
    }
  }
  return pairs;
}

std::int64_t edges_inside(const GraphSettings& settings) {
  return std::llround(settings.homophily * static_cast<double>(settings.edges));
}

std::vector<Edge> draw_edges(const GraphSettings& settings, const Classes& classes) {
  std::mt19937_64 engine = engine_of(settings.seed, Stream::edges);
  std::vector<Edge> edges;
  for (const bool inside : {true, false}) {
    const std::int64_t wanted = inside ? edges_inside(settings) : settings.edges - edges_inside(settings);
    const Pairs pairs = pairs_of(classes.begins, inside);
    ESPALIER_REQUIRE(static_cast<std::uint64_t>(wanted) <= pairs.count(),
                     "generated graph: " + std::to_string(wanted) + " edges " + (inside ? "inside" : "across") +
                         " classes, where there are " + std::to_string(pairs.count()) +
                         " pairs of nodes: use fewer edges, more nodes, or another homophily or number of classes");
    std::unordered_set<std::uint64_t> drawn;
    drawn.reserve(static_cast<std::size_t>(wanted));
    edges.reserve(edges.size() + static_cast<std::size_t>(wanted));
    core::draw_subset(engine, pairs.count(), static_cast<std::uint64_t>(wanted),
                      [&](std::uint64_t number) { return drawn.insert(number).second; });
    for (const std::uint64_t number : drawn) {
      const auto [p, q] = pairs[number];
      edges.emplace_back(classes.order[static_cast<std::size_t>(p)], classes.order[static_cast<std::size_t>(q)]);
    }
  }
  return edges;
}

// The features that a class owns, [begin, begin + own), and all others.
struct Owned {
  std::int64_t begin;
  std::int64_t own;
  std::int64_t others;
};

Owned owned_by(std::int64_t label, const GraphSettings& settings) {
  const std::int64_t begin = share_begin(label, settings.features, settings.classes);
  const std::int64_t own = share_begin(label + 1, settings.features, settings.classes) - begin;
  return {begin, own, settings.features - own};
}

// How many of a node's non-zeros are its class's own: each with probability s because of the class, else by chance,
// own / F; no more than there are features of either kind.
std::int64_t draw_own_count(std::mt19937_64& engine, const GraphSettings& settings, const Owned& owned) {
  const double chance = static_cast<double>(owned.own) / static_cast<double>(settings.features);
  const double probability = settings.feature_signal + (1 - settings.feature_signal) * chance;
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < settings.feature_nonzeros; ++k)
    count += core::uniform_unit(engine) < probability ? 1 : 0;
  return std::max(std::min(count, owned.own), settings.feature_nonzeros - owned.others);
}

SparseFeatures draw_features(const GraphSettings& settings, const std::vector<std::int64_t>& labels) {
  std::mt19937_64 engine = engine_of(settings.seed, Stream::features);
  SparseFeatures features;
  std::vector<std::int64_t> drawn_by(static_cast<std::size_t>(settings.features), -1);  // the last node that did
  for (std::int64_t node = 0; node < settings.nodes; ++node) {
    const auto insert = [&](std::int64_t feature) {
      std::int64_t& by = drawn_by[static_cast<std::size_t>(feature)];
      if (by == node) return false;
      by = node;
      features.indices.push_back(feature);
      return true;
    };
    const Owned owned = owned_by(labels[static_cast<std::size_t>(node)], settings);
    const std::int64_t own_count = draw_own_count(engine, settings, owned);
    core::draw_subset(engine, static_cast<std::uint64_t>(owned.own), static_cast<std::uint64_t>(own_count),
                      [&](std::uint64_t k) { return insert(owned.begin + static_cast<std::int64_t>(k)); });
    core::draw_subset(engine, static_cast<std::uint64_t>(owned.others),
                      static_cast<std::uint64_t>(settings.feature_nonzeros - own_count), [&](std::uint64_t k) {
                        const auto feature = static_cast<std::int64_t>(k);
                        return insert(feature < owned.begin ? feature : feature + owned.own);
                      });
    std::sort(features.indices.end() - settings.feature_nonzeros, features.indices.end());
    features.indptr.push_back(static_cast<std::int64_t>(features.indices.size()));
  }
  features.values.assign(features.indices.size(), 1);
  return features;
}

// The karate club: pairs of friends, and the members of the instructor's club after the split; numbers from 0.
const std::vector<Edge>& friendships() {
  static const std::vector<Edge> pairs = {
      {0, 1},   {0, 2},   {0, 3},   {0, 4},   {0, 5},   {0, 6},   {0, 7},   {0, 8},   {0, 10},  {0, 11},
      {0, 12},  {0, 13},  {0, 17},  {0, 19},  {0, 21},  {0, 31},  {1, 2},   {1, 3},   {1, 7},   {1, 13},
      {1, 17},  {1, 19},  {1, 21},  {1, 30},  {2, 3},   {2, 7},   {2, 8},   {2, 9},   {2, 13},  {2, 27},
      {2, 28},  {2, 32},  {3, 7},   {3, 12},  {3, 13},  {4, 6},   {4, 10},  {5, 6},   {5, 10},  {5, 16},
      {6, 16},  {8, 30},  {8, 32},  {8, 33},  {9, 33},  {13, 33}, {14, 32}, {14, 33}, {15, 32}, {15, 33},
      {18, 32}, {18, 33}, {19, 33}, {20, 32}, {20, 33}, {22, 32}, {22, 33}, {23, 25}, {23, 27}, {23, 29},
      {23, 32}, {23, 33}, {24, 25}, {24, 27}, {24, 31}, {25, 31}, {26, 29}, {26, 33}, {27, 33}, {28, 31},
      {28, 33}, {29, 32}, {29, 33}, {30, 32}, {30, 33}, {31, 32}, {31, 33}, {32, 33},
  };
  return pairs;
}
constexpr std::array<std::int64_t, 17> with_the_instructor = {0,  1,  2,  3,  4,  5,  6,  7, 8,
                                                              10, 11, 12, 13, 16, 17, 19, 21};

}  // namespace

void validate(const GraphSettings& settings) {
  const auto require = [](bool condition, const std::string& complaint) {
    ESPALIER_REQUIRE(condition, "generated graph: " + complaint);
  };
  const auto text = [](std::int64_t value) { return std::to_string(value); };
  const auto is_part = [](double value) { return value >= 0 && value <= 1; };
  require(settings.nodes >= 1 && settings.nodes <= most, "1 to 2^31 nodes, not " + text(settings.nodes));
  require(settings.edges >= 0, "the edges must be 0 or more, not " + text(settings.edges));
  require(settings.classes >= 1 && settings.classes <= settings.nodes,
          "1 to " + text(settings.nodes) + " classes, as many as nodes, not " + text(settings.classes));
  require(settings.features >= settings.classes && settings.features <= most,
          "at least one feature per class, " + text(settings.classes) + ", and at most 2^31, not " +
              text(settings.features));
  require(settings.feature_nonzeros >= 0 && settings.feature_nonzeros <= settings.features,
          "0 to " + text(settings.features) + " non-zero features of a node, not " + text(settings.feature_nonzeros));
  require(is_part(settings.homophily), "the homophily must be in [0, 1]");
  require(is_part(settings.feature_signal), "the feature signal must be in [0, 1]");
}

io::Attributes attributes(const GraphSettings& settings) {
  return {
      {"generator", "graph"},        {"generator_version", 1},          {"nodes", settings.nodes},
      {"edges", settings.edges},     {"features", settings.features},   {"feature_nonzeros", settings.feature_nonzeros},
      {"classes", settings.classes}, {"homophily", settings.homophily}, {"feature_signal", settings.feature_signal},
      {"seed", settings.seed}};
}

Graph generated_graph(const GraphSettings& settings) {
  validate(settings);
  const Classes classes = draw_classes(settings);
  Graph graph;
  graph.name = "generated";
  graph.num_nodes = settings.nodes;
  graph.num_features = settings.features;
  graph.num_classes = settings.classes;
  graph.settings = attributes(settings);
  graph.labels.resize(classes.order.size());
  for (std::int64_t c = 0; c < settings.classes; ++c) {
    const auto begin = static_cast<std::size_t>(classes.begins[static_cast<std::size_t>(c)]);
    const auto end = static_cast<std::size_t>(classes.begins[static_cast<std::size_t>(c) + 1]);
    for (std::size_t p = begin; p < end; ++p) graph.labels[static_cast<std::size_t>(classes.order[p])] = c;
  }
  graph.neighbours = adjacency(settings.nodes, draw_edges(settings, classes));
  graph.features = draw_features(settings, graph.labels);
  return graph;
}

Graph karate_club() {
  Graph graph;
  graph.name = "karate_club";
  graph.num_nodes = graph.num_features = 34;
  graph.num_classes = 2;
  graph.neighbours = adjacency(graph.num_nodes, friendships());
  graph.labels.assign(static_cast<std::size_t>(graph.num_nodes), 1);
  for (const std::int64_t i : with_the_instructor) graph.labels[static_cast<std::size_t>(i)] = 0;
  for (std::int64_t i = 0; i < graph.num_nodes; ++i) {
    graph.features.indices.push_back(i);
    graph.features.values.push_back(1);
    graph.features.indptr.push_back(i + 1);
  }
  return graph;
}

}  // namespace espalier::data
