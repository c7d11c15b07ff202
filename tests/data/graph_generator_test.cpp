#include "espalier/data/graph_generator.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <map>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "espalier/io/series.hpp"
#include "io/temporary_folder.hpp"

namespace utf = boost::unit_test;
using namespace espalier;
using data::Graph;
using data::GraphSettings;
using testing::mentions;

namespace {

using Indices = std::vector<std::int64_t>;

constexpr auto per_element = boost::test_tools::per_element();

std::size_t position(std::int64_t i) { return static_cast<std::size_t>(i); }

GraphSettings small() {
  GraphSettings settings;
  settings.nodes = 400;
  settings.edges = 900;
  settings.features = 101;
  settings.feature_nonzeros = 10;
  settings.classes = 6;
  return settings;
}

// Calls visit(i, j) for both directions of each edge.
template <class Visit>
void for_each_edge(const Graph& graph, const Visit& visit) {
  for (std::int64_t i = 0; i < graph.num_nodes; ++i)
    for (std::int64_t k = graph.neighbours.indptr[position(i)]; k < graph.neighbours.indptr[position(i) + 1]; ++k)
      visit(i, graph.neighbours.indices[position(k)]);
}

// Edges that join nodes of one class.
std::int64_t edges_inside(const Graph& graph) {
  std::int64_t count = 0;
  for_each_edge(graph, [&](std::int64_t i, std::int64_t j) {
    count += graph.labels[position(i)] == graph.labels[position(j)] ? 1 : 0;
  });
  return count / 2;
}

// Part of the non-zeros that are features of the node's class, [c F / C, (c + 1) F / C) for F a multiple of C.
double own_part(const Graph& graph) {
  std::int64_t own = 0;
  for (std::int64_t i = 0; i < graph.num_nodes; ++i)
    for (std::int64_t k = graph.features.indptr[position(i)]; k < graph.features.indptr[position(i) + 1]; ++k)
      own += graph.features.indices[position(k)] * graph.num_classes / graph.num_features == graph.labels[position(i)];
  return static_cast<double>(own) / static_cast<double>(graph.features.indices.size());
}

template <class Change, class... Words>
void check_refused(const Change& change, Words... words) {
  GraphSettings settings = small();
  change(settings);
  BOOST_CHECK_EXCEPTION(data::generated_graph(settings), UserError, mentions("generated graph: ", words...));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_graph_generator, *utf::label("unit") * utf::label("sinode"))

// --- generated graphs ---------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(counts_are_exact) {
  const Graph graph = data::generated_graph(small());
  BOOST_CHECK_NO_THROW(data::validate(graph, "generated"));
  BOOST_TEST(graph.num_nodes == 400);
  BOOST_TEST(graph.num_edges() == 900);
  BOOST_TEST(graph.neighbours.indices.size() == 1800u);
  BOOST_TEST(graph.num_features == 101);
  BOOST_TEST(graph.num_classes == 6);
  for (std::int64_t i = 0; i < graph.num_nodes; ++i)
    BOOST_TEST(graph.features.indptr[position(i) + 1] - graph.features.indptr[position(i)] == 10);
  std::map<std::int64_t, int> sizes;
  for (const std::int64_t label : graph.labels) ++sizes[label];
  BOOST_TEST(sizes.size() == 6u);
  for (const auto& [label, size] : sizes) BOOST_TEST(size == (label < 4 ? 67 : 66));
  BOOST_TEST(!graph.split.has_value());
  BOOST_TEST(io::settings_difference(graph.settings, data::attributes(small())) == "");
}

// 18,333 nodes with 81,894 edges and 6,805 features, and 7,650 with 119,081: no test of time, but of what must fit.
BOOST_AUTO_TEST_CASE(graphs_of_the_size_of_coauthor_cs_and_photo_are_generated) {
  GraphSettings settings;
  settings.nodes = 18333;
  settings.edges = 81894;
  settings.features = 6805;
  settings.feature_nonzeros = 60;
  settings.classes = 15;
  const Graph coauthor = data::generated_graph(settings);
  BOOST_TEST(coauthor.num_edges() == 81894);
  BOOST_TEST(coauthor.features.indices.size() == 18333u * 60u);
  BOOST_CHECK_NO_THROW(data::validate(coauthor, "coauthor"));
  settings.nodes = 7650;
  settings.edges = 119081;
  settings.features = 745;
  settings.classes = 8;
  BOOST_TEST(data::generated_graph(settings).num_edges() == 119081);
}

BOOST_AUTO_TEST_CASE(homophily_is_met_to_the_nearest_edge) {
  for (const double homophily : {0.0, 0.25, 0.81, 1.0}) {
    GraphSettings settings = small();
    settings.homophily = homophily;
    const Graph graph = data::generated_graph(settings);
    BOOST_TEST(graph.num_edges() == 900);
    BOOST_TEST(edges_inside(graph) == std::llround(900 * homophily));
  }
}

