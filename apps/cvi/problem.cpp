#include "problem.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/data/series_cache.hpp"
#include "espalier/nn/positive_network.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/ts/integrator.hpp"

namespace cvi {

using namespace espalier;

namespace {

constexpr double least_porosity = 0.5;  // at the start
constexpr double porosity_range = 0.25;
constexpr double bytes_per_mb = 1024 * 1024;

// T / T_ref of each trajectory, those for training first.
std::vector<double> temperatures(const train::FieldDataSettings& data) {
  std::vector<double> all;
  const auto add = [&](long count, double least, double most) {
    for (long r = 0; r < count; ++r)
      all.push_back(least +
                    (most - least) * (count > 1 ? static_cast<double>(r) / static_cast<double>(count - 1) : 0.5));
  };
  add(data.training, 0.96, 1.04);
  add(data.test, 0.95, 1.05);
  return all;
}

io::Attributes settings_of(const Settings& s, const train::FieldDataSettings& data) {
  std::vector<std::string> times;
  for (const double t : data.stored_times()) times.push_back(io::describe(io::Attribute(t)));
  return {{"diffusivity", s.diffusivity},
          {"surface", s.surface},
          {"activation", s.activation},
          {"consumption", s.consumption},
          {"x_cells", data.cells[0]},
          {"y_cells", data.cells[1]},
          {"times", core::join(times)},
          {"reference_step", data.step},
          {"training", data.training},
          {"test", data.test},
          {"seed", data.seed}};
}

// The centres along y and x.
std::vector<io::GridAxis> axes_of(const grid::CellGrid& grid) {
  const at::Tensor centres = grid.centres();
  const std::int64_t columns = grid.extent()[0];
  return {{"y", train::to_vector(centres.select(1, 1).slice(0, 0, c10::nullopt, columns))},
          {"x", train::to_vector(centres.select(1, 0).slice(0, 0, columns))}};
}

// On rank 0's own grid, in natural order.
io::GridSeries solve(const Settings& s, const train::FieldDataSettings& data, const data::ProgressCallback& progress) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_SELF, axes(data));
  implicit::InfiltrationSettings settings;
  settings.consumption = s.consumption;
  settings.prefix = "data_molarity_";
  ts::IntegratorSettings steps;
  steps.method = "rk4";
  steps.step = data.step;
  steps.fit_steps = true;
  steps.prefix = "data_";
  const std::vector<double> t = temperatures(data);
  const at::Tensor temperature = at::tensor(at::ArrayRef<double>(t), at::kDouble).unsqueeze(1);
  const at::Tensor porosity = least_porosity + porosity_range * data.initial_states(grid->centres()).clamp(0, 1);
  at::Tensor state = at::cat({porosity, temperature}, 1).contiguous();
  ts::Integrator integrator(PETSC_COMM_SELF, ts::BatchShape{state.size(0), state.size(1)},
                            {std::make_shared<implicit::InfiltrationTerm>(grid, true_laws(s), settings), nullptr},
                            steps);
  const std::vector<double> times = data.stored_times();
  std::vector<at::Tensor> all = {porosity};
  for (std::size_t i = 1; i < times.size(); ++i) {
    state = integrator.forward(state, {times[i - 1], times[i]}, ts::Record::no)[0].clone();
    all.push_back(state.narrow(1, 0, grid->local_cells()));
    progress(static_cast<long>(i), static_cast<long>(times.size()) - 1);
  }
  io::GridSeries series;
  series.name = "cvi";
  series.axes = axes_of(*grid);
  series.times = times;
  series.trajectories = t.size();
  series.settings = settings_of(s, data);
  series.quantities.push_back({"porosity", true, true, train::to_vector(at::stack(all, 1))});
  series.quantities.push_back({"temperature", true, false, train::to_vector(temperature.expand_as(porosity))});
  return series;
}

}  // namespace

Settings::Settings() {
  network.widths = {1, 16, 16, 1};
  network.activation = nn::Activation::tanh;
  network.initialisation = nn::Initialisation::xavier;
}

