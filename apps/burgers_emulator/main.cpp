// Networks that emulate a step of Burgers' equation (Bhatia, Koehler & Thuerey 2025, section 4.3).
#include "espalier/core/session.hpp"
#include "espalier/train/emulator.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "burgers_emulator",
    "Trains a network to take a step of Burgers' equation, through the solver of the step after it.\n\n"
    "    u_t + u u_x = nu u_xx on (0, 1), periodic, all dimensionless\n"
    "    (I + dt Gamma(u_t) - dt nu L) u_(t+1) = u_t    backward Euler, Gamma upwind with the winds of u_t; "
    "-physics_*\n"
    "    u_1 = f(u_0; theta),  u_2 = P_K(u_1)            a step by the network, a step by K cycles of GMRES(m)\n\n"
    "The matrix depends on what the network says, and so does the loss |u_2 - reference|^2, whose gradient takes K\n"
    "cycles for the transposed system. -burgers_step newton solves the nonlinear step, K counts Newton's iterations.\n"
    "With -prdp K grows when the validation error, of -emulator_steps steps of the\n"
    "network alone, stops falling.\n"
    "(K. Bhatia, F. Koehler, N. Thuerey, Progressively Refined Differentiable Physics, 2025.)\n"};

/// The paper's settings.
train::Emulator paper() {
  train::Emulator e;
  e.title = "Burgers emulator";
  e.settings.steps = 5;
  e.refinement.control.tau_step = 0.9;
  e.refinement.control.ema = 15;
  e.refinement.control.k0 = 4;
  e.refinement.early_exit = 1e-5;
  e.network.kind = nn::GridNetworkKind::resnet;
  e.network.resnet.single_precision = true;
  e.training.epochs = 100;
  e.training.batch_size = 25;
  e.training.schedule.name = "exponential";
  e.training.schedule.factor = 0.7;
  e.training.schedule.every = 12.5;
  for (const std::string solve : {"-physics_", "-physics_adjoint_"})
    core::default_option(solve + "ksp_espalier_gmres_restart", "2");
  return e;
}

void run_experiment(core::Session& session) {
  burgers_emulator::Settings equation;
  train::Emulator e = paper();
  train::read_emulator(session.comm(), e, "-burgers_", [&](core::OptionReader& o) {
    equation.read(o);
    e.network.resnet.cells = {equation.points};
  });
  if (session.help_requested()) return;
  e.data = burgers_emulator::reference(equation, e.samples, session.comm());
  e.grid = std::make_shared<const grid::CellGrid>(session.comm(), equation.axes());
  e.make_solver = [&](Vec like, std::int64_t) {
    return burgers_emulator::make_solver(equation, e.grid, like, "physics_");
  };
  train::train_emulator(session, e);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
