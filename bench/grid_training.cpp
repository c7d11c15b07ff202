// One step of training a network of convolutions inside an implicit-explicit integration on a distributed grid: what
// bench/scaling runs on several numbers of ranks.
#include <ATen/ATen.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/rank_groups.hpp"
#include "espalier/core/session.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/nn/grid_network.hpp"
#include "espalier/nn/resnet.hpp"
#include "espalier/train/batches.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/optimiser.hpp"
#include "espalier/train/reduction.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "grid_training",
    "Measures steps of training: u_t = D Laplace u + G(u; theta), two fields on a periodic grid in one to three\n"
    "dimensions, diffusion implicit, G a network on the grid. A step is one batch: -samples states integrated over\n"
    "-steps time steps, the adjoint, the reduction of the gradient and an update. Reports the median of\n"
    "-repetitions (seconds_step) and what a rank sends to others (halo_bytes, halo_messages).\n"};

struct Settings {
  std::vector<PetscInt> cells = {128, 128};
  PetscInt samples = 2;
  PetscInt steps = 2;
  PetscInt repetitions = 5;
  int groups = 1;
  nn::GridNetworkSettings network;
  ts::IntegratorSettings integrator;

  Settings() {
    network.kind = nn::GridNetworkKind::resnet;
    network.resnet.channels_in = network.resnet.channels_out = 2;
    network.resnet.hidden = 16;
    network.resnet.single_precision = true;
    network.mlp.widths = {32, 32};
    integrator.method = "3";
    integrator.step = 1e-3;
    integrator.jacobian = ts::Jacobian::assembled;
  }
  void read(MPI_Comm comm) {
    groups = core::RankGroups::read(comm);
    integrator.read(comm);
    network.read_for_grid(comm, true);
    core::read_options(comm, "Bench", [&](core::OptionReader& o) {
      cells = o.integers("-cells", "cells along each axis, x first", cells, 4);
      samples = o.integer("-samples", "states of a batch, over all groups", samples, 1);
      steps = o.integer("-steps", "time steps", steps, 1);
      repetitions = o.integer("-repetitions", "measured steps of training, after one that is not", repetitions, 1);
    });
    core::reject_unknown_options({"-cells", "-samples_", "-steps", "-repetitions", "-groups", "-network_", "-report"});
    ESPALIER_REQUIRE(cells.size() <= 3, "-cells: a grid has one to three axes");
    ESPALIER_REQUIRE(samples >= groups, "-groups " + std::to_string(groups) + " share " + std::to_string(samples) +
                                            " samples: choose fewer groups or more -samples");
  }
};

/// cos and sin waves, the same whatever the number of ranks; [n, 2 local cells].
at::Tensor states_of(const grid::CellGrid& grid, train::Range own) {
  const at::Tensor x = grid.centres();
  std::vector<at::Tensor> rows;
  for (std::int64_t s = own.first; s < own.first + own.count; ++s) {
    const at::Tensor phase = 6.283185307179586 * x.sum(1) + 0.3 * static_cast<double>(s);
    rows.push_back(at::stack({phase.sin(), phase.cos()}).flatten());
  }
  return at::stack(rows);
}

grid::HaloTraffic traffic_of(const nn::Network& network) {
  if (const auto* resnet = dynamic_cast<const nn::Resnet*>(&network)) return resnet->halo_traffic();
  if (const auto* unet = dynamic_cast<const nn::Unet*>(&network)) return unet->halo_traffic();
  return {};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void run_bench(core::Session& session) {
  Settings settings;
  settings.read(session.comm());
  if (session.help_requested()) return;
  const core::RankGroups groups(session.comm(), settings.groups);
  std::vector<grid::Axis> axes;
  for (const PetscInt n : settings.cells) axes.push_back({n, 0, 1, {}, {}});
  const auto grid = std::make_shared<const grid::CellGrid>(groups.domain(), axes, 1, settings.network.alignment());
  const auto network = settings.network.make(grid);
  const auto closure = std::make_shared<model::NeuralTerm>(network);
  const auto diffusion = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{1e-3, 1e-3}, nullptr);
  train::IntegratorObjective objective(groups.domain(), {closure, diffusion}, closure, settings.integrator,
                                       settings.integrator.step * static_cast<double>(settings.steps));
  train::Reduction reduction(session.comm(), objective.parameters());
  train::Optimiser optimiser(objective.parameters(), {});
  const train::Range own = train::rank_slice({0, settings.samples}, groups.index(), groups.count());
  const at::Tensor u0 = states_of(*grid, own);
  const at::Tensor targets = u0.unsqueeze(1).contiguous();

  std::vector<double> seconds;
  grid::HaloTraffic before;
  for (PetscInt k = 0; k <= settings.repetitions; ++k) {
    // The first step makes solvers and buffers.
    const core::StageScope stage(k == 0 ? "Warm-up" : "Training");
    before = traffic_of(*network);
    MPI_Barrier(session.comm());
    const double start = MPI_Wtime();
    objective.parameters().zero_gradient();
    const double sum = objective.sum_and_gradient(u0, targets, 1 / static_cast<double>(settings.samples));
    reduction.gradient_and_sum(sum, false, false);
    optimiser.step(1e-5);
    double elapsed = MPI_Wtime() - start;
    MPI_Allreduce(MPI_IN_PLACE, &elapsed, 1, MPI_DOUBLE, MPI_MAX, session.comm());
    if (k > 0) seconds.push_back(elapsed);
  }
  const grid::HaloTraffic sent = traffic_of(*network);
  double bytes = static_cast<double>(sent.bytes - before.bytes);
  double messages = static_cast<double>(sent.messages - before.messages);
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_MAX, session.comm());
  MPI_Allreduce(MPI_IN_PLACE, &messages, 1, MPI_DOUBLE, MPI_MAX, session.comm());
  session.report().set_method(settings.integrator.method);
  session.report().metric("seconds_step", median(seconds));
  session.report().metric("halo_bytes", bytes);
  session.report().metric("halo_messages", messages);
  session.report().metric("parameters", static_cast<double>(objective.parameters().count()));
  const train::Counters work = objective.counters();
  const auto steps = static_cast<double>(settings.repetitions + 1);
  session.report().metric("nfe_forward", static_cast<double>(work.nfe_forward) / steps);
  session.report().metric("nfe_adjoint", static_cast<double>(work.nfe_adjoint) / steps);
  session.report().metric("ksp_its_forward", static_cast<double>(work.ksp_its_forward) / steps);
  session.report().metric("ksp_its_adjoint", static_cast<double>(work.ksp_its_adjoint) / steps);
  ESPALIER_CALL(PetscPrintf(session.comm(),
                            "%d ranks in %d groups, %s: %.4g s for a step of training, halo %.0f bytes in %.0f "
                            "messages of a rank\n",
                            session.size(), groups.count(), network->fingerprint().c_str(), median(seconds), bytes,
                            messages));
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_bench); }
