#include "espalier/train/field_data.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/data/gaussian_process.hpp"
#include "espalier/model/grid_fields.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

namespace {

constexpr const char* axis_names[] = {"x", "y", "z"};
constexpr double time_tolerance = 1e-9;
constexpr long length_scales = 5;
constexpr long seeds_per_set = 1000;

std::string list(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(io::describe(io::Attribute(value)));
  return core::join(texts);
}

/// The settings of the equation with those of its data.
io::Attributes all_settings(const FieldProblem& problem) {
  const FieldDataSettings& data = problem.data;
  io::Attributes settings = problem.settings;
  settings.insert(settings.end(), {{"x_cells", data.cells[0]},
                                   {"y_cells", data.cells[1]},
                                   {"times", list(data.stored_times())},
                                   {"reference_step", data.step},
                                   {"training", data.training},
                                   {"test", data.test},
                                   {"seed", data.seed}});
  return settings;
}

std::vector<io::GridAxis> axes_of(const FieldProblem& problem) {
  std::vector<io::GridAxis> axes;
  const std::vector<grid::Axis> all_axes = problem.data.axes();
  for (std::size_t d = all_axes.size(); d-- > 0;) {
    const grid::Axis& axis = all_axes[d];
    io::GridAxis all{axis_names[d], {}};
    const double h = (axis.upper - axis.lower) / static_cast<double>(axis.cells);
    for (PetscInt i = 0; i < axis.cells; ++i) all.centres.push_back(axis.lower + (static_cast<double>(i) + 0.5) * h);
    axes.push_back(std::move(all));
  }
  return axes;
}

void add_fields(io::GridSeries& series, const FieldProblem& problem, const at::Tensor& points) {
  for (std::size_t k = 0; k < problem.field_names.size(); ++k) {
    io::GridQuantity quantity{problem.field_names[k], false, problem.fields_move, {}};
    const std::size_t count = problem.fields_move ? series.times.size() : 1;
    for (std::size_t i = 0; i < count; ++i) {
      const auto values = to_vector(problem.fields(points, series.times[i])[static_cast<std::int64_t>(k)]);
      quantity.values.insert(quantity.values.end(), values.begin(), values.end());
    }
    series.quantities.push_back(std::move(quantity));
  }
}

}  // namespace

void FieldDataSettings::read(core::OptionReader& o) {
  cells = o.integers("-data_cells", "cells along x and y", cells, 4);
  ESPALIER_REQUIRE(cells.size() == 2, "-data_cells takes two numbers, such as 128,64");
  horizon = o.positive("-data_horizon", "T, the end of the reference data", horizon);
  interval = o.positive("-data_interval", "time between stored states", interval);
  more_times = o.reals("-data_times", "times of stored states that are no multiples of -data_interval", more_times);
  step = o.positive("-data_step", "step of the reference solution (RK4)", step);
  training = o.integer("-data_training", "initial states of the training distribution, which come first",
                       static_cast<PetscInt>(training), 1);
  test = o.integer("-data_test", "initial states out of distribution", static_cast<PetscInt>(test), 0);
  seed = o.integer("-data_seed", "seed of fields and initial states", static_cast<PetscInt>(seed), 0);
  folder = o.text("-data_dir", "folder where generated reference data is cached", folder);
}

std::vector<grid::Axis> FieldDataSettings::axes() const { return {{cells[0], -1, 1}, {cells[1], 0, 1}}; }

std::vector<double> FieldDataSettings::stored_times() const {
  std::vector<double> times;
  const long count = std::max(1L, std::lround(horizon / interval));
  for (long k = 0; k <= count; ++k) times.push_back(static_cast<double>(k) * horizon / static_cast<double>(count));
  for (const double t : more_times) {
    ESPALIER_REQUIRE(t > 0 && t <= horizon,
                     "-data_times: " + std::to_string(t) + " is outside (0, T], T the -data_horizon");
    const bool known = std::any_of(times.begin(), times.end(),
                                   [&](double other) { return std::abs(other - t) <= time_tolerance * horizon; });
    if (!known) times.push_back(t);
  }
  std::sort(times.begin(), times.end());
  return times;
}

