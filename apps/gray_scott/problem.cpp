#include "problem.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <random>

#include "espalier/core/random_draws.hpp"
#include "espalier/model/gray_scott.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"

namespace espalier::gray_scott {

namespace {

using Grid = std::shared_ptr<const grid::CellGrid>;

const std::vector<double> diffusivities = {model::GrayScott::diffusivity_u, model::GrayScott::diffusivity_v};

at::Tensor initial_states(const Settings& settings, const train::ClosureDataSettings& data,
                          const grid::CellGrid& grid) {
  constexpr int bumps = 6;
  constexpr double radius = 0.05;
  const at::Tensor centres = grid.centres();
  const auto place = centres.accessor<double, 2>();
  at::Tensor states = at::empty({data.trajectories, 2, grid.local_cells()}, at::kDouble);
  auto state = states.accessor<double, 3>();
  std::mt19937_64 engine(data.seed);
  const auto nearest = [&](double x) { return x - settings.length * std::round(x / settings.length); };
  for (PetscInt r = 0; r < data.trajectories; ++r) {
    std::array<std::array<double, 2>, bumps> middles{};
    for (auto& middle : middles)
      for (double& x : middle) x = settings.length * core::uniform_unit(engine);
    for (std::int64_t c = 0; c < grid.local_cells(); ++c) {
      double s = 0;
      for (const auto& middle : middles) {
        const double dx = nearest(place[c][0] - middle[0]);
        const double dy = nearest(place[c][1] - middle[1]);
        s = std::max(s, std::exp(-(dx * dx + dy * dy) / (2 * radius * radius)));
      }
      state[r][0][c] = 1 - s / 2;
      state[r][1][c] = s / 4;
    }
  }
  return states.flatten(1);
}

}  // namespace

void Settings::read(core::OptionReader& o) {
  length = o.positive("-gray_scott_length", "side of the periodic square", length);
  feed = o.real("-gray_scott_feed", "feed rate F", feed, 0);
  decay = o.real("-gray_scott_decay", "decay rate k", decay, 0);
  closure = static_cast<Closure>(o.choice("-gray_scott_closure",
                                          "the network stands for unresolved scales, or for the reaction",
                                          {"subgrid", "reaction"}, static_cast<std::size_t>(closure)));
}

train::ClosureProblem equations(const Settings& settings, const train::ClosureDataSettings& data) {
  const auto reaction = std::make_shared<model::GrayScott>(settings.feed, settings.decay);
  train::ClosureProblem p;
  p.name = "gray_scott";
  p.fields = {"u", "v"};
  p.axes = {{data.cells, 0, settings.length, {}, {}}, {data.cells, 0, settings.length, {}, {}}};
  p.constants = {{"length", settings.length}, {"feed", settings.feed}, {"decay", settings.decay}};
  p.model = std::string("closure=") + (settings.closure == Closure::subgrid ? "subgrid" : "reaction");
  p.truth = [=](const Grid& grid) {
    return std::make_shared<model::ReactionDiffusionTerm>(grid, diffusivities, reaction);
  };
  p.initial_states = [=](const grid::CellGrid& grid) { return initial_states(settings, data, grid); };
  p.known = [=](const Grid& grid) {
    model::SplitSystem known;
    known.implicit_part =
        std::make_shared<model::ReactionDiffusionTerm>(grid, diffusivities, nullptr, reaction->names());
    if (settings.closure == Closure::subgrid)
      known.explicit_part = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{0, 0}, reaction);
    return known;
  };
  return p;
}

}  // namespace espalier::gray_scott