void Settings::read(core::OptionReader& o) {
  diffusivity = o.positive("-cvi_diffusivity", "D_0 of the true D = D_0 eps^(3/2)", diffusivity);
  surface = o.positive("-cvi_surface", "s of the true S = s eps sqrt(-ln eps)", surface);
  activation = o.positive("-cvi_activation", "E / (R T_ref) of the true rate", activation);
  consumption = o.positive("-cvi_consumption", "beta, the porosity that a unit of reaction takes", consumption);
  using implicit::Differentiation;
  solve.differentiation = static_cast<Differentiation>(
      o.choice("-cvi_differentiation",
               "implicit: any solver, one transposed solve; unrolled: sweeps of point Jacobi, all of them kept",
               {"implicit", "unrolled"}, static_cast<std::size_t>(solve.differentiation)));
  solve.iterations =
      o.integer("-cvi_iterations", "sweeps of an unrolled solve", static_cast<PetscInt>(solve.iterations), 1);
  const double megabytes = o.real("-cvi_keep_mb",
                                  "memory for molarities that are kept for the adjoint; beyond it they "
                                  "are solved for again",
                                  static_cast<double>(solve.keep_bytes) / bytes_per_mb, 0);
  solve.keep_bytes = static_cast<std::size_t>(megabytes * bytes_per_mb);
  solve.consumption = consumption;
}

const std::vector<std::string>& law_names() {
  static const std::vector<std::string> names = {"diffusivity", "surface", "rate"};
  return names;
}

std::vector<std::shared_ptr<nn::Network>> laws_of(const implicit::InfiltrationLaws& laws) {
  return {laws.diffusivity, laws.surface, laws.rate};
}

implicit::InfiltrationLaws true_laws(const Settings& s) {
  const auto law = [](const char* name, nn::KnownFunction::Formula formula) {
    return std::make_shared<nn::KnownFunction>(name, std::move(formula));
  };
  return {law("D_0 eps^(3/2)", [d = s.diffusivity](const at::Tensor& eps) { return d * eps.pow(1.5); }),
          law("s eps sqrt(-ln eps)", [a = s.surface](const at::Tensor& eps) { return a * eps * (-eps.log()).sqrt(); }),
          law("exp(a (1 - 1/tau))", [a = s.activation](const at::Tensor& tau) { return (a * (1 - 1 / tau)).exp(); })};
}

implicit::InfiltrationLaws learnt_laws(const nn::MlpSettings& network) {
  nn::PositiveNetworkSettings porosity;
  porosity.mlp = network;
  porosity.centre = 0.45;
  porosity.half_width = 0.3;
  nn::PositiveNetworkSettings diffusivity = porosity;
  diffusivity.scale = 0.1;
  nn::PositiveNetworkSettings surface = porosity;
  ++surface.mlp.seed;
  nn::PositiveNetworkSettings rate = surface;
  ++rate.mlp.seed;
  rate.centre = 1;
  rate.half_width = 0.05;
  rate.unit_at = 1;
  const auto make = [](const nn::PositiveNetworkSettings& s) { return std::make_shared<nn::PositiveNetwork>(s); };
  return {make(diffusivity), make(surface), make(rate)};
}

std::vector<grid::Axis> axes(const train::FieldDataSettings& data) {
  auto all = data.axes();
  for (grid::Axis& axis : all) axis.low = axis.high = {grid::BoundaryType::dirichlet, 1};
  return all;
}

io::GridSeries reference(const Settings& settings, const train::FieldDataSettings& data, MPI_Comm comm) {
  data::GridSeriesRecipe recipe;
  recipe.name = "cvi";
  recipe.settings = settings_of(settings, data);
  recipe.generate = [&](const data::ProgressCallback& progress) { return solve(settings, data, progress); };
  return data::cached_series(data.path("cvi"), recipe, comm);
}

at::Tensor states(const io::GridSeries& series, const grid::CellGrid& grid, const std::vector<std::int64_t>& indices) {
  const at::Tensor porosity = train::local_part(series, series.quantity("porosity"), grid)
                                  .index_select(1, at::tensor(at::ArrayRef<std::int64_t>(indices), at::kLong));
  const at::Tensor temperature = train::local_part(series, series.quantity("temperature"), grid).narrow(1, 0, 1);
  return at::cat({porosity, temperature.unsqueeze(1).expand({-1, porosity.size(1), -1})}, 2).contiguous();
}

Objective::Objective(MPI_Comm comm, std::shared_ptr<implicit::InfiltrationTerm> term,
                     const ts::IntegratorSettings& integrator, const std::vector<double>& times)
    : IntegratorObjective(comm, {term, nullptr}, nullptr, integrator, times), term_(std::move(term)) {}

train::Counters Objective::counters() const {
  train::Counters total = IntegratorObjective::counters();
  total.ksp_its_forward += term_->iterations_forward();
  total.ksp_its_adjoint += term_->iterations_adjoint();
  return total;
}

double Objective::checkpoint_bytes() const {
  return IntegratorObjective::checkpoint_bytes() + term_->peak_kept_bytes();
}

}  // namespace cvi
