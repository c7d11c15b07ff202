// Amplitudes of a load found from the deflection that it causes (Bhatia, Koehler & Thuerey 2025, sections 2.2 and 4.1).
#include <ATen/ATen.h>
#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/train/refinement.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "poisson_inverse",
    "Finds the amplitudes theta of a load from the deflection that it causes.\n\n"
    "    u'' = -p on (0, 1),  p = -sum_i theta_i sin(2 i pi x),  u(0) = u(1) = 0,  all dimensionless\n"
    "    minimise |u_K(theta) - u(theta_ref)|^2 / (2 N) by gradient descent\n\n"
    "u_K is what -poisson_solver reaches from 0 after K iterations on N points, its derivative that of K iterations "
    "of\n"
    "the transposed system, or of each iteration (-poisson_differentiation unrolled). With -prdp K grows when the\n"
    "parameters stop improving.\n"
    "(K. Bhatia, F. Koehler, N. Thuerey, Progressively Refined Differentiable Physics, 2025.)\n"};

struct Experiment {
  poisson_inverse::Settings settings;
  train::RefinementOptions refinement;

  void read(MPI_Comm comm) {
    refinement.control.ema = 0;
    refinement.control.delta = 2;
    refinement.read(comm);
    core::read_options(comm, "Poisson inverse problem", [&](core::OptionReader& o) { settings.read(o); });
    core::reject_unknown_options({"-poisson_", "-prdp", "-report", "-grad_"});
  }
};

// What the course cost. The paper's program counts the first level of a refined run twice and the last one never.
double cost_of(const std::vector<long>& levels, bool refined) {
  const double all = static_cast<double>(std::accumulate(levels.begin(), levels.end(), 0L));
  return refined ? all + static_cast<double>(levels.front() - levels.back()) : all;
}

void report(core::Session& session, const Experiment& e, const std::vector<long>& levels, double error,
            const train::Counters& work) {
  const double cost = cost_of(levels, e.refinement.enabled);
  const double converged = static_cast<double>(e.refinement.control.kmax * e.settings.converged_updates);
  core::RunReport& report = session.report();
  report.metric("cost", cost);
  report.metric("cost_converged", converged);
  report.metric("savings_percent", 100 * (1 - cost / converged));
  report.metric("parameter_error", error);
  report.metric("iterations_nominal", static_cast<double>(std::accumulate(levels.begin(), levels.end(), 0L)));
  report.metric("ksp_its_forward", static_cast<double>(work.ksp_its_forward));
  report.metric("ksp_its_adjoint", static_cast<double>(work.ksp_its_adjoint));
  ESPALIER_CALL(
      PetscPrintf(session.comm(),
                  "cost %.0f iterations, %.1f %% saved of the %.0f of converged solves; relative error of the "
                  "parameters %.8e\n",
                  cost, 100 * (1 - cost / converged), converged, error));
}

// theta <- theta - lr dL/dtheta, with K iterations in each solve.
void run_experiment(core::Session& session) {
  Experiment e;
  e.read(session.comm());
  if (session.help_requested()) return;
  const poisson_inverse::Settings& s = e.settings;
  poisson_inverse::Problem problem(session.comm(), s);
  if (s.grad_check) return problem.check_gradient(session);

  long level = 0;
  train::Refinement refinement(session.comm(), e.refinement, {}, [&](const train::RefinementLevel& now) {
    level = now.level;
    problem.set_effort(now.forward, now.adjoint);
  });
  std::vector<long> levels;
  refinement.begin(problem.parameter_error());
  for (int update = 1; update <= s.updates; ++update) {
    if (s.hand_step > 0) level = std::min(e.refinement.control.k0 + (update - 1) * s.hand_step, refinement.level());
    if (s.hand_step > 0) problem.set_effort({level, 0}, {level, 0});
    levels.push_back(level);
    train::HistoryRow row;
    row.record.epoch = update;
    row.record.loss = problem.descend(s.lr);
    row.record.validation = problem.parameter_error();
    refinement.epoch_done(row);
    row.extra["level"] = static_cast<double>(levels.back());
    session.report().add_epoch(row.record, nlohmann::json(row.extra));
    if (update % s.print_every == 0 || update == 1 || update == s.updates)
      ESPALIER_CALL(PetscPrintf(session.comm(),
                                "update %4d  K %4ld  loss %.6e  relative error of the parameters %.8e\n", update,
                                levels.back(), row.record.loss, row.record.validation));
  }
  refinement.report_course(session.report());
  report(session, e, levels, problem.parameter_error(), problem.counters());
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
