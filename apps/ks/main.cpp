// Semi-implicit neural ODE for the Kuramoto-Sivashinsky equation (Zhang, Liu & Maulik 2024, section 5.2).
#include <torch/torch.h>

#include <cmath>
#include <iomanip>
#include <sstream>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/linear_part_report.hpp"
#include "espalier/train/series_windows.hpp"
#include "espalier/train/trainer.hpp"
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
struct Experiment {
  ks::Settings settings;
  nn::MlpSettings network;
  ts::IntegratorSettings integrator;
  train::TrainerOptions training;
};

Experiment read_experiment(MPI_Comm comm) {
  Experiment e;
  e.settings = ks::Settings::from_options(comm);
  e.integrator.step = 0.2;
  e.integrator.read(comm);
  e.integrator.dump_directory = e.settings.output;
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

/// What a restart file must agree with.
std::string fingerprint(const Experiment& e, const nn::Network& network, const io::Series& series) {
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << network.fingerprint() << ";method=" << e.integrator.method
       << ";step=" << e.integrator.step << ";linear_train=" << e.settings.split.linear_train_name()
       << ";period=" << e.settings.length << ";data=" << series.name << " " << series.dof << " points, "
       << series.count() << " states, checksum " << io::checksum(series);
  return text.str();
}

void print_network(MPI_Comm comm, const Experiment& e, nn::Network& network, const train::SeriesWindows& windows) {
  ESPALIER_CALL(PetscPrintf(comm, "ks: %s, %lld parameters, method %s, %lld training and %lld held-out windows\n",
                            network.fingerprint().c_str(), static_cast<long long>(network.parameters().count()),
                            e.integrator.method.c_str(), static_cast<long long>(windows.training().size()),
                            static_cast<long long>(windows.held_out().size())));
}

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  core::RunReport& report = session.report();
  const Experiment e = read_experiment(comm);
  if (session.help_requested()) return;
  report.set_seed(static_cast<long>(e.training.seed));
  report.set_method(e.integrator.method);
  io::prepare_output(comm, e.settings.output);

  const io::Series series = ks::reference_series(e.settings, comm);
  const train::SeriesWindows windows(series, e.training);
  if (e.settings.grad_check) {
    const auto make_checked = [&](const nn::MlpSettings& network) {
      const ks::Model model = ks::make_model(e.settings, network);
      return train::CheckedModel{
          model.system(), model.advection, {{"network", model.advection}, {"linear part", model.diffusion}}};
    };
    train::check_gradient(comm, make_checked, e.network, e.integrator, series.interval(), windows.training(), report);
    return;
  }

  // u_t = G(u; theta) + A u.
  const ks::Model model = ks::make_model(e.settings, e.network);
  train::IntegratorObjective objective(comm, model.system(), model.advection, e.integrator, series.interval());
  nn::Network& network = model.advection->network();
  report.metric("parameters", static_cast<double>(network.parameters().count()));
  print_network(comm, e, network, windows);
  train::LinearPartReport linear_part(
      comm, model.diffusion, grid::periodic_stencil(e.settings.points, ks::difference_stencil(e.settings)), report);

  train::Trainer trainer(comm, objective, windows.training(), windows.held_out(), e.training, report, e.settings.output,
                         fingerprint(e, network, series));
  trainer.report_best(trainer.train());
  linear_part.finish();
  if (windows.held_out().size() > 0)
    ks::evaluate_rollout(comm, objective, e.settings, series, windows.unseen(), e.integrator.method, report);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
