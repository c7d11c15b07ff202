#include "espalier/data/graph.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <set>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "espalier/data/graph_generator.hpp"
#include "espalier/io/series.hpp"
#include "io/temporary_folder.hpp"

namespace utf = boost::unit_test;
using namespace espalier;
using data::Graph;
using testing::mentions;
using testing::TemporaryFolder;

namespace {

using Indices = std::vector<std::int64_t>;

constexpr auto per_element = boost::test_tools::per_element();

// What a file holds. Nodes 0, 1 and 2 form a triangle, 3 and 4 a pair; node 5 has neither edges nor features.
struct File {
  Indices from = {0, 1, 1, 2, 0, 2, 3, 4};
  Indices to = {1, 0, 2, 1, 2, 0, 4, 3};
  Indices indptr = {0, 2, 3, 4, 6, 7, 7};
  Indices indices = {0, 3, 1, 2, 1, 2, 3};
  std::vector<double> values = {1, 0.5, -2, 1, 3, 1, 1};
  Indices labels = {0, 1, 0, 2, 2, 1};
  Indices train = {2, 0};
  Indices val = {1};
  Indices test = {5, 3};
  std::int64_t num_nodes = 6;
  std::int64_t num_features = 4;
  std::int64_t num_classes = 3;
  std::vector<std::string> splits = {"planetoid_split"};

  void write(const std::string& path) const {
    io::Hdf5Writer writer(path);
    writer.attributes(
        "/",
        {{"name", "example"}, {"num_nodes", num_nodes}, {"num_features", num_features}, {"num_classes", num_classes}});
    Indices edge_index = from;
    edge_index.insert(edge_index.end(), to.begin(), to.end());
    writer.write("edge_index", {2, from.size()}, edge_index);
    writer.write("features/indptr", {indptr.size()}, indptr);
    writer.write("features/indices", {indices.size()}, indices);
    writer.write("features/values", {values.size()}, values);
    writer.write("labels", {labels.size()}, labels);
    for (const std::string& split : splits) {
      writer.write(split + "/train", {train.size()}, train);
      writer.write(split + "/val", {val.size()}, val);
      writer.write(split + "/test", {test.size()}, test);
    }
    writer.commit();
  }
};

Graph read(const File& file, const std::string& split = "") {
  const TemporaryFolder folder;
  file.write(folder.file("g.h5"));
  return data::read_graph(folder.file("g.h5"), split);
}

template <class Change, class... Words>
void check_refused(const Change& change, Words... words) {
  File file;
  change(file);
  BOOST_CHECK_EXCEPTION(read(file), UserError, mentions("g.h5: ", words...));
}

void check_equal(const Graph& a, const Graph& b) {
  BOOST_TEST(a.name == b.name);
  BOOST_TEST(a.num_nodes == b.num_nodes);
  BOOST_TEST(a.num_features == b.num_features);
  BOOST_TEST(a.num_classes == b.num_classes);
  BOOST_TEST(a.neighbours.indptr == b.neighbours.indptr, per_element);
  BOOST_TEST(a.neighbours.indices == b.neighbours.indices, per_element);
  BOOST_TEST(a.features.indptr == b.features.indptr, per_element);
  BOOST_TEST(a.features.indices == b.features.indices, per_element);
  BOOST_TEST(a.features.values == b.features.values, per_element);
  BOOST_TEST(a.labels == b.labels, per_element);
  BOOST_REQUIRE(a.split.has_value() == b.split.has_value());
  if (a.split) {
    BOOST_TEST(a.split->name == b.split->name);
    BOOST_TEST(a.split->train == b.split->train, per_element);
    BOOST_TEST(a.split->val == b.split->val, per_element);
    BOOST_TEST(a.split->test == b.split->test, per_element);
  }
  BOOST_TEST(io::settings_difference(a.settings, b.settings) == "");
}

std::size_t count_of(std::int64_t n) { return static_cast<std::size_t>(n); }

// A split has the sizes that were asked for, in each class for training, and every node once.
void check_random_split(const Graph& graph, const data::Split& split, std::int64_t development,
                        std::int64_t train_per_class) {
  BOOST_TEST(split.train.size() + split.val.size() == count_of(development));
  BOOST_TEST(split.test.size() == count_of(graph.num_nodes - development));
  Indices trained(count_of(graph.num_classes), 0);
  for (const std::int64_t node : split.train) ++trained[count_of(graph.labels[count_of(node)])];
  for (std::int64_t c = 0; c < graph.num_classes; ++c) {
    const bool has_nodes = std::count(graph.labels.begin(), graph.labels.end(), c) > 0;
    BOOST_TEST(trained[count_of(c)] == (has_nodes ? train_per_class : 0));
  }
  std::set<std::int64_t> nodes;
  for (const Indices* part : {&split.train, &split.val, &split.test}) {
    BOOST_TEST(std::is_sorted(part->begin(), part->end()));
    nodes.insert(part->begin(), part->end());
  }
  BOOST_TEST(nodes.size() == count_of(graph.num_nodes));
  BOOST_TEST((*nodes.begin() == 0 && *nodes.rbegin() == graph.num_nodes - 1));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_graph, *utf::label("unit") * utf::label("sinode"))

// --- files --------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(file_is_read) {
  const Graph graph = read(File());
  BOOST_TEST(graph.name == "example");
  BOOST_TEST(graph.num_nodes == 6);
  BOOST_TEST(graph.num_features == 4);
  BOOST_TEST(graph.num_classes == 3);
  BOOST_TEST(graph.num_edges() == 4);
  BOOST_TEST(graph.neighbours.indptr == (Indices{0, 2, 4, 6, 7, 8, 8}), per_element);
  BOOST_TEST(graph.neighbours.indices == (Indices{1, 2, 0, 2, 0, 1, 4, 3}), per_element);
  BOOST_TEST(graph.degree(1) == 2);
  BOOST_TEST(graph.degree(5) == 0);
  BOOST_TEST(graph.features.indptr == File().indptr, per_element);
  BOOST_TEST(graph.features.indices == File().indices, per_element);
  BOOST_TEST(graph.features.values == File().values, per_element);
  BOOST_TEST(graph.labels == File().labels, per_element);
  BOOST_REQUIRE(graph.split.has_value());
  BOOST_TEST(graph.split->name == "planetoid_split");
  BOOST_TEST(graph.split->train == (Indices{2, 0}), per_element);
  BOOST_TEST(graph.split->val == Indices{1}, per_element);
  BOOST_TEST(graph.split->test == (Indices{5, 3}), per_element);
  BOOST_TEST(graph.settings.empty());
}