BOOST_AUTO_TEST_CASE(features_tell_the_class_as_far_as_they_should) {
  GraphSettings settings = small();
  settings.features = 120;
  // Of 4000 non-zeros, each the class's own with probability p, the part is p to four standard deviations, 4 * 0.5
  // / 63.
  for (const double signal : {0.0, 0.3, 0.7}) {
    settings.feature_signal = signal;
    const double expected = signal + (1 - signal) / 6;
    BOOST_TEST(std::abs(own_part(data::generated_graph(settings)) - expected) < 0.032);
  }
  settings.feature_signal = 1;
  BOOST_TEST(own_part(data::generated_graph(settings)) == 1.0);
  // More non-zeros than a class has features: all of its own, and others.
  settings.feature_nonzeros = 80;
  BOOST_TEST(own_part(data::generated_graph(settings)) == 20.0 / 80);
  // Few others are left: nodes have the same feature never twice, whatever the signal.
  settings.feature_signal = 0;
  settings.feature_nonzeros = 120;
  BOOST_TEST(own_part(data::generated_graph(settings)) == 20.0 / 120);
}

BOOST_AUTO_TEST_CASE(same_seed_gives_the_same_graph) {
  const Graph graph = data::generated_graph(small());
  const Graph same = data::generated_graph(small());
  BOOST_TEST(graph.neighbours.indices == same.neighbours.indices, per_element);
  BOOST_TEST(graph.neighbours.indptr == same.neighbours.indptr, per_element);
  BOOST_TEST(graph.features.indices == same.features.indices, per_element);
  BOOST_TEST(graph.labels == same.labels, per_element);
  GraphSettings settings = small();
  settings.seed = 2;
  const Graph other = data::generated_graph(settings);
  BOOST_TEST((graph.neighbours.indices != other.neighbours.indices));
  BOOST_TEST((graph.features.indices != other.features.indices));
  BOOST_TEST((graph.labels != other.labels));
}

BOOST_AUTO_TEST_CASE(parts_of_the_graph_have_random_numbers_of_their_own) {
  const Graph graph = data::generated_graph(small());
  GraphSettings settings = small();
  settings.features = 200;
  settings.feature_signal = 0.9;
  const Graph features = data::generated_graph(settings);
  BOOST_TEST(features.neighbours.indices == graph.neighbours.indices, per_element);
  BOOST_TEST(features.labels == graph.labels, per_element);
  settings = small();
  settings.edges = 100;
  const Graph edges = data::generated_graph(settings);
  BOOST_TEST(edges.features.indices == graph.features.indices, per_element);
  BOOST_TEST(edges.labels == graph.labels, per_element);
}

// Computed by an independent Python implementation.
BOOST_AUTO_TEST_CASE(generated_graph_is_the_same_everywhere) {
  GraphSettings settings;
  settings.nodes = 8;
  settings.edges = 6;
  settings.features = 7;
  settings.feature_nonzeros = 2;
  settings.classes = 3;
  settings.homophily = 0.5;
  settings.feature_signal = 0.5;
  settings.seed = 42;
  const Graph graph = data::generated_graph(settings);
  BOOST_TEST(graph.labels == (Indices{2, 0, 1, 2, 1, 0, 0, 1}), per_element);
  BOOST_TEST(graph.neighbours.indptr == (Indices{0, 1, 1, 3, 4, 8, 9, 10, 12}), per_element);
  BOOST_TEST(graph.neighbours.indices == (Indices{4, 4, 7, 5, 0, 2, 6, 7, 3, 4, 2, 4}), per_element);
  BOOST_TEST(graph.features.indices == (Indices{1, 4, 2, 4, 3, 5, 5, 6, 1, 3, 0, 1, 0, 3, 2, 4}), per_element);
}

