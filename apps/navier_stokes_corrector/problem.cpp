#include "problem.hpp"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <algorithm>
#include <string>
#include <vector>

#include "espalier/data/filtered_noise.hpp"
#include "espalier/implicit/incompressible_projection.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/petsc/tensor_view.hpp"
#include "espalier/train/rollout.hpp"

using namespace espalier;

namespace navier_stokes_corrector {

namespace {

io::Attributes describe(const Settings& s, const train::EmulatorData& data) {
  io::Attributes settings = data.settings();
  settings.insert(settings.end(), {{"cells", s.cells},
                                   {"fine_cells", s.fine_cells},
                                   {"viscosity", s.viscosity},
                                   {"step", s.step},
                                   {"cutoff", s.cutoff},
                                   {"tolerance", s.tolerance}});
  return settings;
}

/// The fine solver, one trajectory at a time.
class FineFlow {
 public:
  FineFlow(const Settings& settings, long seed);

  /// Filtered noise without divergence, [1, 3, n, n].
  at::Tensor initial(long trajectory);
  at::Tensor next(const at::Tensor& state) { return implicit::linear_solve(*solver_, state); }

 private:
  Settings settings_;
  std::uint64_t seed_;
  std::shared_ptr<const grid::CellGrid> grid_;
  implicit::IncompressibleProjection projection_;
  std::unique_ptr<implicit::LinearSolve> solver_;
};

FineFlow::FineFlow(const Settings& settings, long seed)
    : settings_(settings),
      seed_(static_cast<std::uint64_t>(seed)),
      grid_(unit_square(PETSC_COMM_SELF, settings.fine_cells)),
      projection_(grid_) {
  petsc::VecHandle like;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, static_cast<PetscInt>(3 * grid_->global_cells()), like.out()));
  const auto equation = step(settings, grid_);
  solver_ = std::make_unique<implicit::LinearSolve>(equation, like.get(), "data_");
  KSP ksp = solver_->ksp();
  PC pc = nullptr;
  equation->attach_null_space(ksp);
  ESPALIER_CALL(KSPGMRESSetRestart(ksp, 20));
  ESPALIER_CALL(KSPSetPCSide(ksp, PC_RIGHT));
  ESPALIER_CALL(KSPSetTolerances(ksp, settings.tolerance, PETSC_CURRENT, PETSC_CURRENT, PETSC_CURRENT));
  // With the unknowns field by field, pressures last, their zeros on the diagonal are filled before they are pivots.
  ESPALIER_CALL(KSPGetPC(ksp, &pc));
  ESPALIER_CALL(PCSetType(pc, PCILU));
  ESPALIER_CALL(PCFactorSetLevels(pc, 2));
  ESPALIER_CALL(KSPSetInitialGuessNonzero(ksp, PETSC_TRUE));
  ESPALIER_CALL(KSPSetFromOptions(ksp));
}

at::Tensor FineFlow::initial(long trajectory) {
  const std::int64_t n = settings_.fine_cells;
  const auto points = static_cast<std::size_t>(n);
  const data::FilteredNoiseSettings noise{points, points, static_cast<std::size_t>(settings_.cutoff), seed_};
  const petsc::VecHandle state = solver_->make_vec();
  {
    const petsc::TensorView view(state.get(), {3, n * n}, petsc::Access::write);
    view.tensor().zero_();
    for (long d = 0; d < 2; ++d) {
      const std::vector<double> field = data::filtered_noise(noise, static_cast<std::size_t>(2 * trajectory + d));
      view.tensor()[d].copy_(at::tensor(at::ArrayRef<double>(field), at::kDouble));
    }
  }
  projection_.apply(state.get());
  return petsc::TensorView(state.get(), {1, 3, n, n}, petsc::Access::read).tensor().clone();
}

/// Row i: what the point i / m is made of, of the points j / n on a periodic line.
at::Tensor points_between(std::int64_t n, std::int64_t m) {
  at::Tensor weights = at::zeros({m, n}, at::kDouble);
  auto w = weights.accessor<double, 2>();
  for (std::int64_t i = 0; i < m; ++i) {
    const double right = static_cast<double>(i * n % m) / static_cast<double>(m);
    w[i][i * n / m] += 1 - right;
    w[i][(i * n / m + 1) % n] += right;
  }
  return weights;
}

