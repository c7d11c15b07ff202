// What the options of the graph experiment say.
#pragma once

#include <mpi.h>

#include <string>

#include "espalier/data/graph.hpp"
#include "espalier/data/graph_generator.hpp"
#include "espalier/nn/graph_attention.hpp"

namespace grand {

/// Where the graph comes from.
enum class Source { karate, generated, file };

/// The options -grand_*, -linear_solver, -network_keep_mb, -output and -grad_check. Defaults: Cora in the authors'
/// settings.
struct Settings {
  Source source = Source::karate;
  std::string data;                         ///< HDF5 file, for Source::file
  espalier::data::GraphSettings generator;  ///< for Source::generated
  bool largest_component = true;
  bool row_normalise = false;    ///< features of each node divided by their sum of absolute values
  std::string split = "random";  ///< or the name of a split in the file
  long development = 1500;       ///< random split: nodes for training and validation
  long train_per_class = 20;     ///< random split
  long split_seed = -1;          ///< -1: -train_seed
  double time = 18.294754;       ///< T
  espalier::nn::GraphAttentionSettings attention;
  bool source_term = true;     ///< beta x0
  double dropout = 0.0469;     ///< before the decoder
  double input_dropout = 0.5;  ///< of the features
  bool batch_norm = false;     ///< of the encoded features
  bool smooth = false;         ///< tanh instead of ReLU in the decoder, for -grad_check; no option
  bool direct = true;          ///< solves with shift I - (-alpha I) as divisions
  double network_keep_mb = 4096;
  std::string output;
  bool grad_check = false;

  /// `seed`: of the initial parameters, and of the split unless -grand_split_seed is given. Collective.
  static Settings from_options(MPI_Comm comm, std::uint64_t seed);
};

/// The graph that the settings name, with a split. Throws UserError.
espalier::data::Graph load_graph(const Settings& settings);

}  // namespace grand
