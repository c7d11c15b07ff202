#include "model.hpp"

#include <cmath>
#include <memory>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/data/kuramoto_sivashinsky.hpp"

namespace ks {

using namespace espalier;

Settings Settings::from_options(MPI_Comm comm) {
  Settings s;
  core::read_options(comm, "Kuramoto-Sivashinsky experiment", [&](core::OptionReader& o) {
    s.points = o.integer("-ks_points", "grid points N", static_cast<PetscInt>(s.points), 8, 65536);
    s.length = o.positive("-ks_length", "period L", s.length);
    s.states = o.integer("-ks_states", "states of the reference series", static_cast<PetscInt>(s.states), 10);
    s.interval = o.positive("-ks_interval", "time between two states", s.interval);
    s.transient = o.real("-ks_transient", "time discarded before the first state", s.transient, 0);
    s.data_seed = o.integer("-data_seed", "0: the paper's initial state; else perturbed", 0, 0);
    s.data_file =
        o.text("-data_file", "your own series (schema: espalier/io/series.hpp); empty: generated reference data", "");
    s.data_dir = o.text("-data_dir", "folder where generated reference data is cached", s.data_dir);
    s.output = o.text("-output", "folder for restart files, rollout.h5 and figures; empty: nothing is written", "");
    s.split.read(o);
    s.rollout_time = o.real("-rollout_time", "length of the rollouts from unseen states; 0: none", s.rollout_time, 0);
    s.rollout_samples = o.integer("-rollout_samples", "starts of the rollouts, spread over the unseen states",
                                  static_cast<PetscInt>(s.rollout_samples), 1);
    s.grad_check = o.flag("-grad_check", "check the gradient on a few windows instead of training", false);
  });
  return s;
}

namespace {

io::Series own_series(const Settings& s, MPI_Comm comm) {
  io::Series series;
  core::agree(comm, [&] {
    series = io::read_series(s.data_file);
    ESPALIER_REQUIRE(series.trajectories == 1, "-data_file " + s.data_file + ": it holds " +
                                                   std::to_string(series.trajectories) +
                                                   " trajectories; give it one long one");
    ESPALIER_REQUIRE(series.dof == static_cast<std::size_t>(s.points),
                     "-data_file " + s.data_file + ": its states have " + std::to_string(series.dof) +
                         " points but -ks_points is " + std::to_string(s.points) + "; make them agree");
    ESPALIER_REQUIRE(std::abs(series.interval() - s.interval) <= 1e-9 * s.interval,
                     "-data_file " + s.data_file + ": its states are " + std::to_string(series.interval()) +
                         " apart but -ks_interval is " + std::to_string(s.interval) + "; make them agree");
    ESPALIER_REQUIRE(!series.irregular, "-data_file " + s.data_file +
                                            ": its times are not equally spaced, but windows of equal intervals are "
                                            "trained on; resample it");
    const double period = static_cast<double>(series.dof) * (series.coordinates.back() - series.coordinates.front()) /
                          static_cast<double>(series.dof - 1);
    ESPALIER_REQUIRE(std::abs(period - s.length) <= 1e-9 * s.length,
                     "-data_file " + s.data_file + ": its points span a period of " + std::to_string(period) +
                         " but -ks_length is " + std::to_string(s.length) + "; make them agree");
  });
  return series;
}

}  // namespace

io::Series reference_series(const Settings& s, MPI_Comm comm) {
  const core::StageScope stage("Data");
  const core::EventScope event(core::Event::data);
  data::KuramotoSivashinskySettings generator;
  generator.points = static_cast<std::size_t>(s.points);
  generator.length = s.length;
  generator.count = static_cast<std::size_t>(s.states);
  generator.interval = s.interval;
  generator.transient = s.transient;
  generator.seed = s.data_seed;
  if (!s.data_file.empty()) return own_series(s, comm);
  const std::string name =
      "ks_" + std::to_string(s.points) + "_" + std::to_string(s.states) + "_seed" + std::to_string(s.data_seed) + ".h5";
  return data::cached_series(s.data_dir + "/" + name, generator, comm);
}

// A = -d_xx - d_xxxx, centred on 5 points, h = L/N, periodic (Zhang, Liu & Maulik 2024, section 5.2):
//   [-1/h^4, 4/h^4 - 1/h^2, -6/h^4 + 2/h^2, 4/h^4 - 1/h^2, -1/h^4].
std::vector<double> difference_stencil(const Settings& s) {
  const double h = s.length / static_cast<double>(s.points);
  const double h2 = h * h;
  const double h4 = h2 * h2;
  return {-1 / h4, 4 / h4 - 1 / h2, -6 / h4 + 2 / h2, 4 / h4 - 1 / h2, -1 / h4};
}

nn::MlpSettings network_settings(const Settings& s, std::uint64_t seed, MPI_Comm comm) {
  nn::MlpSettings network;
  network.widths = {s.points, 200, 200, 200, 200, s.points};
  network.seed = seed;
  network.read(comm);
  return network;
}

train::SeriesModel make_model(const Settings& s, const nn::MlpSettings& network) {
  return {std::make_shared<model::NeuralTerm>(std::make_shared<nn::Mlp>(network), s.split.keep_bytes()),
          s.split.make_linear(s.points, difference_stencil(s), network.seed)};
}

}  // namespace ks