/// Row i: the parts of the cell (i, i + 1) / m that lie in the cells (j, j + 1) / n.
at::Tensor mean_over_cells(std::int64_t n, std::int64_t m) {
  at::Tensor weights = at::zeros({m, n}, at::kDouble);
  auto w = weights.accessor<double, 2>();
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = i * n / m; j * m < (i + 1) * n; ++j)
      w[i][j] =
          static_cast<double>(std::min((i + 1) * n, (j + 1) * m) - std::max(i * n, j * m)) / static_cast<double>(n);
  return weights;
}

std::vector<io::GridAxis> axes_of(long n) {
  io::GridAxis axis{"y", {}};
  for (long i = 0; i < n; ++i) axis.centres.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(n));
  io::GridAxis x = axis;
  x.name = "x";
  return {axis, x};
}

io::GridSeries solve(const Settings& s, const train::EmulatorData& data, const data::ProgressCallback& progress) {
  const torch::NoGradGuard no_graph;
  FineFlow flow(s, data.seed);
  io::GridSeries series;
  series.name = "navier_stokes_corrector";
  series.settings = describe(s, data);
  series.axes = axes_of(s.cells);
  series.trajectories = static_cast<std::size_t>(data.trajectories());
  for (long t = 0; t <= data.steps; ++t) series.times.push_back(s.step * static_cast<double>(t));
  std::vector<at::Tensor> states;
  for (long trajectory = 0; trajectory < data.trajectories(); ++trajectory) {
    at::Tensor state = flow.initial(trajectory);
    for (long t = 0; t <= data.steps; ++t) {
      if (t > 0) state = flow.next(state);
      states.push_back(restrict_velocity(state[0].narrow(0, 0, 2), s.cells));
    }
    progress(trajectory + 1, data.trajectories());
  }
  const at::Tensor all = at::stack(states);
  series.quantities = {{"u", true, true, train::to_vector(all.select(1, 0))},
                       {"v", true, true, train::to_vector(all.select(1, 1))}};
  return series;
}

}  // namespace

void Settings::read(core::OptionReader& o) {
  constexpr PetscInt most = 4096;
  cells = o.integer("-flow_cells", "along each axis", static_cast<PetscInt>(cells), 3, most);
  fine_cells = o.integer("-flow_fine_cells", "along each axis, of the reference", static_cast<PetscInt>(fine_cells),
                         static_cast<PetscInt>(cells), most);
  viscosity = o.real("-flow_nu", "viscosity", viscosity, 0);
  step = o.positive("-flow_dt", "time step of both solvers", step);
  cutoff = o.integer("-flow_cutoff", "largest wave number of the initial states", static_cast<PetscInt>(cutoff), 1);
  tolerance = o.positive("-data_tolerance", "relative, of the reference's solves", tolerance);
}

std::shared_ptr<const grid::CellGrid> unit_square(MPI_Comm comm, long n) {
  const grid::Axis axis{static_cast<PetscInt>(n), 0, 1, {}, {}};
  return std::make_shared<const grid::CellGrid>(comm, std::vector<grid::Axis>{axis, axis});
}

std::shared_ptr<implicit::NavierStokesStep> step(const Settings& s, const std::shared_ptr<const grid::CellGrid>& grid) {
  return std::make_shared<implicit::NavierStokesStep>(grid, implicit::NavierStokesStepSettings{s.viscosity, s.step});
}

at::Tensor restrict_velocity(const at::Tensor& fine, std::int64_t m) {
  const std::int64_t n = fine.size(2);
  const at::Tensor along = points_between(n, m);
  const at::Tensor across = mean_over_cells(n, m);
  return at::stack({across.matmul(fine[0]).matmul(along.t()), along.matmul(fine[1]).matmul(across.t())})
      .view({2, m * m});
}

io::GridSeries reference(const Settings& s, const train::EmulatorData& data, MPI_Comm comm) {
  const std::string path =
      data.folder + "/navier_stokes_corrector_" + std::to_string(s.cells) + "_seed" + std::to_string(data.seed) + ".h5";
  const data::GridSeriesRecipe recipe{"navier_stokes_corrector", describe(s, data),
                                      [&](const data::ProgressCallback& progress) { return solve(s, data, progress); },
                                      "Navier-Stokes"};
  return data::cached_series(path, recipe, comm);
}

}  // namespace navier_stokes_corrector
