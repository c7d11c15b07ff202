// Hidden laws of chemical vapour infiltration (Akhare, Luo & Wang 2025, section 3.3 and appendix E).
#include <iomanip>
#include <sstream>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/field_inference.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/trainer.hpp"
#include "evaluation.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "cvi",
    "Learns the laws of chemical vapour infiltration from the porosity of preforms at a few times.\n\n"
    "    div(D(eps) grad c) = k(T) S(eps) c        molarity of the gas, c = 1 around the preform [-1, 1] x [0, 1]\n"
    "    d eps/dt = -beta k(T) S(eps) c            porosity, each preform at its own temperature T\n\n"
    "all dimensionless. D, S and k, the effective diffusivity, the surface for each volume and the reaction's rate, "
    "are\n"
    "hidden; networks of one number stand for them. Each step of -method (Euler) solves the elliptic equation\n"
    "(-molarity_ksp_*) and its adjoint solves the transposed one (-molarity_adjoint_ksp_*), or, for comparison, both\n"
    "run through a fixed number of point-Jacobi sweeps (-cvi_differentiation unrolled). -train_epochs 0 -train_start\n"
    "FILE predicts only.\n"
    "(D. Akhare, T. Luo, J.-X. Wang, Implicit Neural Differential Model for Spatiotemporal Dynamics, 2025.)\n"};

/// Everything that the options decide.
struct Experiment {
  cvi::Settings settings;
  train::FieldDataSettings data;
  train::FieldInferenceSettings seen;
  ts::IntegratorSettings integrator;
  train::TrainerOptions training;

  Experiment();
  void read(MPI_Comm comm);
};

Experiment::Experiment() {
  data.cells = {48, 24};
  data.horizon = 0.5;
  data.interval = 0.1;
  data.step = 0.01;
  data.training = 6;
  data.test = 4;
  seen.training = 6;
  seen.label_times = {0.1, 0.3, 0.5};
  seen.evaluation_times = {0.1, 0.2, 0.3, 0.4, 0.5};
  integrator.method = "euler";
  integrator.step = 0.02;
  integrator.fit_steps = true;
  training.epochs = 500;
  training.batch_size = 6;
  training.optimiser.name = "adam";
  training.lr = 1e-2;
  training.restart_every = 100;
}

void Experiment::read(MPI_Comm comm) {
  integrator.read(comm);
  training = train::TrainerOptions::from_options(comm, training);
  settings.network.seed = training.seed;
  settings.network.read(comm);
  core::read_options(comm, "Chemical vapour infiltration", [&](core::OptionReader& o) {
    settings.read(o);
    data.read(o);
    seen.read(o);
  });
  ESPALIER_REQUIRE(seen.training <= data.training, "-training_trajectories " + std::to_string(seen.training) +
                                                       ": there are only " + std::to_string(data.training) +
                                                       " (-data_training)");
  integrator.dump_directory = seen.output;
  core::reject_unknown_options({"-cvi_", "-train_", "-network_", "-data_dir", "-data_cells", "-data_training",
                                "-label_", "-evaluation_", "-grad_", "-training_", "-output", "-method", "-report"});
}

/// What a restart file must agree with.
std::string fingerprint(const Experiment& e, const implicit::InfiltrationLaws& laws, const io::GridSeries& data) {
  std::ostringstream text;
  text << std::setprecision(17);
  for (const auto& law : cvi::laws_of(laws)) text << "network=" << law->fingerprint() << ";";
  text << "method=" << e.integrator.method << ";step=" << e.integrator.step << ";data=" << data.name << " checksum "
       << io::checksum(data);
  return text.str();
}

void check_gradient(core::Session& session, const Experiment& e, const std::shared_ptr<const grid::CellGrid>& grid,
                    const train::WindowDataset& windows, const std::vector<double>& times) {
  train::CheckedExperiment checked;
  checked.integrator = e.integrator;
  checked.times = times;
  checked.single_precision = e.settings.network.single_precision;
  using nn::Activation;
  const Activation activation = e.settings.network.activation;
  checked.has_kinks = activation == Activation::relu || activation == Activation::leaky_relu;
  checked.make_model = [&](const train::ModelVariant& variant) {
    nn::MlpSettings network = e.settings.network;
    network.single_precision = variant.single_precision;
    if (variant.smooth && checked.has_kinks) network.activation = Activation::tanh;
    const auto term = std::make_shared<implicit::InfiltrationTerm>(grid, cvi::learnt_laws(network), e.settings.solve);
    return train::CheckedModel{{term, nullptr}, nullptr, {{"laws", term}}};
  };
  train::check_gradient(session.comm(), checked, windows, session.report());
}

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  Experiment e;
  e.read(comm);
  if (session.help_requested()) return;
  session.report().set_seed(static_cast<long>(e.training.seed));
  session.report().set_method(e.integrator.method);
  io::prepare_output(comm, e.seen.output);

  // Preforms seen at a few times.
  const io::GridSeries data = cvi::reference(e.settings, e.data, comm);
  const auto grid = std::make_shared<const grid::CellGrid>(comm, cvi::axes(e.data));
  const auto labels = train::indices_of(data, e.seen.label_times, "-label_times");
  const std::vector<double> times = train::times_at(data, labels);
  const auto evaluated = train::indices_of(data, e.seen.evaluation_times, "-evaluation_times");
  const auto intervals = static_cast<std::int64_t>(times.size()) - 1;
  const at::Tensor seen = cvi::states(data, *grid, labels).narrow(0, 0, e.seen.training);
  const auto windows = train::WindowDataset::spread(seen, grid->global_cells(), intervals);

  if (e.seen.grad_check) return check_gradient(session, e, grid, windows, times);

  // d eps/dt = -beta k S c with networks for D, S and k.
  const implicit::InfiltrationLaws laws = cvi::learnt_laws(e.settings.network);
  const auto term = std::make_shared<implicit::InfiltrationTerm>(grid, laws, e.settings.solve);
  cvi::Objective objective(comm, term, e.integrator, times);
  session.report().metric("parameters", static_cast<double>(objective.parameters().count()));

  // Preforms that are not seen take no part in the choice of the best epoch either.
  const auto nothing = train::WindowDataset::spread(seen.narrow(0, 0, 0), grid->global_cells(), intervals);
  train::Trainer trainer(comm, objective, windows, nothing, e.training, session.report(), e.seen.output,
                         fingerprint(e, laws, data));
  trainer.report_best(trainer.train());
  train::report_peak_memory(session);

  const cvi::Evaluation evaluation{data, grid, evaluated, e.seen.training, times.back(), e.seen.output};
  cvi::evaluate_states(session, evaluation, objective, *term, e.settings);
  cvi::evaluate_laws(session, evaluation, laws, e.settings);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