BOOST_AUTO_TEST_CASE(what_was_written_is_read) {
  const TemporaryFolder folder;
  const std::string path = folder.file("g.h5");
  Graph graph = read(File());
  graph.features.values[1] = 0.1;  // no float
  graph.settings = {{"generator", "hand"}, {"seed", 3}, {"homophily", 0.1}};
  data::write_graph(path, graph);
  check_equal(data::read_graph(path), graph);

  graph.split.reset();
  graph.settings.clear();
  data::write_graph(path, graph);
  check_equal(data::read_graph(path), graph);

  data::GraphSettings settings;
  settings.nodes = 300;
  settings.edges = 400;
  graph = data::generated_graph(settings);
  graph.split = data::random_split(graph, 150, 3, 1);
  data::write_graph(path, graph);
  check_equal(data::read_graph(path), graph);
}

BOOST_AUTO_TEST_CASE(graph_without_edges_and_features_is_a_graph) {
  File file;
  file.from = file.to = file.indices = {};
  file.values = {};
  file.indptr.assign(7, 0);
  const Graph graph = read(file);
  BOOST_TEST(graph.num_edges() == 0);
  const TemporaryFolder folder;
  data::write_graph(folder.file("g.h5"), graph);
  check_equal(data::read_graph(folder.file("g.h5")), graph);
  BOOST_TEST(data::components(graph) == (Indices{0, 1, 2, 3, 4, 5}), per_element);
  BOOST_TEST(data::largest_component(graph).num_nodes == 1);
}

BOOST_AUTO_TEST_CASE(repeated_edges_count_once_and_self_loops_are_dropped) {
  File file;
  for (const auto& [from, to] : {data::Edge{1, 0}, {2, 2}, {4, 3}, {3, 4}, {5, 5}, {1, 0}}) {
    file.from.push_back(from);
    file.to.push_back(to);
  }
  check_equal(read(file), read(File()));
}

BOOST_AUTO_TEST_CASE(rows_of_features_are_sorted) {
  File file;
  std::swap(file.indices[0], file.indices[1]);
  std::swap(file.values[0], file.values[1]);
  check_equal(read(file), read(File()));
}

