#include "problem.hpp"

#include "espalier/implicit/linear_solve.hpp"
#include "espalier/model/finite_volume_term.hpp"

using namespace espalier;

namespace heat_emulator {

namespace {

const std::vector<std::string> boundary_names = {"dirichlet", "periodic"};

io::Attributes describe(const Settings& s, const train::EmulatorData& data) {
  io::Attributes settings = data.settings();
  settings.insert(settings.end(), {{"dimension", static_cast<long>(s.dimension)},
                                   {"points", s.points},
                                   {"periodic", static_cast<long>(s.periodic ? 1 : 0)},
                                   {"diffusivity", s.diffusivity},
                                   {"step", s.step},
                                   {"modes", s.modes}});
  return settings;
}

io::GridSeries solve(const Settings& s, const train::EmulatorData& data, const data::ProgressCallback& progress) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_SELF, s.axes());
  train::PhysicsStep exact(grid, 1,
                           [&](Vec like, std::int64_t) { return train::exact_solver(step(s, grid), like, KSPCG); });
  return train::roll_out(
      "heat", *grid, train::fourier_states(*grid, s.modes, data), data, describe(s, data),
      [&](const at::Tensor& u) { return exact(u); }, progress);
}

}  // namespace

void Settings::read(core::OptionReader& o) {
  dimension = static_cast<int>(o.integer("-heat_dimension", "of the domain (0, 1)^d", dimension, 1, 3));
  points = o.integer("-heat_points", "along each axis", static_cast<PetscInt>(points), 3);
  periodic = o.choice("-heat_boundary", "u = 0 at the ends, or periodic", boundary_names, periodic ? 1 : 0) == 1;
  diffusivity = o.positive("-heat_nu", "diffusivity", diffusivity);
  step = o.positive("-heat_dt", "time step", step);
  modes = o.integer("-heat_modes", "wave numbers 1, 2, ... of the initial states", static_cast<PetscInt>(modes), 1);
}

std::vector<grid::Axis> Settings::axes() const {
  const auto n = static_cast<PetscInt>(points);
  return {static_cast<std::size_t>(dimension), periodic ? grid::Axis{n, 0, 1} : grid::point_axis(n)};
}

std::shared_ptr<implicit::Residual> step(const Settings& s, const std::shared_ptr<const grid::CellGrid>& grid) {
  model::FiniteVolumeSettings diffusion;
  diffusion.advection = model::Advection::none;
  diffusion.velocity.assign(static_cast<std::size_t>(s.dimension), 0);
  diffusion.diffusivity = s.diffusivity;
  return std::make_shared<implicit::ThetaStep>(std::make_shared<model::FiniteVolumeTerm>(grid, diffusion), 1.0, s.step);
}

io::GridSeries reference(const Settings& s, const train::EmulatorData& data, MPI_Comm comm) {
  const std::string path = data.folder + "/heat_" + std::to_string(s.dimension) + "d_" + std::to_string(s.points) +
                           "_seed" + std::to_string(data.seed) + ".h5";
  const data::GridSeriesRecipe recipe{"heat", describe(s, data),
                                      [&](const data::ProgressCallback& progress) { return solve(s, data, progress); },
                                      "Heat"};
  return data::cached_series(path, recipe, comm);
}

}  // namespace heat_emulator
