// The semi-implicit neural ODE of the Kuramoto-Sivashinsky experiment.
#pragma once

#include <mpi.h>

#include <string>
#include <vector>

#include "espalier/io/series.hpp"
#include "espalier/model/split_settings.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/train/series_experiment.hpp"

namespace ks {

/// What the options -ks_*, -data_*, -linear_*, -network_keep_mb and -rollout_* say.
struct Settings {
  long points = 64;         ///< N
  double length = 22;       ///< L
  long states = 5001;       ///< of the reference series
  double interval = 0.2;    ///< between them
  double transient = 1000;  ///< discarded before them
  long data_seed = 0;
  std::string data_file;  ///< the user's own series; empty: a cache in data_dir
  std::string data_dir = "espalier_data";
  std::string output;  ///< folder for restart files, rollout and figures; empty: none
  espalier::model::SplitSettings split;
  double rollout_time = 200;
  long rollout_samples = 20;
  bool grad_check = false;

  static Settings from_options(MPI_Comm comm);
};

/// The reference series: the user's own file, or a cached one that is generated on first use. Collective.
espalier::io::Series reference_series(const Settings& settings, MPI_Comm comm);

/// -d_xx - d_xxxx by centred differences on 5 points.
std::vector<double> difference_stencil(const Settings& settings);

/// u_t = G(u; theta) + A u: the network G stands for -u u_x, A for -u_xx - u_xxxx by centred differences, trained if
/// -linear_train says so. Every rank makes the same model. Not collective.
espalier::train::SeriesModel make_model(const Settings& settings, const espalier::nn::MlpSettings& network);

/// The network's settings: the paper's widths, changed by -network_*; `seed` unless -network_seed says otherwise.
/// Collective.
espalier::nn::MlpSettings network_settings(const Settings& settings, std::uint64_t seed, MPI_Comm comm);

}  // namespace ks
