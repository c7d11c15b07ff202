// Parts of a graph: components, subgraphs, random splits.
#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"
#include "espalier/data/graph.hpp"

namespace espalier::data {

namespace {

using Indices = std::vector<std::int64_t>;

std::string number(std::int64_t value) { return std::to_string(value); }
std::string number(std::size_t value) { return std::to_string(value); }

// Entries of the row, [first, last).
std::pair<std::size_t, std::size_t> row_range(const Indices& indptr, std::int64_t row) {
  const auto i = static_cast<std::size_t>(row);
  return {static_cast<std::size_t>(indptr[i]), static_cast<std::size_t>(indptr[i + 1])};
}

// The row of `from`, appended to `to`.
void append_features(const SparseFeatures& from, std::int64_t row, SparseFeatures& to) {
  const auto [first, last] = row_range(from.indptr, row);
  for (std::size_t k = first; k < last; ++k) {
    to.indices.push_back(from.indices[k]);
    to.values.push_back(from.values[k]);
  }
  to.indptr.push_back(static_cast<std::int64_t>(to.indices.size()));
}

// New numbers of the nodes that have one.
Indices restricted(const Indices& nodes, const Indices& new_number) {
  Indices result;
  for (const std::int64_t node : nodes) {
    const std::int64_t renamed = new_number[static_cast<std::size_t>(node)];
    if (renamed >= 0) result.push_back(renamed);
  }
  return result;
}

}  // namespace

std::vector<std::int64_t> components(const Graph& graph) {
  Indices component(static_cast<std::size_t>(graph.num_nodes), -1);
  Indices reached;
  std::int64_t count = 0;
  for (std::int64_t start = 0; start < graph.num_nodes; ++start) {
    if (component[static_cast<std::size_t>(start)] >= 0) continue;
    component[static_cast<std::size_t>(start)] = count;
    reached.assign(1, start);
    while (!reached.empty()) {
      const auto [first, last] = row_range(graph.neighbours.indptr, reached.back());
      reached.pop_back();
      for (std::size_t k = first; k < last; ++k) {
        std::int64_t& other = component[static_cast<std::size_t>(graph.neighbours.indices[k])];
        if (other >= 0) continue;
        other = count;
        reached.push_back(graph.neighbours.indices[k]);
      }
    }
    ++count;
  }
  return component;
}

Graph subgraph(const Graph& graph, const std::vector<std::int64_t>& nodes) {
  ESPALIER_REQUIRE(!nodes.empty(), "a subgraph needs at least one node");
  Indices new_number(static_cast<std::size_t>(graph.num_nodes), -1);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    ESPALIER_REQUIRE(nodes[k] >= 0 && nodes[k] < graph.num_nodes && (k == 0 || nodes[k] > nodes[k - 1]),
                     "the nodes of a subgraph must be increasing and in [0, " + number(graph.num_nodes) + "), node " +
                         number(nodes[k]) + " at [" + number(k) + "] is not");
    new_number[static_cast<std::size_t>(nodes[k])] = static_cast<std::int64_t>(k);
  }
  Graph result;
  result.name = graph.name;
  result.num_nodes = static_cast<std::int64_t>(nodes.size());
  result.num_features = graph.num_features;
  result.num_classes = graph.num_classes;
  result.settings = graph.settings;
  for (const std::int64_t node : nodes) {
    result.labels.push_back(graph.labels[static_cast<std::size_t>(node)]);
    const auto [first, last] = row_range(graph.neighbours.indptr, node);
    for (std::size_t k = first; k < last; ++k) {
      const std::int64_t other = new_number[static_cast<std::size_t>(graph.neighbours.indices[k])];
      if (other >= 0) result.neighbours.indices.push_back(other);
    }
    result.neighbours.indptr.push_back(static_cast<std::int64_t>(result.neighbours.indices.size()));
    append_features(graph.features, node, result.features);
  }
  if (graph.split)
    result.split = Split{restricted(graph.split->train, new_number), restricted(graph.split->val, new_number),
                         restricted(graph.split->test, new_number), graph.split->name};
  return result;
}

Graph largest_component(const Graph& graph) {
  const Indices component = components(graph);
  ESPALIER_REQUIRE(!component.empty(), "a graph without nodes has no component");
  Indices sizes(static_cast<std::size_t>(*std::max_element(component.begin(), component.end())) + 1, 0);
  for (const std::int64_t c : component) ++sizes[static_cast<std::size_t>(c)];
  const std::int64_t largest = std::max_element(sizes.begin(), sizes.end()) - sizes.begin();
  Indices nodes;
  for (std::size_t i = 0; i < component.size(); ++i)
    if (component[i] == largest) nodes.push_back(static_cast<std::int64_t>(i));
  return subgraph(graph, nodes);
}

Split random_split(const Graph& graph, std::int64_t development, std::int64_t train_per_class, std::uint64_t seed) {
  ESPALIER_REQUIRE(train_per_class >= 1, "a random split needs at least one training node per class");
  ESPALIER_REQUIRE(development >= 1 && development < graph.num_nodes,
                   "a random split of " + number(graph.num_nodes) + " nodes with " + number(development) +
                       " development nodes: use at least 1 and leave at least one node for test");
  Indices order(static_cast<std::size_t>(graph.num_nodes));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::mt19937_64 engine(core::mix(seed));
  core::draw_to_front(engine, order, static_cast<std::size_t>(development));

  std::map<std::int64_t, std::int64_t> taken;  // training nodes of each class that has nodes
  for (const std::int64_t label : graph.labels) taken[label] = 0;
  Split split;
  split.name = "random_split";
  for (std::size_t k = 0; k < order.size(); ++k) {
    const bool develops = k < static_cast<std::size_t>(development);
    std::int64_t& count = taken[graph.labels[static_cast<std::size_t>(order[k])]];
    const bool trains = develops && count < train_per_class;
    if (trains) ++count;
    (trains ? split.train : develops ? split.val : split.test).push_back(order[k]);
  }
  for (const auto& [label, count] : taken)
    ESPALIER_REQUIRE(count == train_per_class, "a random split with " + number(train_per_class) +
                                                   " training nodes per class: class " + number(label) + " has only " +
                                                   number(count) + " among " + number(development) +
                                                   " development nodes (seed " + std::to_string(seed) +
                                                   "); use more of these, or fewer per class");
  for (Indices* part : {&split.train, &split.val, &split.test}) std::sort(part->begin(), part->end());
  return split;
}

}  // namespace espalier::data
