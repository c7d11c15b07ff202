// The adjoint of a Crank-Nicolson run of Gray-Scott: Espalier's against one written directly in PETSc.
//
// Both run in one process, by turns: (a) a TS of type cn on a DMDA with two unknowns per point, with IFunction and
// assembled IJacobian, or RHSFunction and RHSJacobian with -bench_form rhs, and TSAdjointSolve; (b) the Integrator with
// a ReactionDiffusionTerm and -ts_jacobian assembled. Same grid and parts, same start, same steps, same tolerances,
// same KSP and PC (GMRES, block Jacobi with ILU(0)): -bench_pc chooses another PC for both. (a) forms its matrix by
// MatSetValuesStencil() in the pattern of the DMDA, as PETSc's tutorials do, or with -bench_assembly coo as (b) does:
// by MatSetValuesCOO(), without the entries that are always zero. Reported are medians over the turns, of wall time and
// of the CPU time of all ranks, medians of the ratios of (b) to (a) turn by turn, and how far the gradients differ.
//
//   mpirun -n 1 build/bin/bench_gray_scott_adjoint -options_file bench/gray_scott_adjoint.opts -report report.json
#include <petscts.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/model/gray_scott.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/ts/integrator.hpp"
#include "gray_scott_direct.hpp"

using namespace espalier;
using bench::Direct;
using bench::Settings;
using bench::start_at;

