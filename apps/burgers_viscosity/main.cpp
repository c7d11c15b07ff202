// Hidden viscosity of a scalar Burgers equation in the plane (Akhare, Luo & Wang 2025, section 3.1.3).
#include "espalier/core/session.hpp"
#include "espalier/train/field_inference.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "burgers_viscosity",
    "Infers the viscosity of a scalar Burgers equation from a few snapshots of its solutions.\n\n"
    "    u_t + c_x (u^2/2)_x + c_y (u^2/2)_y = div(nu grad u),   [-1, 1] x [0, 1], periodic, c = (1, 0.8), all\n"
    "    dimensionless\n\n"
    "nu(x, y), up to 1e-2, is hidden; a conditional neural field stands for it. The equation is discretised by finite\n"
    "volumes and integrated by -method (Crank-Nicolson: each step solves a nonlinear system, -snes_* and -ksp_*); the\n"
    "loss is the mean squared error of the states at -label_times, its gradient the exact discrete adjoint\n"
    "(-adjoint_ksp_*), chained through the field. -train_epochs 0 -train_start FILE predicts only.\n"
    "(D. Akhare, T. Luo, J.-X. Wang, Implicit Neural Differential Model for Spatiotemporal Dynamics, 2025.)\n"};

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  burgers_viscosity::Settings settings;
  train::FieldDataSettings data;
  data.horizon = 1;
  data.interval = 0.05;
  train::FieldInference e;
  e.title = "Burgers with hidden viscosity";
  e.settings.label_times = {0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35};
  e.settings.evaluation_times = {0.25, 0.5, 0.75, 1};
  e.field.names = {"diffusivity"};
  e.field.scale = {1e-2};
  e.field.offset = {5e-3};
  e.read(comm, data, "-burgers_", [&](core::OptionReader& o) { settings.read(o); });
  if (session.help_requested()) return;

  e.data = train::cached_reference(burgers_viscosity::truth(settings, data), comm);
  const PetscInt width = settings.scheme == model::FaceScheme::limited ? 2 : 1;
  e.grid = std::make_shared<const grid::CellGrid>(comm, data.axes(), width);
  e.make_term = burgers_viscosity::equation(settings, settings.scheme, settings.floor);
  train::infer_fields(session, e);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
