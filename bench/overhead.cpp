// What the integrator costs over the network evaluations that it makes, and what a float network saves.
//
// One run times, in turn and with the same batch and thread: the training step of the Kuramoto-Sivashinsky experiment
// (forward run, loss, discrete adjoint), and the bare network evaluations of such a step: as many forward calls and
// VJPs with parameter gradients as the method makes. The figure is the median of the ratios of neighbouring
// measurements, so that a change of the machine's speed cancels.
//
//   build/bin/bench_overhead -method l2 -threads 1 -report overhead.json
#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/machine.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/model/linear_term.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/optimiser.hpp"

using namespace espalier;

namespace {

struct Settings {
  PetscInt points = 64;
  PetscInt batch = 256;
  PetscInt batches = 15;  // of an epoch
  PetscInt repetitions = 11;
  double window = 0.2;
};

double seconds(const std::function<void()>& work) {
  const double start = MPI_Wtime();
  work();
  return MPI_Wtime() - start;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

petsc::MatHandle linear_operator(PetscInt n) {
  petsc::MatHandle a;
  ESPALIER_CALL(MatCreateSeqAIJ(PETSC_COMM_SELF, n, n, 5, nullptr, a.out()));
  const double h = 22.0 / static_cast<double>(n);
  const double h2 = h * h;
  const double h4 = h2 * h2;
  const double filter[5] = {-1 / h4, 4 / h4 - 1 / h2, -6 / h4 + 2 / h2, 4 / h4 - 1 / h2, -1 / h4};
  for (PetscInt i = 0; i < n; ++i)
    for (PetscInt k = 0; k < 5; ++k) ESPALIER_CALL(MatSetValue(a.get(), i, (i + k - 2 + n) % n, filter[k], ADD_VALUES));
  ESPALIER_CALL(MatAssemblyBegin(a.get(), MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(a.get(), MAT_FINAL_ASSEMBLY));
  return a;
}

/// A training epoch of the experiment without data handling: batches of forward run, adjoint and optimiser step.
class Epoch {
 public:
  Epoch(MPI_Comm comm, const Settings& s, const nn::MlpSettings& network, const ts::IntegratorSettings& integrator)
      : network_(std::make_shared<nn::Mlp>(network)), neural_(std::make_shared<model::NeuralTerm>(network_)) {
    const auto a = linear_operator(s.points);
    const auto linear = std::make_shared<model::LinearTerm>(a.get(), model::LinearSolver::lu_inverse);
    objective_ = std::make_unique<train::IntegratorObjective>(comm, model::SplitSystem{neural_, linear}, neural_,
                                                              integrator, s.window);
    u0_ = at::randn({s.batch, s.points}, at::kDouble);
    targets_ = at::randn({s.batch, 1, s.points}, at::kDouble);
  }

  void train(PetscInt batches) {
    for (PetscInt b = 0; b < batches; ++b) {
      network_->parameters().zero_gradient();
      objective_->sum_and_gradient(u0_, targets_, 1e-4);
    }
  }

  /// The same numbers of network evaluations, nothing else: forward calls, then VJPs with parameter gradients.
  void bare(PetscInt batches, long forward, long adjoint) {
    at::Tensor y = at::empty_like(u0_);
    at::Tensor u_bar = at::empty_like(u0_);
    for (PetscInt b = 0; b < batches; ++b) {
      network_->parameters().zero_gradient();
      std::vector<std::unique_ptr<nn::Tape>> tapes;
      for (long i = 0; i < forward; ++i) tapes.push_back(network_->record(0, u0_, y));
      for (long i = 0; i < adjoint; ++i) {
        tapes[static_cast<std::size_t>(i) % tapes.size()]->vjp(y, u_bar);
        tapes[static_cast<std::size_t>(i) % tapes.size()]->accumulate(0.1);
      }
    }
  }

  const model::NetworkCounters& counters() const { return neural_->counters(); }

 private:
  std::shared_ptr<nn::Mlp> network_;
  std::shared_ptr<model::NeuralTerm> neural_;
  std::unique_ptr<train::IntegratorObjective> objective_;
  at::Tensor u0_;
  at::Tensor targets_;
};

void run_bench(core::Session& session) {
  Settings s;
  nn::MlpSettings network;
  ts::IntegratorSettings integrator;
  integrator.step = 0.2;
  core::read_options(session.comm(), "Overhead benchmark", [&](core::OptionReader& o) {
    s.points = o.integer("-bench_points", "dof of a sample", s.points, 8);
    s.batch = o.integer("-bench_batch", "samples", s.batch, 1);
    s.batches = o.integer("-bench_batches", "batches of an epoch", s.batches, 1);
    s.repetitions = o.integer("-bench_repetitions", "pairs of measurements", s.repetitions, 3);
  });
  network.widths = {s.points, 200, 200, 200, 200, s.points};
  network.read(session.comm());
  integrator.read(session.comm());
  core::reject_unknown_options({"-bench_", "-network_"});
  if (session.help_requested()) return;

  Epoch epoch(session.comm(), s, network, integrator);
  network.single_precision = true;
  Epoch float_epoch(session.comm(), s, network, integrator);
  epoch.train(1);
  float_epoch.train(1);
  const long forward = epoch.counters().forward;
  const long adjoint = epoch.counters().adjoint;
  epoch.bare(1, forward, adjoint);

  std::vector<double> ours;
  std::vector<double> bare;
  std::vector<double> overhead;
  std::vector<double> saving;
  for (PetscInt r = 0; r < s.repetitions; ++r) {
    ours.push_back(seconds([&] { epoch.train(s.batches); }));
    bare.push_back(seconds([&] { epoch.bare(s.batches, forward, adjoint); }));
    const double single = seconds([&] { float_epoch.train(s.batches); });
    overhead.push_back(ours.back() / bare.back());
    saving.push_back(ours.back() / single);
  }
  core::RunReport& report = session.report();
  report.set_method(integrator.method);
  report.metric("seconds_epoch", median(ours));
  report.metric("seconds_network", median(bare));
  report.metric("overhead_ratio", median(overhead));
  report.metric("float_speedup", median(saving));
  report.metric("nfe_forward", static_cast<double>(forward * s.batches));
  report.metric("nfe_adjoint", static_cast<double>(adjoint * s.batches));
  const core::Blas blas = core::inspect_blas();
  ESPALIER_CALL(PetscPrintf(session.comm(),
                            "%s, BLAS kernel %s, %d thread(s): epoch %.4f s, its %ld + %ld network evaluations %.4f s, "
                            "ratio %.3f; float network %.2fx faster\n",
                            integrator.method.c_str(), blas.kernel.c_str(), session.threads(), median(ours),
                            forward * static_cast<long>(s.batches), adjoint * static_cast<long>(s.batches),
                            median(bare), median(overhead), median(saving)));
}

}  // namespace

int main(int argc, char** argv) {
  return core::run(argc, argv,
                   {"bench_overhead",
                    "Times a training epoch of the Kuramoto-Sivashinsky experiment against its network evaluations\n"
                    "alone, and a float against a double network. Ratios are medians of paired measurements.\n"},
                   run_bench);
}