// Length scales 0.3 + 0.1 f, and for those out of distribution 0.1 + f.
at::Tensor FieldDataSettings::initial_states(const at::Tensor& points) const {
  std::vector<at::Tensor> states;
  for (long r = 0; r < training + test; ++r) {
    const bool trains = r < training;
    const double f = 0.2 * static_cast<double>((trains ? r : r - training) % length_scales);
    data::GaussianProcessSettings process;
    process.reference = reference_cells();
    process.length_scale = trains ? 0.3 + 0.1 * f : 0.1 + f;
    process.seed = static_cast<std::uint64_t>(seeds_per_set * seed + r);
    states.push_back(data::GaussianProcess(process).evaluate_scaled(points));
  }
  return at::stack(states);
}

std::vector<std::size_t> FieldDataSettings::reference_cells() const {
  return {static_cast<std::size_t>(cells[0]), static_cast<std::size_t>(cells[1])};
}

std::uint64_t FieldDataSettings::field_seed(int k) const {
  return static_cast<std::uint64_t>(seeds_per_set * seed + seeds_per_set / 2 + k);
}

std::string FieldDataSettings::path(const std::string& name) const {
  return folder + "/" + name + "_" + std::to_string(cells[0]) + "x" + std::to_string(cells[1]) + "_seed" +
         std::to_string(seed) + ".h5";
}

io::GridSeries solve_reference(const FieldProblem& problem, const data::ProgressCallback& progress) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_SELF, problem.data.axes(), problem.stencil_width);
  const at::Tensor points = grid->centres();
  const std::vector<double> times = problem.data.stored_times();
  const auto values_at = [&](double t) { return problem.fields(points, t).contiguous(); };
  const auto fields = problem.fields_move
                          ? std::make_shared<model::KnownFields>(problem.field_names, values_at)
                          : std::make_shared<model::KnownFields>(problem.field_names, values_at(times.front()));
  ts::IntegratorSettings settings;
  settings.method = "rk4";
  settings.step = problem.data.step;
  settings.fit_steps = true;
  settings.prefix = "data_";
  at::Tensor state = problem.data.initial_states(points);
  ts::Integrator integrator(PETSC_COMM_SELF, ts::BatchShape{state.size(0), state.size(1)},
                            model::SplitSystem{nullptr, problem.make_term(grid, fields)}, settings);
  const auto count = static_cast<std::int64_t>(times.size());
  const at::Tensor states = at::empty({state.size(0), count, state.size(1)}, state.options());
  states.select(1, 0).copy_(state);
  for (std::int64_t i = 1; i < count; ++i) {
    const std::size_t at = static_cast<std::size_t>(i);
    state = integrator.forward(state, {times[at - 1], times[at]}, ts::Record::no)[0].clone();
    states.select(1, i).copy_(state);
    progress(static_cast<long>(i), static_cast<long>(count) - 1);
  }
  io::GridSeries series;
  series.name = problem.name;
  series.axes = axes_of(problem);
  series.times = times;
  series.trajectories = static_cast<std::size_t>(states.size(0));
  series.settings = all_settings(problem);
  series.quantities.push_back({"state", true, true, to_vector(states)});
  add_fields(series, problem, points);
  return series;
}

io::GridSeries cached_reference(const FieldProblem& problem, MPI_Comm comm) {
  data::GridSeriesRecipe recipe;
  recipe.name = problem.name;
  recipe.settings = all_settings(problem);
  recipe.generate = [&](const data::ProgressCallback& progress) { return solve_reference(problem, progress); };
  return data::cached_series(problem.data.path(problem.name), recipe, comm);
}

}  // namespace espalier::train
