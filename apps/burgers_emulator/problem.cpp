#include "problem.hpp"

#include "espalier/implicit/linear_solve.hpp"
#include "espalier/implicit/root_solve.hpp"
#include "espalier/implicit/sample_krylov.hpp"
#include "espalier/model/finite_volume_term.hpp"

using namespace espalier;

namespace burgers_emulator {

namespace {

const std::vector<std::string> step_names = {"linearised", "newton"};

io::Attributes describe(const Settings& s, const train::EmulatorData& data) {
  io::Attributes settings = data.settings();
  settings.insert(settings.end(), {{"points", s.points},
                                   {"viscosity", s.viscosity},
                                   {"step", s.step},
                                   {"modes", s.modes},
                                   {"newton", static_cast<long>(s.newton ? 1 : 0)}});
  return settings;
}

std::shared_ptr<implicit::Residual> linearised(const Settings& s, const std::shared_ptr<const grid::CellGrid>& grid) {
  return std::make_shared<implicit::BurgersStep>(grid, implicit::BurgersStepSettings{s.viscosity, s.step});
}

std::shared_ptr<implicit::Residual> nonlinear(const Settings& s, const std::shared_ptr<const grid::CellGrid>& grid) {
  model::FiniteVolumeSettings settings;
  settings.advection = model::Advection::burgers;
  settings.scheme = model::FaceScheme::upwind;
  settings.velocity = {1};
  settings.diffusivity = s.viscosity;
  return std::make_shared<implicit::ThetaStep>(std::make_shared<model::FiniteVolumeTerm>(grid, settings), 1.0, s.step);
}

io::GridSeries solve(const Settings& s, const train::EmulatorData& data, const data::ProgressCallback& progress) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_SELF, s.axes());
  train::PhysicsStep exact(grid, 1, [&](Vec like, std::int64_t) {
    return s.newton ? make_solver(s, grid, like, "data_")
                    : train::exact_solver(linearised(s, grid), like, implicit::gmres_type);
  });
  return train::roll_out(
      "burgers_emulator", *grid, train::fourier_states(*grid, s.modes, data), data, describe(s, data),
      [&](const at::Tensor& u) { return exact(u); }, progress);
}

}  // namespace

void Settings::read(core::OptionReader& o) {
  points = o.integer("-burgers_points", "on the periodic line (0, 1)", static_cast<PetscInt>(points), 3);
  viscosity = o.real("-burgers_nu", "viscosity", viscosity, 0);
  step = o.positive("-burgers_dt", "time step", step);
  newton =
      o.choice("-burgers_step", "with the winds of the state before, or nonlinear", step_names, newton ? 1 : 0) == 1;
  modes = o.integer("-burgers_modes", "wave numbers 1, 2, ... of the initial states", static_cast<PetscInt>(modes), 1);
}

std::vector<grid::Axis> Settings::axes() const { return {{static_cast<PetscInt>(points), 0, 1}}; }

std::unique_ptr<implicit::DifferentiableSolve> make_solver(const Settings& s,
                                                           const std::shared_ptr<const grid::CellGrid>& grid, Vec like,
                                                           const std::string& prefix) {
  if (!s.newton)
    return train::with_default_solver(std::make_unique<implicit::LinearSolve>(linearised(s, grid), like, prefix),
                                      implicit::gmres_type, PCNONE);
  implicit::RootSettings settings;
  settings.prefix = prefix;
  return std::make_unique<implicit::RootSolve>(nonlinear(s, grid), like, settings);
}

io::GridSeries reference(const Settings& s, const train::EmulatorData& data, MPI_Comm comm) {
  const std::string path = data.folder + "/burgers_emulator_" + (s.newton ? "newton_" : "") + std::to_string(s.points) +
                           "_seed" + std::to_string(data.seed) + ".h5";
  const data::GridSeriesRecipe recipe{"burgers_emulator", describe(s, data),
                                      [&](const data::ProgressCallback& progress) { return solve(s, data, progress); },
                                      "Burgers"};
  return data::cached_series(path, recipe, comm);
}

}  // namespace burgers_emulator
