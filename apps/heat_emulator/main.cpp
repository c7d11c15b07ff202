// Networks that emulate a step of the heat equation (Bhatia, Koehler & Thuerey 2025, sections 2.3 and 4.2).
#include "espalier/core/session.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/train/emulator.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "heat_emulator",
    "Trains a network to take a step of the heat equation, through the solver of the step after it.\n\n"
    "    u_t = nu Laplace u on (0, 1)^d, u = 0 on the boundary or periodic, all dimensionless\n"
    "    (I - nu dt L) u_(t+1) = u_t                   backward Euler, -physics_ksp_*\n"
    "    u_1 = f(u_0; theta),  u_2 = P_K(u_1)           a step by the network, a step by K iterations\n\n"
    "The loss is the mean squared error of u_2, its gradient that of K iterations of the transposed system. With "
    "-prdp\n"
    "K grows when the validation error, of -emulator_steps steps of the network alone, stops falling.\n"
    "(K. Bhatia, F. Koehler, N. Thuerey, Progressively Refined Differentiable Physics, 2025.)\n"};

/// The settings of the heat equation on a line.
train::Emulator on_a_line() {
  train::Emulator e;
  e.title = "Heat emulator";
  e.settings.norm = train::EmulatorNorm::first;
  e.refinement.control.tau_step = 0.98;
  e.refinement.control.ema = 8;
  e.network.mlp.widths = {64, 64, 64};
  e.training.epochs = 100;
  e.training.batch_size = 25;
  e.training.schedule.name = "exponential";
  e.training.schedule.factor = 0.94;
  e.training.schedule.every = 12.5;
  return e;
}

void run_experiment(core::Session& session) {
  heat_emulator::Settings equation;
  train::Emulator e = on_a_line();
  train::read_emulator(session.comm(), e, "-heat_", [&](core::OptionReader& o) {
    equation.read(o);
    e.network.resnet.cells.assign(static_cast<std::size_t>(equation.dimension), equation.points);
    e.network.resnet.boundary = equation.periodic ? nn::ResnetBoundary::circular : nn::ResnetBoundary::zero;
  });
  if (session.help_requested()) return;
  e.data = heat_emulator::reference(equation, e.samples, session.comm());
  e.grid = std::make_shared<const grid::CellGrid>(session.comm(), equation.axes());

  // K sweeps of Jacobi's method, or any other KSP.
  e.make_solver = [&](Vec like, std::int64_t) {
    return train::with_default_solver(
        std::make_unique<implicit::LinearSolve>(heat_emulator::step(equation, e.grid), like, "physics_"), KSPRICHARDSON,
        PCJACOBI);
  };
  train::train_emulator(session, e);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
