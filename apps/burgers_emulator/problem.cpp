#include "problem.hpp"

#include "espalier/implicit/linear_solve.hpp"
#include "espalier/implicit/sample_krylov.hpp"

using namespace espalier;

namespace burgers_emulator {

namespace {

io::Attributes describe(const Settings& s, const train::EmulatorData& data) {
  io::Attributes settings = data.settings();
  settings.insert(settings.end(),
                  {{"points", s.points}, {"viscosity", s.viscosity}, {"step", s.step}, {"modes", s.modes}});
  return settings;
}

io::GridSeries solve(const Settings& s, const train::EmulatorData& data, const data::ProgressCallback& progress) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_SELF, s.axes());
  train::PhysicsStep exact(
      grid, 1, [&](Vec like, std::int64_t) { return train::exact_solver(step(s, grid), like, implicit::gmres_type); });
  return train::roll_out(
      "burgers_emulator", *grid, train::fourier_states(*grid, s.modes, data), data, describe(s, data),
      [&](const at::Tensor& u) { return exact(u); }, progress);
}

}  // namespace

void Settings::read(core::OptionReader& o) {
  points = o.integer("-burgers_points", "on the periodic line (0, 1)", static_cast<PetscInt>(points), 3);
  viscosity = o.real("-burgers_nu", "viscosity", viscosity, 0);
  step = o.positive("-burgers_dt", "time step", step);
  modes = o.integer("-burgers_modes", "wave numbers 1, 2, ... of the initial states", static_cast<PetscInt>(modes), 1);
}

std::vector<grid::Axis> Settings::axes() const { return {{static_cast<PetscInt>(points), 0, 1}}; }

std::shared_ptr<implicit::Residual> step(const Settings& s, const std::shared_ptr<const grid::CellGrid>& grid) {
  return std::make_shared<implicit::BurgersStep>(grid, implicit::BurgersStepSettings{s.viscosity, s.step});
}

io::GridSeries reference(const Settings& s, const train::EmulatorData& data, MPI_Comm comm) {
  const std::string path =
      data.folder + "/burgers_emulator_" + std::to_string(s.points) + "_seed" + std::to_string(data.seed) + ".h5";
  const data::GridSeriesRecipe recipe{"burgers_emulator", describe(s, data),
                                      [&](const data::ProgressCallback& progress) { return solve(s, data, progress); },
                                      "Burgers"};
  return data::cached_series(path, recipe, comm);
}

}  // namespace burgers_emulator
