#include "model.hpp"

#include <memory>

#include "espalier/core/log.hpp"
#include "espalier/core/options.hpp"
#include "espalier/data/burgers.hpp"

namespace burgers {

using namespace espalier;

Settings Settings::from_options(MPI_Comm comm) {
  Settings s;
  s.split.network_keep_mb = 2048;
  core::read_options(comm, "Viscous Burgers experiment", [&](core::OptionReader& o) {
    s.points = o.integer("-burgers_points", "grid points N", static_cast<PetscInt>(s.points), 8, 65536);
    s.length = o.positive("-burgers_length", "period L", s.length);
    s.viscosity = o.positive("-burgers_viscosity", "nu", s.viscosity);
    s.trajectories =
        o.integer("-burgers_trajectories", "random initial states", static_cast<PetscInt>(s.trajectories), 2);
    s.states = o.integer("-burgers_states", "states of each trajectory", static_cast<PetscInt>(s.states), 2);
    s.interval = o.positive("-burgers_interval", "time between two states", s.interval);
    s.data_seed = o.integer("-data_seed", "seed of the initial states", static_cast<PetscInt>(s.data_seed), 0);
    s.data_dir = o.text("-data_dir", "folder where generated reference data is cached", s.data_dir);
    s.predictions = o.integer("-prediction_samples", "unseen trajectories that are predicted; -1: all of them",
                              static_cast<PetscInt>(s.predictions), -1);
    s.output = o.text("-output", "folder for restart files, prediction.h5 and figures; empty: nothing is written", "");
    s.split.read(o);
    s.grad_check = o.flag("-grad_check", "check the gradient on a few windows instead of training", false);
  });
  return s;
}

io::Series reference_series(const Settings& s, MPI_Comm comm) {
  const core::StageScope stage("Data");
  const core::EventScope event(core::Event::data);
  data::BurgersSettings generator;
  generator.points = static_cast<std::size_t>(s.points);
  generator.length = s.length;
  generator.viscosity = s.viscosity;
  generator.trajectories = static_cast<std::size_t>(s.trajectories);
  generator.count = static_cast<std::size_t>(s.states);
  generator.interval = s.interval;
  generator.seed = s.data_seed;
  const std::string name = "burgers_" + std::to_string(s.points) + "_" + std::to_string(s.trajectories) + "x" +
                           std::to_string(s.states) + "_seed" + std::to_string(s.data_seed) + ".h5";
  return data::cached_series(s.data_dir + "/" + name, generator, comm);
}

nn::MlpSettings network_settings(const Settings& s, std::uint64_t seed, MPI_Comm comm) {
  const std::int64_t hidden = 9 * s.points / 8;
  nn::MlpSettings network;
  network.widths = {s.points, hidden, hidden, hidden, hidden, s.points};
  network.seed = seed;
  network.read(comm);
  return network;
}

// A = nu d_xx, centred on 3 points, h = L/N, periodic: nu [1, -2, 1] / h^2.
std::vector<double> difference_stencil(const Settings& s) {
  const double h = s.length / static_cast<double>(s.points);
  const double a = s.viscosity / (h * h);
  return {a, -2 * a, a};
}

train::SeriesModel make_model(const Settings& s, const nn::MlpSettings& network) {
  return {std::make_shared<model::NeuralTerm>(std::make_shared<nn::Mlp>(network), s.split.keep_bytes()),
          s.split.make_linear(s.points, difference_stencil(s), network.seed)};
}

}  // namespace burgers