BOOST_AUTO_TEST_CASE(splits_are_chosen_by_name) {
  File file;
  BOOST_TEST(read(file, "planetoid_split").split->name == "planetoid_split");
  BOOST_CHECK_EXCEPTION(read(file, "other_split"), UserError,
                        mentions("g.h5: ", "no split 'other_split'", "planetoid_split"));
  file.splits = {"split", "other_split"};
  BOOST_TEST(!read(file).split.has_value());
  BOOST_TEST(read(file, "split").split->name == "split");
  BOOST_TEST(read(file, "other_split").split->name == "other_split");
  file.splits = {};
  BOOST_TEST(!read(file).split.has_value());
  BOOST_CHECK_EXCEPTION(read(file, "split"), UserError, mentions("no split 'split'", "none"));
}

// --- bad input ----------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(edges_to_nodes_that_do_not_exist_are_refused) {
  check_refused([](File& f) { f.to[2] = 6; }, "'edge_index'", "node 6 at [1, 2]", "nodes 0 to 5");
  check_refused([](File& f) { f.from[7] = -1; }, "'edge_index'", "node -1 at [0, 7]", "nodes 0 to 5");
}

BOOST_AUTO_TEST_CASE(edges_in_one_direction_are_refused) {
  check_refused(
      [](File& f) {
        f.from.push_back(0);
        f.to.push_back(5);
      },
      "'edge_index'", "0 -> 5 at [:, 8]", "without its reverse", "both directions");
}

BOOST_AUTO_TEST_CASE(labels_out_of_range_are_refused) {
  check_refused([](File& f) { f.labels[3] = 3; }, "'labels'", "class 3 at [3]", "classes 0 to 2");
  check_refused([](File& f) { f.labels[0] = -1; }, "'labels'", "class -1 at [0]", "classes 0 to 2");
  check_refused([](File& f) { f.num_classes = 2; }, "'labels'", "class 2 at [3]", "classes 0 to 1");
  check_refused([](File& f) { f.labels.pop_back(); }, "'labels'", "[5], expected [6]");
}

BOOST_AUTO_TEST_CASE(overlapping_splits_are_refused) {
  check_refused(
      [](File& f) {
        f.val = {4, 0};
      },
      "'planetoid_split/val'", "node 0 at [1]", "in 'planetoid_split/train' too");
  check_refused([](File& f) { f.test.push_back(1); }, "'planetoid_split/test'", "node 1 at [2]",
                "in 'planetoid_split/val' too");
  check_refused([](File& f) { f.train.push_back(2); }, "'planetoid_split/train'", "node 2 at [2]", "already");
  check_refused([](File& f) { f.test[0] = 6; }, "'planetoid_split/test'", "node 6 at [0]", "nodes 0 to 5");
  // In a split that is not the one to be taken, too.
  File file;
  file.splits = {"a_split", "b_split"};
  file.val = {0};
  BOOST_CHECK_EXCEPTION(read(file, "b_split"), UserError, mentions("'a_split/val'", "'a_split/train' too"));
}

BOOST_AUTO_TEST_CASE(features_of_the_wrong_width_are_refused) {
  check_refused([](File& f) { f.num_features = 3; }, "'features/indices'", "feature 3 at [1] (node 0)",
                "features 0 to 2", "num_features");
  check_refused([](File& f) { f.indices[6] = -2; }, "'features/indices'", "feature -2 at [6] (node 4)",
                "features 0 to 3");
}

BOOST_AUTO_TEST_CASE(inconsistent_features_are_refused) {
  check_refused([](File& f) { f.indptr[2] = 1; }, "'features/indptr'", "falls from 2 to 1 at [2]");
  check_refused([](File& f) { f.indptr[0] = 1; }, "'features/indptr'", "begins with 1");
  check_refused([](File& f) { f.indptr[6] = 8; }, "'features/indptr'", "ends with 8", "7 values");
  check_refused([](File& f) { f.indptr.pop_back(); }, "'features/indptr'", "[6], expected [7]");
  check_refused([](File& f) { f.values.pop_back(); }, "'features/values'", "[6], expected [7]");
  check_refused([](File& f) { f.indices[1] = 0; }, "'features/indices'", "feature 0 of node 0 twice");
  check_refused([](File& f) { f.values[4] = std::numeric_limits<double>::quiet_NaN(); }, "'features/values'",
                "nan, is at [4]");
}

