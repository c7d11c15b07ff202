#include "problem.hpp"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <cmath>
#include <random>

#include "espalier/core/error.hpp"
#include "espalier/core/random_draws.hpp"
#include "espalier/data/series_cache.hpp"
#include "espalier/io/grid_series_slab.hpp"
#include "espalier/model/gray_scott.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::gray_scott {

namespace {

const std::vector<double> diffusivities = {model::GrayScott::diffusivity_u, model::GrayScott::diffusivity_v};

std::vector<grid::Axis> axes_of(const Settings& settings, PetscInt cells) {
  return {{cells, 0, settings.length, {}, {}}, {cells, 0, settings.length, {}, {}}};
}

/// u = 1 - s / 2, v = s / 4, s the largest of several bumps at random places: [R, 2 local cells]. The same whatever
/// the number of ranks.
at::Tensor initial_states(const Settings& settings, const grid::CellGrid& grid) {
  constexpr int bumps = 6;
  const at::Tensor centres = grid.centres();
  const auto place = centres.accessor<double, 2>();
  const std::int64_t cells = grid.local_cells();
  at::Tensor states = at::empty({settings.trajectories, 2, cells}, at::kDouble);
  auto state = states.accessor<double, 3>();
  std::mt19937_64 engine(settings.data_seed);
  const double radius = 0.05;
  const auto periodic = [&](double distance) {
    return distance - settings.length * std::round(distance / settings.length);
  };
  for (PetscInt r = 0; r < settings.trajectories; ++r) {
    std::array<std::array<double, 2>, bumps> middles{};
    for (auto& middle : middles)
      for (double& x : middle) x = settings.length * core::uniform_unit(engine);
    for (std::int64_t c = 0; c < cells; ++c) {
      double s = 0;
      for (const auto& middle : middles) {
        const double dx = periodic(place[c][0] - middle[0]);
        const double dy = periodic(place[c][1] - middle[1]);
        s = std::max(s, std::exp(-(dx * dx + dy * dy) / (2 * radius * radius)));
      }
      state[r][0][c] = 1 - s / 2;
      state[r][1][c] = s / 4;
    }
  }
  return states.view({settings.trajectories, 2 * cells});
}

/// The mean of the fine cells in each coarse one: [R, 2, local coarse cells] of [R, 2 local fine cells].
at::Tensor averages(const at::Tensor& states, const grid::CellGrid& fine, std::int64_t refinement) {
  const std::int64_t nx = fine.extent()[0] / refinement;
  const std::int64_t ny = fine.extent()[1] / refinement;
  return states.view({states.size(0), 2, ny, refinement, nx, refinement}).mean(at::IntArrayRef{3, 5}).flatten(2);
}

io::GridSeries header(const Settings& settings) {
  io::GridSeries series;
  series.name = "gray_scott";
  const double h = settings.length / static_cast<double>(settings.cells);
  for (const char* name : {"y", "x"}) {
    io::GridAxis axis;
    axis.name = name;
    for (PetscInt i = 0; i < settings.cells; ++i) axis.centres.push_back((static_cast<double>(i) + 0.5) * h);
    series.axes.push_back(axis);
  }
  for (PetscInt i = 0; i < settings.snapshots; ++i) series.times.push_back(static_cast<double>(i) * settings.interval);
  series.trajectories = static_cast<std::size_t>(settings.trajectories);
  for (const char* name : {"u", "v"}) series.quantities.push_back({name, true, true, {}, "1"});
  series.settings = settings.attributes();
  return series;
}

/// All trajectories as one batch on the fine grid, by the classical Runge-Kutta method.
void generate(const Settings& settings, MPI_Comm comm, const std::string& path,
              const data::ProgressCallback& progress) {
  const auto fine = std::make_shared<const grid::CellGrid>(
      comm, axes_of(settings, settings.cells * settings.refinement), 1, settings.refinement);
  io::GridBox box = box_of(*fine);
  for (auto* extents : {&box.offset, &box.count})
    for (auto& n : *extents) n /= static_cast<std::size_t>(settings.refinement);
  io::GridSeriesWriter writer(comm, path, header(settings), box, true);
  const auto equations = std::make_shared<model::ReactionDiffusionTerm>(
      fine, diffusivities, std::make_shared<model::GrayScott>(settings.feed, settings.decay));
  ts::IntegratorSettings rk4;
  rk4.method = "rk4";
  rk4.step = settings.data_step;
  rk4.prefix = "data_";
  at::Tensor states = initial_states(settings, *fine);
  ts::Integrator integrator(comm, {states.size(0), states.size(1)}, {equations, nullptr}, rk4);
  for (PetscInt t = 0; t < settings.snapshots; ++t) {
    if (t > 0) states = integrator.forward(states, {0, settings.interval}, ts::Record::no)[0].clone();
    const at::Tensor coarse = averages(states, *fine, settings.refinement);
    const auto now = static_cast<std::size_t>(t);
    for (const std::int64_t field : {0, 1}) {
      const at::Tensor values = coarse.select(1, field).contiguous();
      writer.write(field == 0 ? "u" : "v", {}, {now, now + 1}, values.data_ptr<double>());
    }
    progress(t + 1, settings.snapshots);
  }
  writer.commit();
}

}  // namespace

