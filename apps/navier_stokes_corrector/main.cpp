// Networks that correct a flow solver, trained through it (Bhatia, Koehler & Thuerey 2025, section 4.4).
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "experiment.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "navier_stokes_corrector",
    "Trains a network to correct a coarse flow solver, through the solver itself.\n\n"
    "    u_t + (u . grad) u = -grad p + nu lap u,  div u = 0 on (0, 1)^2, periodic, all dimensionless\n"
    "    A(s_t) x_(t+1) = b(s_t),  x = (u, v, p)                backward Euler, linearised; -physics_*\n"
    "    s_(t+1) = (u, v)_(t+1) + N(x_(t+1); theta)             K cycles of GMRES(m), then the network\n\n"
    "The loss compares s_1 and s_2 with a reference on a finer grid; its gradient takes K cycles for the transposed\n"
    "system. With -prdp K grows when the validation error, of -corrector_steps corrected steps with converged solves,\n"
    "stops falling.\n"
    "(K. Bhatia, F. Koehler, N. Thuerey, Progressively Refined Differentiable Physics, 2025; K. Um and others, Solver\n"
    "in the Loop, 2020.)\n"};

/// The paper's settings.
navier_stokes_corrector::Experiment paper() {
  navier_stokes_corrector::Experiment e;
  e.refinement.control.tau_step = 0.98;
  e.refinement.control.ema = 6;
  e.refinement.early_exit = 1e-5;
  e.network.hidden = 64;
  e.network.blocks = 3;
  e.network.single_precision = true;
  e.training.epochs = 100;
  e.training.batch_size = 25;
  e.training.schedule.name = "cosine";
  e.training.schedule.floor = 0.1;
  for (const std::string solve : {"-physics_", "-physics_adjoint_"})
    core::default_option(solve + "ksp_espalier_gmres_restart", "8");
  return e;
}

void run_experiment(core::Session& session) {
  navier_stokes_corrector::Experiment e = paper();
  e.read(session.comm());
  if (session.help_requested()) return;
  navier_stokes_corrector::run(session, e);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
