// Graph neural diffusion as a semi-implicit neural ODE (Zhang, Liu & Maulik 2024, section 5.1).
#include <iomanip>
#include <sstream>
#include <string>

#include "classification.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/trainer.hpp"
#include "model.hpp"
#include "settings.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "grand",
    "Classifies the nodes of a graph by graph neural diffusion.\n\n"
    "    dx/dt = alpha A(x) x + beta x(0) - alpha' x,   x(0) = encoder(features),   logits = decoder(x(T))\n\n"
    "A(x) is multi-head attention along the edges. The first two terms are integrated explicitly, the decay "
    "implicitly.\n"
    "The loss is the cross-entropy of the training nodes; its gradient passes through decoder, integration (exact\n"
    "discrete adjoint) and encoder. T and all features are dimensionless. One rank; -threads for more cores.\n"
    "(B. Chamberlain et al., GRAND: Graph Neural Diffusion, 2021; H. Zhang, Y. Liu, R. Maulik, Semi-Implicit Neural\n"
    "Ordinary Differential Equations, 2024, section 5.1.)\n"};

/// Everything that the options decide.
struct Experiment {
  grand::Settings settings;
  ts::IntegratorSettings integrator;
  train::TrainerOptions training;
};

Experiment read_experiment(MPI_Comm comm) {
  Experiment e;
  e.integrator.step = 1;
  e.integrator.read(comm);
  train::TrainerOptions defaults;
  defaults.epochs = 100;
  defaults.optimiser.name = "adamax";
  defaults.optimiser.weight_decay = 0.005077;
  defaults.lr = 0.02292;
  defaults.batch_size = 1;
  e.training = train::TrainerOptions::from_options(comm, defaults);
  e.settings = grand::Settings::from_options(comm, e.training.seed);
  e.integrator.dump_directory = e.settings.output;
  core::reject_unknown_options(
      {"-grand_", "-train_", "-network_", "-grad_", "-linear_", "-output", "-method", "-report"});
  return e;
}

/// What a restart file must agree with.
std::string fingerprint(const Experiment& e, const grand::Model& model, const data::Graph& graph) {
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << model.fingerprint() << ";method=" << e.integrator.method
       << ";step=" << e.integrator.step << ";time=" << e.settings.time << ";dropout=" << e.settings.dropout << "/"
       << e.settings.input_dropout << ";graph=" << graph.name << " " << graph.num_nodes << " nodes, "
       << graph.num_edges() << " edges;split=" << e.settings.split << " " << e.settings.split_seed;
  return text.str();
}

void print_experiment(MPI_Comm comm, const data::Graph& graph, grand::Model& model) {
  ESPALIER_CALL(PetscPrintf(
      comm, "grand: %s, %lld nodes, %lld edges, %lld features, %lld classes; %zu training, %zu validation, %zu test\n",
      graph.name.c_str(), static_cast<long long>(graph.num_nodes), static_cast<long long>(graph.num_edges()),
      static_cast<long long>(graph.num_features), static_cast<long long>(graph.num_classes), graph.split->train.size(),
      graph.split->val.size(), graph.split->test.size()));
  ESPALIER_CALL(PetscPrintf(comm, "%s, %lld parameters, method %s\n", model.fingerprint().c_str(),
                            static_cast<long long>(model.parameters().count()),
                            model.integrator().method().name.c_str()));
}

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  core::RunReport& report = session.report();
  const Experiment e = read_experiment(comm);
  if (session.help_requested()) return;
  ESPALIER_REQUIRE(session.size() == 1,
                   "grand runs on one rank, because a graph is not distributed: leave out mpirun "
                   "-n, and give -threads for more cores");
  report.set_seed(static_cast<long>(e.training.seed));
  report.set_method(e.integrator.method);
  io::prepare_output(comm, e.settings.output);

  const data::Graph graph = grand::load_graph(e.settings);
  if (e.settings.grad_check) {
    grand::Settings smooth = e.settings;
    smooth.smooth = true;
    grand::Model model(comm, smooth, e.integrator, graph);
    grand::Classification objective(model, graph, e.training.seed);
    grand::check_gradient(comm, model, objective, report);
    return;
  }
  grand::Model model(comm, e.settings, e.integrator, graph);
  grand::Classification objective(model, graph, e.training.seed);
  print_experiment(comm, graph, model);
  report.metric("parameters", static_cast<double>(model.parameters().count()));

  // One sample, the graph, which the objective holds itself.
  const train::WindowDataset graph_sample(at::zeros({2, 1}, at::kDouble), 1);
  const train::WindowDataset nothing(at::zeros({0, 1}, at::kDouble), 1);
  train::Trainer trainer(comm, objective, graph_sample, nothing, e.training, report, e.settings.output,
                         fingerprint(e, model, graph));
  trainer.set_validation([&] { return objective.validation_error(); });
  trainer.add_companion(objective);
  trainer.train();

  const grand::Accuracy best = objective.best_epoch() > 0 ? objective.best() : objective.accuracy();
  report.metric("test_accuracy", best.test);
  report.metric("validation_accuracy", best.val);
  report.metric("train_accuracy", best.train);
  ESPALIER_CALL(PetscPrintf(comm, "test accuracy %.2f %% at the best validation accuracy %.2f %% (epoch %d)\n",
                            100 * best.test, 100 * best.val, objective.best_epoch()));
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