void Settings::read(core::OptionReader& o) {
  cells = o.integer("-gray_scott_cells", "cells of the coarse grid along each axis", cells, 4);
  refinement = o.integer("-gray_scott_refinement", "fine cells in a coarse one, along each axis", refinement, 1);
  length = o.positive("-gray_scott_length", "side of the periodic square", length);
  feed = o.real("-gray_scott_feed", "feed rate F", feed, 0);
  decay = o.real("-gray_scott_decay", "decay rate k", decay, 0);
  trajectories = o.integer("-gray_scott_trajectories", "initial states, with those that are held out", trajectories, 1);
  snapshots = o.integer("-gray_scott_snapshots", "states of each trajectory", snapshots, 2);
  interval = o.positive("-gray_scott_interval", "time between states", interval);
  data_step = o.positive("-gray_scott_data_step", "time step on the fine grid", data_step);
  data_seed = static_cast<std::uint64_t>(
      o.integer("-data_seed", "seed of the initial states", static_cast<PetscInt>(data_seed), 0));
  data_folder = o.text("-data_dir", "folder of the generated data", data_folder);
  closure = static_cast<Closure>(o.choice("-gray_scott_closure",
                                          "the network stands for unresolved scales, or for the reaction",
                                          {"subgrid", "reaction"}, static_cast<std::size_t>(closure)));
}

io::Attributes Settings::attributes() const {
  return {{"cells", std::int64_t{cells}},
          {"refinement", std::int64_t{refinement}},
          {"length", length},
          {"feed", feed},
          {"decay", decay},
          {"trajectories", std::int64_t{trajectories}},
          {"snapshots", std::int64_t{snapshots}},
          {"interval", interval},
          {"step", data_step},
          {"seed", static_cast<std::int64_t>(data_seed)}};
}

std::string reference_file(const Settings& settings, MPI_Comm comm) {
  const std::string path = settings.data_folder + "/gray_scott_" + std::to_string(settings.cells) + "_seed" +
                           std::to_string(settings.data_seed) + ".h5";
  data::DistributedRecipe recipe;
  recipe.name = "gray_scott";
  recipe.settings = settings.attributes();
  recipe.generate = [&](const std::string& file, const data::ProgressCallback& progress) {
    generate(settings, comm, file, progress);
  };
  data::cached_file(path, recipe, comm);
  return path;
}

std::shared_ptr<const grid::CellGrid> coarse_grid(const Settings& settings, MPI_Comm comm, PetscInt alignment) {
  return std::make_shared<const grid::CellGrid>(comm, axes_of(settings, settings.cells), 1, alignment);
}

io::GridBox box_of(const grid::CellGrid& grid) {
  io::GridBox box;
  for (int d = grid.dimension() - 1; d >= 0; --d) {
    box.offset.push_back(static_cast<std::size_t>(grid.corner()[static_cast<std::size_t>(d)]));
    box.count.push_back(static_cast<std::size_t>(grid.extent()[static_cast<std::size_t>(d)]));
  }
  return box;
}

at::Tensor read_states(const std::string& file, const grid::CellGrid& grid) {
  const io::GridSeriesReader reader(grid.comm(), file);
  const auto trajectories = static_cast<std::int64_t>(reader.header().trajectories);
  const auto times = static_cast<std::int64_t>(reader.header().times.size());
  std::vector<at::Tensor> fields;
  for (const char* name : {"u", "v"}) {
    std::vector<double> values = reader.read(name, box_of(grid));
    fields.push_back(at::from_blob(values.data(), {trajectories, times, 1, grid.local_cells()}, at::kDouble).clone());
  }
  return at::cat(fields, 2).flatten(2);
}

Model make_model(const Settings& settings, const std::shared_ptr<const grid::CellGrid>& grid,
                 const nn::GridNetworkSettings& network, bool allow_single, double last_layer) {
  Model m;
  m.network = network.make(grid, allow_single);
  {
    const torch::NoGradGuard no_grad;
    const auto& layers = m.network->parameters().tensors();
    for (std::size_t last = layers.size() - 2; last < layers.size(); ++last) at::Tensor(layers[last]).mul_(last_layer);
  }
  m.closure = std::make_shared<model::NeuralTerm>(m.network);
  std::vector<std::shared_ptr<model::Term>> terms = {m.closure};
  if (settings.closure == Closure::subgrid)
    terms.push_back(std::make_shared<model::ReactionDiffusionTerm>(
        grid, std::vector<double>{0, 0}, std::make_shared<model::GrayScott>(settings.feed, settings.decay)));
  m.system.explicit_part = std::make_shared<model::SumTerm>(terms);
  m.system.implicit_part =
      std::make_shared<model::ReactionDiffusionTerm>(grid, diffusivities, nullptr, std::vector<std::string>{"u", "v"});
  return m;
}

}  // namespace espalier::gray_scott
