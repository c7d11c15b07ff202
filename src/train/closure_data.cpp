#include "espalier/train/closure_data.hpp"

#include <ATen/ATen.h>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/data/series_cache.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

namespace {

constexpr const char* axis_names[] = {"x", "y", "z"};

/// The mean of the fine cells in each coarse one: [R, fields, local coarse cells].
at::Tensor averages(const at::Tensor& states, const grid::CellGrid& fine, std::int64_t fields,
                    std::int64_t refinement) {
  std::vector<std::int64_t> shape = {states.size(0), fields};
  std::vector<std::int64_t> inner;
  for (int d = fine.dimension() - 1; d >= 0; --d) {
    shape.push_back(fine.extent()[static_cast<std::size_t>(d)] / refinement);
    inner.push_back(static_cast<std::int64_t>(shape.size()));
    shape.push_back(refinement);
  }
  return states.view(shape).mean(inner).flatten(2);
}

io::GridSeries header(const ClosureProblem& problem, const ClosureDataSettings& settings) {
  io::GridSeries series;
  series.name = problem.name;
  for (std::size_t d = problem.axes.size(); d-- > 0;) {
    const grid::Axis& axis = problem.axes[d];
    const double h = (axis.upper - axis.lower) / static_cast<double>(axis.cells);
    io::GridAxis line;
    line.name = axis_names[d];
    for (PetscInt i = 0; i < axis.cells; ++i) line.centres.push_back(axis.lower + (static_cast<double>(i) + 0.5) * h);
    series.axes.push_back(line);
  }
  for (PetscInt i = 0; i < settings.snapshots; ++i) series.times.push_back(static_cast<double>(i) * settings.interval);
  series.trajectories = static_cast<std::size_t>(settings.trajectories);
  for (const std::string& name : problem.fields) series.quantities.push_back({name, true, true, {}, "1"});
  series.settings = closure_attributes(problem, settings);
  return series;
}

/// All trajectories as one batch on the fine grid, by the classical Runge-Kutta method.
void generate(const ClosureProblem& problem, const ClosureDataSettings& settings, MPI_Comm comm,
              const std::string& path, const data::ProgressCallback& progress) {
  auto axes = problem.axes;
  for (grid::Axis& axis : axes) axis.cells *= settings.refinement;
  const auto fine = std::make_shared<const grid::CellGrid>(comm, axes, problem.stencil_width, settings.refinement);
  io::GridBox box = box_of(*fine);
  for (auto* extents : {&box.offset, &box.count})
    for (auto& n : *extents) n /= static_cast<std::size_t>(settings.refinement);
  io::GridSeriesWriter writer(comm, path, header(problem, settings), box, true);
  ts::IntegratorSettings rk4;
  rk4.method = "rk4";
  rk4.step = settings.step;
  rk4.prefix = "data_";
  at::Tensor states = problem.initial_states(*fine);
  ts::Integrator integrator(comm, {states.size(0), states.size(1)}, {problem.truth(fine), nullptr}, rk4);
  for (PetscInt t = 0; t < settings.snapshots; ++t) {
    if (t > 0) states = integrator.forward(states, {0, settings.interval}, ts::Record::no)[0].clone();
    const auto fields = static_cast<std::int64_t>(problem.fields.size());
    const at::Tensor coarse = averages(states, *fine, fields, settings.refinement);
    const auto now = static_cast<std::size_t>(t);
    const core::EventScope event(core::Event::io);
    for (std::int64_t field = 0; field < fields; ++field) {
      const at::Tensor values = coarse.select(1, field).contiguous();
      writer.write(problem.fields[static_cast<std::size_t>(field)], {}, {now, now + 1}, values.data_ptr<double>());
    }
    progress(t + 1, settings.snapshots);
  }
  writer.commit();
}

}  // namespace

void ClosureDataSettings::read(core::OptionReader& o) {
  cells = o.integer("-closure_cells", "cells of the coarse grid along each axis", cells, 4);
  refinement = o.integer("-closure_refinement", "fine cells in a coarse one, along each axis", refinement, 1);
  trajectories = o.integer("-closure_trajectories", "initial states, with those that are held out", trajectories, 1);
  snapshots = o.integer("-closure_snapshots", "states of each trajectory", snapshots, 2);
  interval = o.positive("-closure_interval", "time between states", interval);
  step = o.positive("-data_step", "time step on the fine grid", step);
  seed =
      static_cast<std::uint64_t>(o.integer("-data_seed", "seed of the initial states", static_cast<PetscInt>(seed), 0));
  folder = o.text("-data_dir", "folder of the generated data", folder);
}

io::Attributes closure_attributes(const ClosureProblem& problem, const ClosureDataSettings& settings) {
  io::Attributes all = problem.constants;
  const io::Attributes own = {{"cells", std::int64_t{settings.cells}},
                              {"refinement", std::int64_t{settings.refinement}},
                              {"trajectories", std::int64_t{settings.trajectories}},
                              {"snapshots", std::int64_t{settings.snapshots}},
                              {"interval", settings.interval},
                              {"step", settings.step},
                              {"seed", static_cast<std::int64_t>(settings.seed)}};
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

std::string closure_file(const ClosureProblem& problem, const ClosureDataSettings& settings, MPI_Comm comm) {
  const std::string path = settings.folder + "/" + problem.name + "_" + std::to_string(settings.cells) + "_seed" +
                           std::to_string(settings.seed) + ".h5";
  data::DistributedRecipe recipe;
  recipe.name = problem.name;
  recipe.settings = closure_attributes(problem, settings);
  recipe.generate = [&](const std::string& file, const data::ProgressCallback& progress) {
    generate(problem, settings, comm, file, progress);
  };
  data::cached_file(path, recipe, comm);
  return path;
}

at::Tensor read_states(const std::string& file, const ClosureProblem& problem, const grid::CellGrid& grid) {
  const core::EventScope event(core::Event::io);
  const io::GridSeriesReader reader(grid.comm(), file);
  const auto trajectories = static_cast<std::int64_t>(reader.header().trajectories);
  const auto times = static_cast<std::int64_t>(reader.header().times.size());
  std::vector<at::Tensor> fields;
  for (const std::string& name : problem.fields) {
    std::vector<double> values = reader.read(name, box_of(grid));
    fields.push_back(at::from_blob(values.data(), {trajectories, times, 1, grid.local_cells()}, at::kDouble).clone());
  }
  return at::cat(fields, 2).flatten(2);
}

io::GridBox box_of(const grid::CellGrid& grid) {
  io::GridBox box;
  for (int d = grid.dimension() - 1; d >= 0; --d) {
    box.offset.push_back(static_cast<std::size_t>(grid.corner()[static_cast<std::size_t>(d)]));
    box.count.push_back(static_cast<std::size_t>(grid.extent()[static_cast<std::size_t>(d)]));
  }
  return box;
}

}  // namespace espalier::train