BOOST_AUTO_TEST_CASE(counts_must_be_positive) {
  check_refused([](File& f) { f.num_nodes = 0; }, "num_nodes is 0", "at least 1");
  check_refused([](File& f) { f.num_nodes = -6; }, "num_nodes is -6");
  check_refused([](File& f) { f.num_features = 0; }, "num_features is 0");
  check_refused([](File& f) { f.num_classes = 0; }, "num_classes is 0");
  check_refused([](File& f) { f.num_nodes = std::int64_t(1) << 60; }, "'labels'",
                "[6], expected [1152921504606846976]");
}

BOOST_AUTO_TEST_CASE(damaged_and_foreign_files_are_refused) {
  const TemporaryFolder folder;
  const std::string path = folder.file("g.h5");
  BOOST_CHECK_EXCEPTION(data::read_graph(path), UserError, mentions(path, "No such file"));
  File().write(path);
  testing::truncate(path, 0.6);
  BOOST_CHECK_EXCEPTION(data::read_graph(path), UserError, mentions(path, "damaged", "truncated"));
  testing::put(path, "0 1\n1 2\n");
  BOOST_CHECK_EXCEPTION(data::read_graph(path), UserError, mentions(path, "not an HDF5 file"));
  {
    io::Hdf5Writer writer(path);
    writer.attribute("/", "name", "a series");
    writer.commit();
  }
  BOOST_CHECK_EXCEPTION(data::read_graph(path), UserError, mentions(path, "no attribute 'num_nodes'"));
  {
    io::Hdf5Writer writer(path);
    writer.attributes("/", {{"name", "a"}, {"num_nodes", 2}, {"num_features", 1}, {"num_classes", 1}});
    writer.write("labels", {2}, Indices{0, 0});
    writer.write("edge_index", {1, 2}, Indices{0, 1});
    writer.commit();
  }
  BOOST_CHECK_EXCEPTION(data::read_graph(path), UserError, mentions(path, "'edge_index'", "[1, 2], expected [2, any]"));
}

BOOST_AUTO_TEST_CASE(a_refused_graph_overwrites_nothing) {
  const TemporaryFolder folder;
  const std::string path = folder.file("g.h5");
  const Graph good = read(File());
  data::write_graph(path, good);
  const std::string before = testing::contents(path);
  const auto refused = [&](const auto& change, const auto&... words) {
    Graph graph = good;
    change(graph);
    BOOST_CHECK_EXCEPTION(data::write_graph(path, graph), UserError, mentions(path, words...));
  };
  refused([](Graph& g) { g.neighbours.indices[0] = 3; }, "'neighbours/indices'", "out of order");
  refused([](Graph& g) { g.neighbours.indices[0] = 0; }, "self loop at node 0");
  refused([](Graph& g) { g.neighbours.indices[7] = 2; }, "4 -> 3", "without its reverse");
  refused([](Graph& g) { g.neighbours.indices[7] = 6; }, "'neighbours/indices'", "node 6 at [7]");
  refused([](Graph& g) { g.neighbours.indptr.pop_back(); }, "'neighbours/indptr'", "6 values, expected 7");
  refused([](Graph& g) { std::swap(g.features.indices[0], g.features.indices[1]); }, "'features/indices'",
          "out of order");
  refused([](Graph& g) { g.features.values.pop_back(); }, "'features/values'", "6 values");
  refused([](Graph& g) { g.labels.push_back(0); }, "'labels'", "7 values");
  refused([](Graph& g) { g.split->name = "planetoid"; }, "cannot be named 'planetoid'", "_split");
  refused([](Graph& g) { g.split->name = "a/b_split"; }, "cannot be named 'a/b_split'");
  refused([](Graph& g) { g.split->val.push_back(0); }, "'planetoid_split/train' too");
  refused([](Graph& g) { g = Graph(); }, "num_nodes is 0");
  BOOST_TEST((testing::contents(path) == before));
  BOOST_TEST(folder.size() == 1u);
}

