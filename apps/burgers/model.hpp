// The semi-implicit neural ODE of the viscous Burgers experiment, and what its options say.
#pragma once

#include <mpi.h>

#include <string>
#include <vector>

#include "espalier/io/series.hpp"
#include "espalier/model/split_settings.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/train/series_experiment.hpp"

namespace burgers {

/// What the options -burgers_*, -data_*, -linear_* and -network_keep_mb say.
struct Settings {
  long points = 512;        ///< N
  double length = 1;        ///< L
  double viscosity = 8e-4;  ///< nu
  long trajectories = 100;  ///< random initial states
  long states = 51;         ///< of each
  double interval = 0.1;    ///< between them
  long data_seed = 1;
  std::string data_dir = "espalier_data";
  long predictions = -1;  ///< unseen trajectories that are predicted; -1: all of them
  std::string output;     ///< folder for restart files, predictions and figures; empty: none
  espalier::model::SplitSettings split;
  bool grad_check = false;

  /// Reads the options. Throws UserError. Collective.
  static Settings from_options(MPI_Comm comm);
};

/// The reference trajectories, generated on first use and cached. Collective.
espalier::io::Series reference_series(const Settings& settings, MPI_Comm comm);

/// nu d_xx by centred differences on 3 points.
std::vector<double> difference_stencil(const Settings& settings);

/// u_t = G(u; theta) + A u: the network G stands for -u u_x, A for nu u_xx by centred differences, trained if
/// -linear_train says so. Every rank makes the same model. Not collective.
espalier::train::SeriesModel make_model(const Settings& settings, const espalier::nn::MlpSettings& network);

/// The network's settings: the paper's widths (9 N / 8 per hidden layer), changed by -network_*; `seed` unless
/// -network_seed says otherwise. Collective.
espalier::nn::MlpSettings network_settings(const Settings& settings, std::uint64_t seed, MPI_Comm comm);

}  // namespace burgers
