#include "settings.hpp"

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/options.hpp"

namespace grand {

using namespace espalier;

namespace {

void read_graph_options(core::OptionReader& o, Settings& s) {
  s.data = o.text("-grand_data", "HDF5 file of a graph", s.data);
  s.source = static_cast<Source>(o.choice("-grand_graph",
                                          "where the graph comes from: Zachary's karate club, the random "
                                          "generator, or -grand_data (which alone is enough)",
                                          {"karate", "generated", "file"}, static_cast<std::size_t>(s.source)));
  ESPALIER_REQUIRE(s.source != Source::file || !s.data.empty(), "-grand_graph file needs -grand_data FILE");
  if (!s.data.empty()) s.source = Source::file;
  if (s.source == Source::karate) {  // 34 nodes
    s.development = 16;
    s.train_per_class = 4;
  }
  auto& g = s.generator;
  g.nodes = o.integer("-grand_nodes", "generated: nodes", static_cast<PetscInt>(g.nodes), 1);
  g.edges = o.integer("-grand_edges", "generated: undirected edges", static_cast<PetscInt>(g.edges), 0);
  g.features = o.integer("-grand_features", "generated: features", static_cast<PetscInt>(g.features), 1);
  g.feature_nonzeros = o.integer("-grand_feature_nonzeros", "generated: non-zero features of each node",
                                 static_cast<PetscInt>(g.feature_nonzeros), 0);
  g.classes = o.integer("-grand_classes", "generated: classes", static_cast<PetscInt>(g.classes), 1);
  g.homophily = o.real("-grand_homophily", "generated: part of the edges inside classes", g.homophily, 0, 1);
  g.feature_signal =
      o.real("-grand_feature_signal", "generated: part of the features that tell the class", g.feature_signal, 0, 1);
  g.seed = o.integer("-grand_graph_seed", "generated: seed", static_cast<PetscInt>(g.seed), 0);
  s.largest_component = o.flag("-grand_largest_component", "leave out what is not connected with the largest component",
                               s.largest_component);
  s.row_normalise =
      o.flag("-grand_row_normalise", "divide each node's features by their sum of absolute values", s.row_normalise);
  s.split = o.text("-grand_split", "random, or the name of a split in the file", s.split);
  s.development = o.integer("-grand_development", "random split: nodes for training and validation",
                            static_cast<PetscInt>(s.development), 1);
  s.train_per_class = o.integer("-grand_train_per_class", "random split: nodes of each class for training",
                                static_cast<PetscInt>(s.train_per_class), 1);
  s.split_seed = o.integer("-grand_split_seed", "seed of the random split; -1: -train_seed",
                           static_cast<PetscInt>(s.split_seed), -1);
}

void read_model_options(core::OptionReader& o, Settings& s) {
  auto& a = s.attention;
  s.time = o.positive("-grand_time", "T, time up to which features diffuse", s.time);
  a.hidden = o.integer("-grand_hidden", "features of a node after the encoder", 80, 1);
  a.attention_dim = o.integer("-grand_attention_dim", "width of queries and keys, over all heads", 128, 1);
  a.heads = o.integer("-grand_heads", "attention heads", 8, 1);
  a.similarity = static_cast<nn::Similarity>(
      o.choice("-grand_similarity", "logits from queries and keys", {"scaled_dot", "pearson"}, 0));
  a.normalisation = static_cast<nn::EdgeNormalisation>(
      o.choice("-grand_normalisation", "weights from logits", {"softmax", "squareplus"}, 1));
  const bool receiver =
      o.choice("-grand_normalise_over", "whose edges' weights have the sum one", {"receiver", "sender"}, 1) == 0;
  a.normalise_over = receiver ? nn::EdgeEnd::receiver : nn::EdgeEnd::sender;
  a.self_loop_weight = o.real("-grand_self_loop_weight", "not 0: every node attends to itself as well", 1, 0);
  s.source_term = o.flag("-grand_source", "the source beta x0", s.source_term);
  s.dropout = o.real("-grand_dropout", "of the diffused features", s.dropout, 0, 0.999);
  s.input_dropout = o.real("-grand_input_dropout", "of the nodes' features", s.input_dropout, 0, 0.999);
  s.batch_norm = o.flag("-grand_batch_norm", "normalise the encoded features over the nodes", s.batch_norm);
}

}  // namespace

Settings Settings::from_options(MPI_Comm comm, std::uint64_t seed) {
  Settings s;
  core::read_options(comm, "Graph", [&](core::OptionReader& o) { read_graph_options(o, s); });
  core::read_options(comm, "Graph neural diffusion", [&](core::OptionReader& o) {
    read_model_options(o, s);
    s.direct = o.choice("-linear_solver", "solves with the implicit part: divisions, or the KSP on a shell matrix",
                        {"direct", "krylov"}, 0) == 0;
    s.network_keep_mb =
        o.real("-network_keep_mb", "memory for evaluations kept from forward run to adjoint, MB", s.network_keep_mb, 0);
    s.output = o.text("-output", "folder for restart files; empty: nothing is written", "");
    s.grad_check = o.flag("-grad_check", "check the gradient of each group of parameters instead of training", false);
  });
  s.attention.seed = seed;
  if (s.split_seed < 0) s.split_seed = static_cast<long>(seed);
  return s;
}

data::Graph load_graph(const Settings& s) {
  const core::StageScope stage("Data");
  const core::EventScope event(core::Event::data);
  const bool random = s.split == "random";
  data::Graph graph = s.source == Source::file     ? data::read_graph(s.data, random ? "" : s.split)
                      : s.source == Source::karate ? data::karate_club()
                                                   : data::generated_graph(s.generator);
  ESPALIER_REQUIRE(random || s.source == Source::file,
                   "-grand_split " + s.split + ": only files have splits with names; leave it out for a random one");
  if (s.largest_component) graph = data::largest_component(graph);
  if (random)
    graph.split = data::random_split(graph, s.development, s.train_per_class, static_cast<std::uint64_t>(s.split_seed));
  ESPALIER_REQUIRE(!graph.split->train.empty() && !graph.split->val.empty() && !graph.split->test.empty(),
                   "training, validation and test need a node each in the largest component: choose another "
                   "-grand_split or -grand_development");
  return graph;
}

}  // namespace grand
