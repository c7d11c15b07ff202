// Semi-implicit neural ODE for the Kuramoto-Sivashinsky equation (Zhang, Liu & Maulik 2024, section 5.2).
#include <cmath>
#include <iomanip>
#include <sstream>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/train/series_experiment.hpp"
#include "evaluation.hpp"
#include "model.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "ks",
    "Learns the Kuramoto-Sivashinsky equation with a semi-implicit neural ODE.\n\n"
    "    u_t = -u u_x - u_xx - u_xxxx,   x in [0, L), periodic, L = 22, all dimensionless\n\n"
    "A network stands for -u u_x and is integrated explicitly; -u_xx - u_xxxx is a 5-point difference operator, fixed\n"
    "or trained too (-linear_train), and is integrated implicitly. The loss is the mean squared error over windows of "
    "a reference trajectory; its\n"
    "gradient is the exact discrete adjoint of the steps taken.\n"
    "(H. Zhang, Y. Liu, R. Maulik, Semi-Implicit Neural Ordinary Differential Equations, 2024, section 5.2.)\n"};

/// Everything that the options decide.
struct Experiment : train::SeriesSettings {
  ks::Settings settings;
};

Experiment read_experiment(MPI_Comm comm) {
  Experiment e;
  e.settings = ks::Settings::from_options(comm);
  e.integrator.step = 0.2;
  e.integrator.read(comm);
  e.output = e.settings.output;
  e.integrator.dump_directory = e.output;
  train::TrainerOptions defaults;
  defaults.lr = 5e-3;
  e.training = train::TrainerOptions::from_options(comm, defaults);
  e.network = ks::network_settings(e.settings, e.training.seed, comm);
  double window = 0;
  core::read_options(comm, "Training window", [&](core::OptionReader& o) {
    window = o.real("-ks_window", "length of a window in time units; 0: -train_window intervals", 0, 0);
  });
  if (window > 0) {
    const double intervals = window / e.settings.interval;
    ESPALIER_REQUIRE(std::abs(intervals - std::round(intervals)) < 1e-9 && intervals > 0.5,
                     "-ks_window " + std::to_string(window) +
                         ": must be a multiple of the data interval -ks_interval " +
                         std::to_string(e.settings.interval));
    e.training.window = static_cast<int>(std::lround(intervals));
  }
  core::reject_unknown_options(
      {"-ks_", "-train_", "-network_", "-data_", "-rollout_", "-grad_", "-linear_", "-output", "-method", "-report"});
  return e;
}

/// What a restart file must agree with, beside network and method.
std::string fingerprint(const Experiment& e, const io::Series& series) {
  std::ostringstream text;
  text << std::setprecision(17) << "linear_train=" << e.settings.split.linear_train_name()
       << ";period=" << e.settings.length << ";data=" << series.name << " " << series.dof << " points, "
       << series.count() << " states, checksum " << io::checksum(series);
  return text.str();
}

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  const Experiment e = read_experiment(comm);
  if (session.help_requested()) return;

  // One long trajectory.
  const auto make_series = [&] { return ks::reference_series(e.settings, comm); };
  train::SeriesExperiment experiment(comm, program.name, e, make_series, session.report());

  // u_t = G(u; theta) + A u.
  const auto make_model = [&](const nn::MlpSettings& network) { return ks::make_model(e.settings, network); };
  if (e.settings.grad_check) return experiment.check_gradient(make_model);

  experiment.train(make_model, grid::periodic_stencil(e.settings.points, ks::difference_stencil(e.settings)),
                   fingerprint(e, experiment.series()));
  if (experiment.holds_out())
    ks::evaluate_rollout(comm, experiment.objective(), e.settings, experiment.series(), experiment.unseen(),
                         e.integrator.method, session.report());
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