// Each of the 15 graphs of 4 nodes and 2 edges comes up as often: chi-square with 14 degrees of freedom.
BOOST_AUTO_TEST_CASE(edges_are_uniform) {
  GraphSettings settings;
  settings.nodes = 4;
  settings.edges = 2;
  settings.features = settings.classes = settings.feature_nonzeros = 1;
  settings.homophily = 1;
  std::map<std::pair<Indices, Indices>, int> counts;
  for (settings.seed = 0; settings.seed < 15000; ++settings.seed) {
    const Graph graph = data::generated_graph(settings);
    ++counts[{graph.neighbours.indptr, graph.neighbours.indices}];
  }
  BOOST_TEST(counts.size() == 15u);
  double chi_square = 0;
  for (const auto& [graph, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  BOOST_TEST(chi_square < 36.1);  // exceeded with probability 0.001
}

BOOST_AUTO_TEST_CASE(extreme_settings_are_met) {
  GraphSettings settings;
  settings.nodes = 1;
  settings.edges = 0;
  settings.features = settings.classes = 1;
  settings.feature_nonzeros = 0;
  Graph graph = data::generated_graph(settings);
  BOOST_CHECK_NO_THROW(data::validate(graph, "one node"));
  BOOST_TEST(graph.neighbours.indptr == (Indices{0, 0}), per_element);

  // All pairs.
  settings = small();
  settings.nodes = 12;
  settings.edges = 66;
  settings.homophily = 6 / 66.0;  // 6 classes of 2
  graph = data::generated_graph(settings);
  BOOST_TEST(graph.num_edges() == 66);
  BOOST_TEST(edges_inside(graph) == 6);

  // Nodes without edges.
  settings = small();
  settings.edges = 3;
  graph = data::generated_graph(settings);
  BOOST_CHECK_NO_THROW(data::validate(graph, "few edges"));
  BOOST_TEST(data::largest_component(graph).num_nodes <= 4);
  BOOST_TEST(data::random_split(graph, 200, 5, 1).train.size() == 30u);
}

BOOST_AUTO_TEST_CASE(impossible_settings_are_refused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  check_refused([](GraphSettings& s) { s.nodes = 0; }, "nodes, not 0");
  check_refused([](GraphSettings& s) { s.edges = -1; }, "edges", "not -1");
  check_refused([](GraphSettings& s) { s.classes = 401; }, "1 to 400 classes", "not 401");
  check_refused([](GraphSettings& s) { s.classes = 0; }, "classes", "not 0");
  check_refused([](GraphSettings& s) { s.features = 5; }, "one feature per class, 6", "not 5");
  check_refused([](GraphSettings& s) { s.feature_nonzeros = 102; }, "0 to 101 non-zero", "not 102");
  check_refused([](GraphSettings& s) { s.feature_nonzeros = -1; }, "non-zero", "not -1");
  check_refused([](GraphSettings& s) { s.homophily = 1.1; }, "homophily", "[0, 1]");
  check_refused([=](GraphSettings& s) { s.homophily = nan; }, "homophily", "[0, 1]");
  check_refused([](GraphSettings& s) { s.feature_signal = -0.1; }, "feature signal", "[0, 1]");
  // 4 classes of 67 and 2 of 66: 4 * 2211 + 2 * 2145 = 13134 pairs inside, 79800 in all.
  check_refused([](GraphSettings& s) { s.edges = 16216; }, "13135 edges inside", "13134 pairs");
  check_refused(
      [](GraphSettings& s) {
        s.edges = std::int64_t(1) << 60;
        s.homophily = 0;
      },
      "edges across", "66666 pairs");
}

// --- the karate club ----------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(karate_club_is_zacharys) {
  const Graph club = data::karate_club();
  BOOST_CHECK_NO_THROW(data::validate(club, "karate club"));
  BOOST_TEST(club.num_nodes == 34);
  BOOST_TEST(club.num_edges() == 78);
  BOOST_TEST(club.num_classes == 2);
  const Indices degrees = {16, 9, 10, 6, 3, 4, 4, 4, 5, 2, 3, 1, 2, 5, 2, 2,  2,
                           2,  2, 3,  2, 2, 2, 5, 3, 3, 2, 4, 3, 4, 4, 6, 12, 17};
  for (std::int64_t i = 0; i < 34; ++i) BOOST_TEST(club.degree(i) == degrees[position(i)]);
  BOOST_TEST(data::largest_component(club).num_nodes == 34);
  BOOST_TEST(std::count(club.labels.begin(), club.labels.end(), 0) == 17);
  BOOST_TEST(club.labels.front() == 0);
  BOOST_TEST(club.labels.back() == 1);
  BOOST_TEST(edges_inside(club) == 67);  // 11 friendships were cut
}

BOOST_AUTO_TEST_CASE(karate_club_is_symmetric_and_has_45_triangles) {
  const Graph club = data::karate_club();
  std::vector<Indices> matrix(34, Indices(34, 0));
  for_each_edge(club, [&](std::int64_t i, std::int64_t j) { matrix[position(i)][position(j)] += 1; });
  std::int64_t triangles = 0;
  for (std::size_t i = 0; i < 34; ++i) {
    BOOST_TEST(matrix[i][i] == 0);
    for (std::size_t j = 0; j < i; ++j) {
      BOOST_TEST(matrix[i][j] == matrix[j][i]);
      for (std::size_t k = 0; k < j; ++k) triangles += matrix[i][j] * matrix[j][k] * matrix[k][i];
    }
  }
  BOOST_TEST(triangles == 45);
}

BOOST_AUTO_TEST_CASE(karate_club_has_the_identity_as_features) {
  const Graph club = data::karate_club();
  BOOST_TEST(club.num_features == 34);
  for (std::int64_t i = 0; i < 34; ++i) {
    BOOST_TEST(club.features.indptr[position(i)] == i);
    BOOST_TEST(club.features.indices[position(i)] == i);
    BOOST_TEST(club.features.values[position(i)] == 1.0);
  }
}

BOOST_AUTO_TEST_SUITE_END()