namespace {

/// Seconds on the wall and on all ranks' processors.
struct Cost {
  double wall = 0;
  double cpu = 0;
};

Cost cost_of(MPI_Comm comm, const std::function<void()>& work) {
  MPI_Barrier(comm);
  const double start = MPI_Wtime();
  const std::clock_t ticks = std::clock();
  work();
  double cpu = static_cast<double>(std::clock() - ticks) / CLOCKS_PER_SEC;
  MPI_Allreduce(MPI_IN_PLACE, &cpu, 1, MPI_DOUBLE, MPI_SUM, comm);
  return {MPI_Wtime() - start, cpu};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// (b): the same by an Integrator.
class Ours {
 public:
  Ours(MPI_Comm comm, const Settings& settings) : end_(settings.step * static_cast<double>(settings.steps)) {
    const grid::Axis axis{settings.points, 0, model::GrayScott::length, {}, {}};
    grid_ = std::make_shared<const grid::CellGrid>(comm, std::vector<grid::Axis>{axis, axis});
    const auto term = std::make_shared<model::ReactionDiffusionTerm>(
        grid_, std::vector<double>{model::GrayScott::diffusivity_u, model::GrayScott::diffusivity_v},
        std::make_shared<model::GrayScott>());
    ts::IntegratorSettings integration;
    integration.method = "cn";
    integration.step = settings.step;
    integration.jacobian = ts::Jacobian::assembled;
    integration.prefix = "ours_";
    integrator_ = std::make_unique<ts::Integrator>(comm, ts::BatchShape{1, 2 * grid_->local_cells()},
                                                   model::SplitSystem{nullptr, term}, integration);
    const at::Tensor centres = grid_->centres();
    const auto* x = centres.data_ptr<double>();
    u0_ = at::empty({2, grid_->local_cells()}, at::kDouble);
    auto* u = u0_.data_ptr<double>();
    for (std::int64_t c = 0; c < grid_->local_cells(); ++c)
      std::tie(u[c], u[grid_->local_cells() + c]) = start_at(x[2 * c], x[2 * c + 1]);
    u0_ = u0_.view({1, -1});
  }

  void forward() { snapshots_ = integrator_->forward(u0_, {0, end_}, ts::Record::yes); }
  void adjoint() { gradient_ = integrator_->adjoint(2 * snapshots_); }
  at::Tensor gradient() const { return gradient_.view({2, -1}); }
  const grid::CellGrid& grid() const { return *grid_; }
  const ts::Integrator& integrator() const { return *integrator_; }

 private:
  double end_;
  std::shared_ptr<const grid::CellGrid> grid_;
  std::unique_ptr<ts::Integrator> integrator_;
  at::Tensor u0_;
  at::Tensor snapshots_;
  at::Tensor gradient_;
};

double norm(MPI_Comm comm, const at::Tensor& local) {
  auto sum = local.square().sum().item<double>();
  MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm);
  return std::sqrt(sum);
}

std::string text_of(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

/// Sets `-name value` unless it is given.
void by_default(const std::string& name, const std::string& value) {
  PetscBool given = PETSC_FALSE;
  ESPALIER_CALL(PetscOptionsHasName(nullptr, nullptr, name.c_str(), &given));
  if (!given) ESPALIER_CALL(PetscOptionsSetValue(nullptr, name.c_str(), value.c_str()));
}

// (a) has one KSP for both directions, (b) two, and its PC is that of the samples.
void give_both_the_same_solvers(const Settings& s) {
  for (const std::string prefix : {"-direct_", "-ours_"}) {
    by_default(prefix + "snes_rtol", text_of(s.newton_tolerance));
    by_default(prefix + "snes_stol", "0");
    by_default(prefix + "snes_atol", "1e-50");
  }
  for (const std::string prefix : {"-direct_", "-ours_", "-ours_adjoint_"}) {
    by_default(prefix + "ksp_type", "gmres");
    by_default(prefix + "ksp_rtol", text_of(s.krylov_tolerance));
    by_default(prefix + (prefix == "-direct_" ? "" : "samples_") + "pc_type", s.pc);
  }
  by_default("-direct_ts_adapt_type", "none");
}

const core::Program program = {"bench_gray_scott_adjoint",
                               "The adjoint of a Crank-Nicolson run of Gray-Scott, ours against PETSc's alone.\n"
                               "  u_t = D_u Lap u - u v^2 + F (1 - u), v_t = D_v Lap v + u v^2 - (F + k) v\n"
                               "  on the periodic square [0, 2.5]^2, all dimensionless\n"};

/// The times of one way over all turns.
struct Times {
  std::vector<Cost> forward;
  std::vector<Cost> adjoint;
};

double median_of(const std::vector<Cost>& costs, double Cost::*kind) {
  std::vector<double> values;
  for (const Cost& cost : costs) values.push_back(cost.*kind);
  return median(values);
}

/// Of neighbours in time, so that whatever else runs disturbs both.
double median_ratio(const std::vector<Cost>& ours, const std::vector<Cost>& direct, double Cost::*kind) {
  std::vector<double> values;
  for (std::size_t k = 0; k < ours.size(); ++k) values.push_back(ours[k].*kind / (direct[k].*kind));
  return median(values);
}

/// One of the two ways, with a stage of -log_view for each direction.
struct Run {
  explicit Run(const std::string& name) {
    ESPALIER_CALL(PetscLogStageRegister((name + " forward").c_str(), &forward_stage));
    ESPALIER_CALL(PetscLogStageRegister((name + " adjoint").c_str(), &adjoint_stage));
  }
  template <class Way>
  void take_turn(MPI_Comm comm, Way& way) {
    ESPALIER_CALL(PetscLogStagePush(forward_stage));
    times.forward.push_back(cost_of(comm, [&] { way.forward(); }));
    ESPALIER_CALL(PetscLogStagePop());
    ESPALIER_CALL(PetscLogStagePush(adjoint_stage));
    times.adjoint.push_back(cost_of(comm, [&] { way.adjoint(); }));
    ESPALIER_CALL(PetscLogStagePop());
  }

  Times times;
  PetscLogStage forward_stage = 0;
  PetscLogStage adjoint_stage = 0;
};

void run_benchmark(core::Session& session) {
  Settings s;
  core::read_options(session.comm(), "Benchmark", [&](core::OptionReader& o) {
    s.points = o.integer("-bench_points", "along each axis", s.points, 3);
    s.steps = o.integer("-bench_steps", "of the run", s.steps, 1);
    s.step = o.positive("-bench_dt", "size of a step", s.step);
    s.turns = o.integer("-bench_turns", "after one that is not counted", s.turns, 1);
    s.pc = o.text("-bench_pc", "preconditioner of both", s.pc);
    s.implicit_form = o.choice("-bench_form", "of (a): rhs or i functions", {"rhs", "i"}, 1) == 1;
    s.coo = o.choice("-bench_assembly", "of (a): MatSetValuesStencil or MatSetValuesCOO", {"stencil", "coo"}, 0) == 1;
    s.newton_tolerance = o.positive("-bench_newton_rtol", "of both", s.newton_tolerance);
    s.krylov_tolerance = o.positive("-bench_ksp_rtol", "of both", s.krylov_tolerance);
  });
  if (session.help_requested()) return;
  const MPI_Comm comm = session.comm();
  give_both_the_same_solvers(s);
  Ours ours(comm, s);
  Direct direct(ours.grid(), s);
  Run of_direct("direct");
  Run of_ours("ours");
  for (PetscInt turn = 0; turn <= s.turns; ++turn) {
    of_direct.take_turn(comm, direct);
    of_ours.take_turn(comm, ours);
    if (turn == 0) of_direct.times = of_ours.times = {};  // made what is made once
  }
  const at::Tensor expected = direct.gradient();
  const double difference = norm(comm, ours.gradient() - expected) / norm(comm, expected);
  core::RunReport& report = session.report();
  report.set_method("cn");
  const auto runs = static_cast<double>(s.turns + 1);
  const auto print = [&](const char* name, const std::vector<Cost>& a, const std::vector<Cost>& b) {
    for (const auto& [kind, member] : {std::make_pair("wall", &Cost::wall), std::make_pair("cpu", &Cost::cpu)}) {
      const double ratio = median_ratio(b, a, member);
      report.metric(std::string("direct_") + name + "_" + kind, median_of(a, member));
      report.metric(std::string("ours_") + name + "_" + kind, median_of(b, member));
      report.metric(std::string("ratio_") + name + "_" + kind, ratio);
      ESPALIER_CALL(PetscPrintf(comm, "%-8s %-4s  direct %8.4f s  ours %8.4f s  ratio %.3f\n", name, kind,
                                median_of(a, member), median_of(b, member), ratio));
    }
  };
  print("forward", of_direct.times.forward, of_ours.times.forward);
  print("adjoint", of_direct.times.adjoint, of_ours.times.adjoint);
  const auto metric = [&](const std::string& name, double value) {
    report.metric(name, value);
    ESPALIER_CALL(PetscPrintf(comm, "%-28s %.3g\n", name.c_str(), value));
  };
  const auto adjoint_iterations = static_cast<double>(direct.adjoint_iterations);
  const ts::Integrator& integrator = ours.integrator();
  metric("direct_iterations_forward", static_cast<double>(direct.iterations()) / runs - adjoint_iterations);
  metric("ours_iterations_forward", static_cast<double>(integrator.ksp_iterations_forward()) / runs);
  metric("direct_iterations_adjoint", adjoint_iterations);
  metric("ours_iterations_adjoint", static_cast<double>(integrator.ksp_iterations_adjoint()) / runs);
  metric("gradient_difference", difference);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_benchmark); }