// --- adjacency ----------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(adjacency_has_both_directions_sorted_and_once) {
  const data::Adjacency found = data::adjacency(5, {{3, 1}, {1, 3}, {0, 3}, {2, 2}, {3, 1}, {4, 3}});
  BOOST_TEST(found.indptr == (Indices{0, 1, 2, 2, 5, 6}), per_element);
  BOOST_TEST(found.indices == (Indices{3, 3, 0, 1, 4, 3}), per_element);
  BOOST_TEST(data::edge_index(found) == (Indices{3, 3, 0, 1, 4, 3, 0, 1, 3, 3, 3, 4}), per_element);
  BOOST_TEST(data::adjacency(2, {}).indptr == (Indices{0, 0, 0}), per_element);
  BOOST_CHECK_EXCEPTION(data::adjacency(5, {{0, 1}, {2, 5}}), UserError, mentions("2 - 5", "5 nodes"));
  BOOST_CHECK_EXCEPTION(data::adjacency(5, {{-1, 1}}), UserError, mentions("-1 - 1", "does not exist"));
}

// --- components ---------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(components_are_found) {
  BOOST_TEST(data::components(read(File())) == (Indices{0, 0, 0, 1, 1, 2}), per_element);
  Graph path;
  path.num_nodes = 7;
  path.neighbours = data::adjacency(7, {{6, 1}, {1, 5}, {5, 3}, {0, 4}});
  BOOST_TEST(data::components(path) == (Indices{0, 1, 2, 1, 0, 1, 1}), per_element);
}

BOOST_AUTO_TEST_CASE(subgraph_keeps_what_belongs_to_its_nodes) {
  const Graph part = data::subgraph(read(File()), {0, 2, 3, 5});
  BOOST_CHECK_NO_THROW(data::validate(part, "part"));
  BOOST_TEST(part.num_nodes == 4);
  BOOST_TEST(part.num_features == 4);
  BOOST_TEST(part.num_classes == 3);
  BOOST_TEST(part.name == "example");
  BOOST_TEST(part.neighbours.indptr == (Indices{0, 1, 2, 2, 2}), per_element);
  BOOST_TEST(part.neighbours.indices == (Indices{1, 0}), per_element);
  BOOST_TEST(part.features.indptr == (Indices{0, 2, 3, 5, 5}), per_element);
  BOOST_TEST(part.features.indices == (Indices{0, 3, 2, 1, 2}), per_element);
  BOOST_TEST(part.features.values == (std::vector<double>{1, 0.5, 1, 3, 1}), per_element);
  BOOST_TEST(part.labels == (Indices{0, 0, 2, 1}), per_element);
  BOOST_TEST(part.split->name == "planetoid_split");
  BOOST_TEST(part.split->train == (Indices{1, 0}), per_element);
  BOOST_TEST(part.split->val.empty());
  BOOST_TEST(part.split->test == (Indices{3, 2}), per_element);

  check_equal(data::subgraph(read(File()), {0, 1, 2, 3, 4, 5}), read(File()));
  BOOST_CHECK_EXCEPTION(data::subgraph(part, {}), UserError, mentions("at least one node"));
  BOOST_CHECK_EXCEPTION(data::subgraph(part, {1, 0}), UserError, mentions("increasing", "node 0 at [1]"));
  BOOST_CHECK_EXCEPTION(data::subgraph(part, {0, 4}), UserError, mentions("[0, 4)", "node 4 at [1]"));
}

BOOST_AUTO_TEST_CASE(largest_component_is_relabelled) {
  const Graph whole = read(File());
  check_equal(data::largest_component(whole), data::subgraph(whole, {0, 1, 2}));
  // Nodes that are not the first ones; of two equal components the one with the first node.
  Graph other = whole;
  other.neighbours = data::adjacency(6, {{1, 5}, {2, 4}, {4, 3}, {3, 2}});
  check_equal(data::largest_component(other), data::subgraph(other, {2, 3, 4}));
  other.neighbours = data::adjacency(6, {{1, 5}, {2, 4}});
  check_equal(data::largest_component(other), data::subgraph(other, {1, 5}));
}

// --- random splits ------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(random_split_has_the_sizes_asked_for) {
  data::GraphSettings settings;
  settings.nodes = 500;
  settings.edges = 600;
  const Graph graph = data::generated_graph(settings);
  const data::Split split = data::random_split(graph, 300, 20, 1);
  BOOST_TEST(split.train.size() == 140u);
  BOOST_TEST(split.val.size() == 160u);
  check_random_split(graph, split, 300, 20);
  check_random_split(graph, data::random_split(graph, 499, 1, 2), 499, 1);
  Graph with_split = graph;
  with_split.split = split;
  BOOST_CHECK_NO_THROW(data::validate(with_split, "graph"));

  BOOST_TEST(data::random_split(graph, 300, 20, 1).test == split.test, per_element);
  BOOST_TEST((data::random_split(graph, 300, 20, 2).test != split.test));
  BOOST_TEST((data::random_split(graph, 300, 20, 2).train != split.train));
}

