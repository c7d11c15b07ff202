// Hidden velocities of an advection-diffusion equation (Akhare, Luo & Wang 2025, sections 3.1.1 and 3.1.2).
#include "espalier/core/session.hpp"
#include "espalier/train/field_inference.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "advection_diffusion",
    "Infers the velocity of an advection-diffusion equation from a few snapshots of its solutions.\n\n"
    "    u_t + (v_x u)_x + (v_y u)_y = D (u_xx + u_yy),   [-1, 1] x [0, 1], periodic, D = 1e-3, all dimensionless\n\n"
    "v_x and v_y in [0, 1] are hidden, steady or (-advection_moving) not; a conditional neural field stands for them.\n"
    "The equation is discretised by finite volumes and integrated by -method (Crank-Nicolson: each step solves a "
    "linear\n"
    "system, -ksp_*); the loss is the mean squared error of the states at -label_times, its gradient the exact "
    "discrete\n"
    "adjoint (-adjoint_ksp_*), chained through the field. -train_epochs 0 -train_start FILE predicts only.\n"
    "(D. Akhare, T. Luo, J.-X. Wang, Implicit Neural Differential Model for Spatiotemporal Dynamics, 2025.)\n"};

void run_experiment(core::Session& session) {
  const MPI_Comm comm = session.comm();
  advection_diffusion::Settings settings;
  train::FieldDataSettings data;
  train::FieldInference e;
  e.title = "Advection-diffusion";
  e.settings.label_times = {0.05};
  e.settings.evaluation_times = {0.05, 0.1, 0.15, 0.2};
  e.field.names = {"velocity_x", "velocity_y"};
  e.read(comm, data, "-advection_", [&](core::OptionReader& o) { settings.read(o); });
  if (session.help_requested()) return;

  e.data = train::cached_reference(advection_diffusion::truth(settings, data), comm);
  const PetscInt width = settings.scheme == model::FaceScheme::limited ? 2 : 1;
  e.grid = std::make_shared<const grid::CellGrid>(comm, data.axes(), width);
  e.motion = settings.moving ? model::Motion::moving : model::Motion::steady;
  e.make_term = advection_diffusion::equation(settings, settings.scheme);
  train::infer_fields(session, e);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
