// Semi-implicit neural ODE for the viscous Burgers equation (Zhang, Liu & Maulik 2024, section 5.3).
#include <iomanip>
#include <sstream>
#include <string>

#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/train/series_experiment.hpp"
#include "evaluation.hpp"
#include "model.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "burgers",
    "Learns the viscous Burgers equation with a semi-implicit neural ODE.\n\n"
    "    u_t = -u u_x + nu u_xx,   x in [0, L), periodic, L = 1, nu = 8e-4, all dimensionless\n\n"
    "A network stands for -u u_x and is integrated explicitly; nu u_xx is a 3-point difference operator, fixed or\n"
    "trained too (-linear_train), and is integrated implicitly. The loss is the mean squared error over windows of "
    "reference trajectories from random\n"
    "initial states; its gradient is the exact discrete adjoint of the steps taken.\n"
    "(H. Zhang, Y. Liu, R. Maulik, Semi-Implicit Neural Ordinary Differential Equations, 2024, section 5.3.)\n"};

/// Everything that the options decide.
struct Experiment : train::SeriesSettings {
  burgers::Settings settings;
};

Experiment read_experiment(MPI_Comm comm) {
  Experiment e;
  e.settings = burgers::Settings::from_options(comm);
  e.integrator.step = 0.05;
  e.integrator.read(comm);
  e.output = e.settings.output;
  e.integrator.dump_directory = e.output;
  train::TrainerOptions defaults;
  defaults.optimiser.name = "adamw";
  defaults.lr = 1e-3;
  defaults.batch_size = 200;
  e.training = train::TrainerOptions::from_options(comm, defaults);
  e.network = burgers::network_settings(e.settings, e.training.seed, comm);
  core::reject_unknown_options({"-burgers_", "-train_", "-network_", "-data_", "-prediction_", "-grad_", "-linear_",
                                "-output", "-method", "-report"});
  return e;
}

/// What a restart file must agree with, beside network and method.
std::string fingerprint(const Experiment& e, const io::Series& series) {
  std::ostringstream text;
  text << std::setprecision(17) << "linear_train=" << e.settings.split.linear_train_name()
       << ";viscosity=" << e.settings.viscosity << ";period=" << e.settings.length << ";data=" << series.name
       << " checksum " << io::checksum(series);
  return text.str();
}

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  const Experiment e = read_experiment(comm);
  if (session.help_requested()) return;

  // Trajectories; the first ones train, the rest are never seen.
  const auto make_series = [&] { return burgers::reference_series(e.settings, comm); };
  train::SeriesExperiment experiment(comm, program.name, e, make_series, session.report());

  // u_t = G(u; theta) + A u.
  const auto make_model = [&](const nn::MlpSettings& network) { return burgers::make_model(e.settings, network); };
  if (e.settings.grad_check) return experiment.check_gradient(make_model);

  experiment.train(make_model, grid::periodic_stencil(e.settings.points, burgers::difference_stencil(e.settings)),
                   fingerprint(e, experiment.series()));
  if (experiment.holds_out() && e.settings.predictions != 0)
    burgers::evaluate_prediction(comm, experiment.objective(), e.settings, experiment.series(), experiment.unseen(),
                                 e.integrator.method, session.report());
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