// Computed by an independent Python implementation of SplitMix64, mt19937_64 and Fisher-Yates.
BOOST_AUTO_TEST_CASE(random_split_is_the_same_everywhere) {
  const data::Split split = data::random_split(data::karate_club(), 12, 3, 42);
  BOOST_TEST(split.train == (Indices{3, 14, 15, 17, 21, 29}), per_element);
  BOOST_TEST(split.val == (Indices{4, 5, 13, 19, 23, 26}), per_element);
  check_random_split(data::karate_club(), split, 12, 3);
}

// All nodes should be for test equally often, and all of a class for training.
BOOST_AUTO_TEST_CASE(random_splits_are_uniform) {
  const Graph graph = data::karate_club();
  constexpr double draws = 6800;
  std::vector<int> tested(34, 0);
  std::vector<int> trained(34, 0);
  for (int seed = 0; seed < draws; ++seed) {
    const data::Split split = data::random_split(graph, 24, 1, static_cast<std::uint64_t>(seed));
    for (const std::int64_t node : split.test) ++tested[count_of(node)];
    for (const std::int64_t node : split.train) ++trained[count_of(node)];
  }
  const auto squares = [](const std::vector<int>& counts, double expected) {
    double sum = 0;
    for (const int c : counts) sum += (c - expected) * (c - expected);
    return sum;
  };
  // Chi-square with 33 degrees of freedom; the 10 of 34 are drawn without replacement: the variance of a count is
  // draws p (1 - p), p = 10/34, and the sum of all is fixed.
  const double p = 10 / 34.0;
  BOOST_TEST(squares(tested, draws * p) / (draws * p * (1 - p) * 34 / 33) < 63.9);  // with probability 0.999
  // Chi-square with 2 * 16 degrees of freedom: one of 17 in each class.
  BOOST_TEST(squares(trained, draws / 17) / (draws / 17) < 62.5);
}

BOOST_AUTO_TEST_CASE(impossible_random_splits_are_refused) {
  const Graph graph = data::karate_club();
  BOOST_CHECK_EXCEPTION(data::random_split(graph, 34, 2, 1), UserError, mentions("34 development", "for test"));
  BOOST_CHECK_EXCEPTION(data::random_split(graph, 0, 2, 1), UserError, mentions("0 development"));
  BOOST_CHECK_EXCEPTION(data::random_split(graph, 20, 0, 1), UserError, mentions("at least one training node"));
  BOOST_CHECK_EXCEPTION(data::random_split(graph, 33, 17, 1), UserError,
                        mentions("17 training nodes", "only 16 among 33", "seed 1"));
  // A class that the graph has lost asks for nothing.
  Graph one_class = graph;
  one_class.labels.assign(34, 1);
  BOOST_TEST(data::random_split(one_class, 20, 5, 1).train.size() == 5u);
}

// --- Cora ---------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(cora_has_its_published_counts, *boost::unit_test::label("may_skip")) {
  const char* path = std::getenv("ESPALIER_CORA");
  if (path == nullptr || *path == '\0') {
    std::puts("[espalier skip] the environment variable ESPALIER_CORA does not name Cora's HDF5 file");
    return;
  }
  const Graph cora = data::read_graph(path);
  BOOST_TEST(cora.name == "cora");
  BOOST_TEST(cora.num_nodes == 2708);
  BOOST_TEST(cora.num_edges() == 5278);
  BOOST_TEST(cora.num_features == 1433);
  BOOST_TEST(cora.num_classes == 7);
  BOOST_TEST(cora.features.values.size() == 49216u);
  BOOST_REQUIRE(cora.split.has_value());
  BOOST_TEST(cora.split->name == "planetoid_split");
  BOOST_TEST(cora.split->train.size() == 140u);
  BOOST_TEST(cora.split->val.size() == 500u);
  BOOST_TEST(cora.split->test.size() == 1000u);

  const Graph largest = data::largest_component(cora);
  BOOST_CHECK_NO_THROW(data::validate(largest, "largest component of Cora"));
  BOOST_TEST(largest.num_nodes == 2485);
  BOOST_TEST(largest.num_edges() == 5069);
  check_random_split(largest, data::random_split(largest, 1500, 20, 1), 1500, 20);
}

BOOST_AUTO_TEST_SUITE_END()
