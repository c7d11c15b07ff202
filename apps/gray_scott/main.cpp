// A closure of the Gray-Scott equations on a coarse grid, learnt by a network that is spread over the ranks.
#include <ATen/ATen.h>

#include <iomanip>
#include <limits>
#include <sstream>

#include "espalier/core/error.hpp"
#include "espalier/core/rank_groups.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/files.hpp"
#include "espalier/io/grid_series_slab.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/train/trainer.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "gray_scott",
    "Learns what a coarse grid does not see of the Gray-Scott equations.\n\n"
    "    u_t = D_u (u_xx + u_yy) - u v^2 + F (1 - u),   D_u = 2e-5, F = 0.04,\n"
    "    v_t = D_v (v_xx + v_yy) + u v^2 - (F + k) v,   D_v = 1e-5, k = 0.06,   periodic square, all dimensionless\n\n"
    "(J. E. Pearson 1993). The truth are cell averages of the solution on a grid that is -gray_scott_refinement times\n"
    "finer. The model has the same equations on the coarse grid, or (-gray_scott_closure reaction) their diffusion\n"
    "only, and a network of convolutions beside them. Diffusion is implicit (-ksp_*, -samples_pc_type), the rest\n"
    "explicit. The grid and the network's fields are spread over the ranks; with -groups the ranks share the samples\n"
    "too. The loss is the mean squared error of both fields, its gradient the exact discrete adjoint.\n"};

struct Experiment {
  gray_scott::Settings problem;
  nn::GridNetworkSettings network;
  ts::IntegratorSettings integrator;
  train::TrainerOptions training;
  int groups = 1;
  std::string output;
  bool grad_check = false;

  Experiment() {
    network.kind = nn::GridNetworkKind::resnet;
    network.resnet.channels_in = network.resnet.channels_out = 2;
    network.resnet.hidden = 8;
    network.resnet.blocks = 2;
    network.mlp.widths = {32, 32};
    network.mlp.activation = nn::Activation::tanh;
    integrator.method = "3";
    integrator.step = 5;
    integrator.jacobian = ts::Jacobian::assembled;
    training.batch_size = 8;
    training.lr = 3e-4;
    training.window = 2;
  }

  void read(MPI_Comm comm) {
    groups = core::RankGroups::read(comm);
    integrator.read(comm);
    training = train::TrainerOptions::from_options(comm, training);
    network.resnet.seed = network.mlp.seed = training.seed;
    network.read_for_grid(comm, true);
    core::read_options(comm, "Gray-Scott", [&](core::OptionReader& o) {
      problem.read(o);
      output = o.text("-output", "folder for restart files and prediction.h5; empty: nothing is written", output);
      grad_check = o.flag("-grad_check", "check the gradient instead of training", grad_check);
    });
    integrator.dump_directory = output;
    core::reject_unknown_options({"-gray_scott_", "-train_", "-network_", "-data_dir", "-data_seed", "-grad_",
                                  "-groups", "-output", "-method", "-deterministic", "-report"});
  }

  std::string fingerprint(const nn::Network& net) const {
    std::ostringstream text;
    text << std::setprecision(17) << "network=" << net.fingerprint() << ";method=" << integrator.method
         << ";step=" << integrator.step << ";closure=" << static_cast<int>(problem.closure);
    for (const auto& [name, value] : problem.attributes()) text << ";data " << name << "=" << io::describe(value);
    return text.str();
  }
};

void check_gradient(core::Session& session, const Experiment& e, const std::shared_ptr<const grid::CellGrid>& grid,
                    const train::WindowDataset& windows) {
  ESPALIER_REQUIRE(e.groups == 1, "-grad_check needs all ranks on one grid: leave out -groups");
  train::CheckedExperiment checked;
  // Tests along random directions leave the range of an expansion soon: short steps, two from state to state.
  checked.integrator = e.integrator;
  checked.integrator.step = e.integrator.step / 10;
  for (std::int64_t k = 0; k <= windows.intervals(); ++k)
    checked.times.push_back(static_cast<double>(2 * k) * checked.integrator.step);
  checked.single_precision = e.network.resnet.single_precision;
  checked.has_kinks = e.network.kind != nn::GridNetworkKind::pointwise;
  checked.make_model = [&](const train::ModelVariant& variant) {
    nn::GridNetworkSettings network = e.network;
    // A network without kinks, for Taylor tests.
    if (variant.smooth) network.kind = nn::GridNetworkKind::pointwise;
    const auto m = gray_scott::make_model(e.problem, grid, network, variant.single_precision, 0.01);
    return train::CheckedModel{m.system, m.closure, {{"closure", m.closure}, {"diffusion", m.system.implicit_part}}};
  };
  train::check_gradient(session.comm(), checked, windows, session.report());
}

/// The error on held-out windows if the network is silent.
double error_without_closure(train::Trainer& trainer, nn::FlatParameters& parameters,
                             const train::WindowDataset& windows) {
  const at::Tensor values = parameters.values().clone();
  const auto& layers = parameters.tensors();
  for (std::size_t last = layers.size() - 2; last < layers.size(); ++last) at::Tensor(layers[last].detach()).zero_();
  parameters.mark_changed();
  const double error = trainer.error(windows);
  parameters.values().copy_(values);
  parameters.mark_changed();
  return error;
}

