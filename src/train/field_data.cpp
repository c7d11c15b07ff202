#include "espalier/train/field_data.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/model/grid_fields.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

namespace {

constexpr const char* axis_names[] = {"x", "y", "z"};

std::string list(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(io::describe(io::Attribute(value)));
  return core::join(texts);
}

/// The settings of the problem with those of its grid, times and step.
io::Attributes all_settings(const FieldProblem& problem) {
  io::Attributes settings = problem.settings;
  for (std::size_t d = 0; d < problem.axes.size(); ++d) {
    const grid::Axis& axis = problem.axes[d];
    const std::string name = axis_names[d];
    settings.emplace_back(name + "_cells", static_cast<std::int64_t>(axis.cells));
    settings.emplace_back(name + "_lower", axis.lower);
    settings.emplace_back(name + "_upper", axis.upper);
    for (const auto* end : {&axis.low, &axis.high}) {
      const std::string side = name + (end == &axis.low ? "_low" : "_high");
      settings.emplace_back(side, grid::boundary_names()[static_cast<std::size_t>(end->type)]);
      settings.emplace_back(side + "_value", end->value);
    }
  }
  settings.emplace_back("times", list(problem.times));
  settings.emplace_back("reference_step", problem.step);
  return settings;
}

std::vector<io::GridAxis> axes_of(const FieldProblem& problem) {
  std::vector<io::GridAxis> axes;
  for (std::size_t d = problem.axes.size(); d-- > 0;) {
    const grid::Axis& axis = problem.axes[d];
    io::GridAxis all{axis_names[d], {}};
    const double h = (axis.upper - axis.lower) / static_cast<double>(axis.cells);
    for (PetscInt i = 0; i < axis.cells; ++i)
      all.centres.push_back(axis.lower + (static_cast<double>(i) + 0.5) * h);
    axes.push_back(std::move(all));
  }
  return axes;
}

void add_fields(io::GridSeries& series, const FieldProblem& problem, const at::Tensor& points) {
  for (std::size_t k = 0; k < problem.field_names.size(); ++k) {
    io::GridQuantity quantity{problem.field_names[k], false, problem.fields_move, {}};
    const std::size_t count = problem.fields_move ? problem.times.size() : 1;
    for (std::size_t i = 0; i < count; ++i) {
      const auto values = to_vector(problem.fields(points, problem.times[i])[static_cast<std::int64_t>(k)]);
      quantity.values.insert(quantity.values.end(), values.begin(), values.end());
    }
    series.quantities.push_back(std::move(quantity));
  }
}

}  // namespace

io::GridSeries solve_reference(const FieldProblem& problem, const data::ProgressCallback& progress) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_SELF, problem.axes, problem.stencil_width);
  const at::Tensor points = grid->centres();
  const auto values_at = [&](double t) { return problem.fields(points, t).contiguous(); };
  const auto fields = problem.fields_move
                          ? std::make_shared<model::KnownFields>(problem.field_names, values_at)
                          : std::make_shared<model::KnownFields>(problem.field_names, values_at(problem.times.front()));
  ts::IntegratorSettings settings;
  settings.method = "rk4";
  settings.step = problem.step;
  settings.fit_steps = true;
  settings.prefix = "data_";
  at::Tensor state = problem.initial_states(points).contiguous();
  ts::Integrator integrator(PETSC_COMM_SELF, {state.size(0), state.size(1)}, {nullptr, problem.make_term(grid, fields)},
                            settings);
  const auto count = static_cast<std::int64_t>(problem.times.size());
  const at::Tensor states = at::empty({state.size(0), count, state.size(1)}, state.options());
  states.select(1, 0).copy_(state);
  for (std::int64_t i = 1; i < count; ++i) {
    const std::size_t at = static_cast<std::size_t>(i);
    state = integrator.forward(state, {problem.times[at - 1], problem.times[at]}, ts::Record::no)[0].clone();
    states.select(1, i).copy_(state);
    progress(static_cast<long>(i), static_cast<long>(count) - 1);
  }
  io::GridSeries series;
  series.name = problem.name;
  series.axes = axes_of(problem);
  series.times = problem.times;
  series.trajectories = static_cast<std::size_t>(states.size(0));
  series.settings = all_settings(problem);
  series.quantities.push_back({"state", true, true, to_vector(states)});
  add_fields(series, problem, points);
  return series;
}

io::GridSeries cached_reference(const std::string& path, const FieldProblem& problem, MPI_Comm comm) {
  data::GridSeriesRecipe recipe;
  recipe.name = problem.name;
  recipe.settings = all_settings(problem);
  recipe.generate = [&](const data::ProgressCallback& progress) { return solve_reference(problem, progress); };
  return data::cached_series(path, recipe, comm);
}

}  // namespace espalier::train
