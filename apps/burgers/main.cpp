// Semi-implicit neural ODE for the viscous Burgers equation (Zhang, Liu & Maulik 2024, section 5.3).
#include <iomanip>
#include <sstream>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/linear_part_report.hpp"
#include "espalier/train/series_windows.hpp"
#include "espalier/train/trainer.hpp"
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
struct Experiment {
  burgers::Settings settings;
  nn::MlpSettings network;
  ts::IntegratorSettings integrator;
  train::TrainerOptions training;
};

Experiment read_experiment(MPI_Comm comm) {
  Experiment e;
  e.settings = burgers::Settings::from_options(comm);
  e.integrator.step = 0.05;
  e.integrator.read(comm);
  e.integrator.dump_directory = e.settings.output;
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

/// What a restart file must agree with.
std::string fingerprint(const Experiment& e, const nn::Network& network, const io::Series& series) {
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << network.fingerprint() << ";method=" << e.integrator.method
       << ";step=" << e.integrator.step << ";linear_train=" << e.settings.split.linear_train_name()
       << ";viscosity=" << e.settings.viscosity << ";period=" << e.settings.length << ";data=" << series.name
       << " checksum " << io::checksum(series);
  return text.str();
}

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  core::RunReport& report = session.report();
  const Experiment e = read_experiment(comm);
  if (session.help_requested()) return;
  report.set_seed(static_cast<long>(e.training.seed));
  report.set_method(e.integrator.method);
  io::prepare_output(comm, e.settings.output);

  // Trajectories; the first ones train, the rest are never seen.
  const io::Series series = burgers::reference_series(e.settings, comm);
  const train::SeriesWindows windows(series, e.training);
  if (e.settings.grad_check) {
    const auto make = [&](const nn::MlpSettings& network) {
      return burgers::make_model(e.settings, network).checked();
    };
    train::check_gradient(comm, make, e.network, e.integrator, series.interval(), windows.training(), report);
    return;
  }

  // u_t = G(u; theta) + A u.
  const burgers::Model model = burgers::make_model(e.settings, e.network);
  train::IntegratorObjective objective(comm, model.system(), model.advection, e.integrator, series.interval());
  nn::Network& network = model.advection->network();
  report.metric("parameters", static_cast<double>(network.parameters().count()));
  ESPALIER_CALL(PetscPrintf(comm, "burgers: %s, %lld parameters, method %s, %lld training and %lld held-out windows\n",
                            network.fingerprint().c_str(), static_cast<long long>(network.parameters().count()),
                            e.integrator.method.c_str(), static_cast<long long>(windows.training().size()),
                            static_cast<long long>(windows.held_out().size())));
  train::LinearPartReport linear_part(
      comm, model.diffusion, grid::periodic_stencil(e.settings.points, burgers::difference_stencil(e.settings)),
      report);

  train::Trainer trainer(comm, objective, windows.training(), windows.held_out(), e.training, report, e.settings.output,
                         fingerprint(e, network, series));
  trainer.report_best(trainer.train());
  linear_part.finish();
  if (windows.held_out().size() > 0 && e.settings.predictions != 0)
    burgers::evaluate_prediction(comm, objective, e.settings, series, windows.unseen(), e.integrator.method, report);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