/// Integrates the held-out trajectories from their first states to their last ones and writes the first of them.
void predict(core::Session& session, const Experiment& e, const core::RankGroups& groups, const grid::CellGrid& grid,
             const std::string& data, train::IntegratorObjective& objective, const at::Tensor& unseen) {
  const train::Rollout rollout = train::roll_out(groups.domain(), objective, unseen.select(1, 0).contiguous(),
                                                 unseen.size(1) - 1, "held-out trajectories");
  const at::Tensor predicted = rollout.states.transpose(0, 1);  // [R, K + 1, 2 local cells]
  const double error = rollout.complete()
                           ? train::relative_l2_errors(groups.domain(), predicted.select(1, -1), unseen.select(1, -1))
                                 .mean()
                                 .item<double>()
                           : std::numeric_limits<double>::infinity();
  session.report().metric("rollout_error", error);
  ESPALIER_CALL(PetscPrintf(session.comm(), "held-out trajectories: relative L2 error %.4g at time %g\n", error,
                            static_cast<double>(unseen.size(1) - 1) * e.problem.interval));
  if (e.output.empty() || groups.index() != 0) return;
  io::GridSeries header = io::GridSeriesReader(groups.domain(), data).header();
  header.times.resize(static_cast<std::size_t>(predicted.size(1)));
  header.trajectories = 1;
  header.quantities.clear();
  for (const char* name : {"u", "v", "u_true", "v_true"}) header.quantities.push_back({name, false, true, {}, "1"});
  io::GridSeriesWriter writer(groups.domain(), e.output + "/prediction.h5", header, gray_scott::box_of(grid));
  const auto write = [&](const std::string& suffix, const at::Tensor& states) {
    const at::Tensor fields = states.narrow(0, 0, predicted.size(1)).view({predicted.size(1), 2, grid.local_cells()});
    for (const std::int64_t field : {0, 1})
      writer.write((field == 0 ? "u" : "v") + suffix, {}, {}, fields.select(1, field).contiguous().data_ptr<double>());
  };
  write("", predicted[0].contiguous());
  write("_true", unseen[0].contiguous());
  writer.commit(true);
}

void train_closure(core::Session& session, const Experiment& e, const core::RankGroups& groups, const std::string& data,
                   const std::shared_ptr<const grid::CellGrid>& grid, const train::WindowDataset& windows,
                   const train::WindowDataset& held_out, const at::Tensor& unseen) {
  const auto m = gray_scott::make_model(e.problem, grid, e.network, true);
  train::IntegratorObjective objective(groups.domain(), m.system, m.closure, e.integrator, e.problem.interval);
  const auto count = static_cast<long long>(m.network->parameters().count());
  session.report().metric("parameters", static_cast<double>(count));
  ESPALIER_CALL(PetscPrintf(
      session.comm(), "Gray-Scott: %s, %lld parameters, method %s, %d groups of %d x %d x %d ranks\n",
      m.network->fingerprint().c_str(), count, e.integrator.method.c_str(), groups.count(),
      static_cast<int>(grid->parts()[0]), static_cast<int>(grid->parts()[1]), static_cast<int>(grid->parts()[2])));
  train::Trainer trainer(session.comm(), objective, windows, held_out, e.training, session.report(), e.output,
                         e.fingerprint(*m.network));
  if (held_out.size() > 0) {
    const double error = error_without_closure(trainer, objective.parameters(), held_out);
    session.report().metric("error_without_closure", error);
    ESPALIER_CALL(PetscPrintf(session.comm(), "held-out error without the network: %.5g\n", error));
  }
  trainer.report_best(trainer.train());
  if (held_out.size() > 0) predict(session, e, groups, *grid, data, objective, unseen);
  train::report_peak_memory(session);
}

void run_experiment(core::Session& session) {
  Experiment e;
  e.read(session.comm());
  if (session.help_requested()) return;
  session.report().set_seed(static_cast<long>(e.training.seed));
  session.report().set_method(e.integrator.method);
  const core::RankGroups groups(session.comm(), e.groups);
  io::prepare_output(session.comm(), e.output);

  const auto grid = gray_scott::coarse_grid(e.problem, groups.domain(), e.network.alignment());
  const std::string data = gray_scott::reference_file(e.problem, session.comm());
  const auto [seen, unseen] = train::split_states(gray_scott::read_states(data, *grid), e.training.fraction);
  const std::int64_t dof = 2 * grid->global_cells();
  auto windows = train::WindowDataset::spread(seen, dof, e.training.window);
  auto held_out = train::WindowDataset::spread(unseen, dof, e.training.window);
  windows.deal_to_groups(groups.index(), groups.count());
  held_out.deal_to_groups(groups.index(), groups.count());

  if (e.grad_check) {
    check_gradient(session, e, grid, windows);
    return;
  }
  train_closure(session, e, groups, data, grid, windows, held_out, unseen);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
