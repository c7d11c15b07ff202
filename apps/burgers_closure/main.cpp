// A closure of Burgers' equation in the plane on a coarse grid, learnt by a network that is spread over the ranks.
#include <ATen/ATen.h>

#include <cmath>
#include <random>

#include "espalier/core/random_draws.hpp"
#include "espalier/core/session.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/train/grid_closure.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "burgers_closure",
    "Learns what a coarse grid does not see of Burgers' equation in the plane.\n\n"
    "    u_t + (u^2 / 2)_x + (u^2 / 2)_y = nu (u_xx + u_yy),   [0, 1]^2, periodic, nu = 5e-4, dimensionless\n\n"
    "The truth are cell averages of the solution on a grid that is -closure_refinement times finer, by a limited\n"
    "scheme. The model has first-order upwind fluxes on the coarse grid, explicit, implicit diffusion (-ksp_*,\n"
    "-samples_pc_type) and a network of convolutions. Grid and network are spread over the ranks; with -groups the\n"
    "ranks share the samples too. The loss is the mean squared error, its gradient the exact discrete adjoint.\n"};

constexpr double two_pi = 6.283185307179586476925;

/// Random waves with up to two periods along each axis, scaled to a root mean square of 1/2; [R, local cells].
at::Tensor initial_states(const train::ClosureDataSettings& data, const grid::CellGrid& grid) {
  constexpr int periods = 2;
  const at::Tensor x = grid.centres();
  std::mt19937_64 engine(data.seed);
  std::vector<at::Tensor> states;
  for (PetscInt r = 0; r < data.trajectories; ++r) {
    at::Tensor u = at::zeros({grid.local_cells()}, at::kDouble);
    double squares = 0;
    for (int k = 0; k <= periods; ++k)
      for (int l = -periods; l <= periods; ++l) {
        const double a = core::standard_normal(engine);
        const double phase = two_pi * core::uniform_unit(engine);
        if (k == 0 && l <= 0) continue;
        // a cos(2 pi (k x + l y) + phase)
        u.add_((two_pi * (k * x.select(1, 0) + l * x.select(1, 1)) + phase).cos_(), a);
        squares += a * a / 2;
      }
    states.push_back(u.mul_(0.5 / std::sqrt(squares)));
  }
  return at::stack(states);
}

train::ClosureProblem equation(double nu, const train::ClosureDataSettings& data) {
  using Grid = std::shared_ptr<const grid::CellGrid>;
  model::FiniteVolumeSettings fine;
  fine.advection = model::Advection::burgers;
  fine.scheme = model::FaceScheme::limited;
  fine.velocity = {1, 1};
  fine.diffusivity = nu;
  model::FiniteVolumeSettings coarse = fine;
  coarse.scheme = model::FaceScheme::upwind;
  coarse.diffusivity = 0;
  train::ClosureProblem p;
  p.name = "burgers_closure";
  p.fields = {"u"};
  p.axes = {{data.cells, 0, 1, {}, {}}, {data.cells, 0, 1, {}, {}}};
  p.stencil_width = 2;
  p.constants = {{"nu", nu}};
  p.truth = [=](const Grid& grid) { return std::make_shared<model::FiniteVolumeTerm>(grid, fine); };
  p.initial_states = [=](const grid::CellGrid& grid) { return initial_states(data, grid); };
  p.known = [=](const Grid& grid) {
    return model::SplitSystem{std::make_shared<model::FiniteVolumeTerm>(grid, coarse),
                              std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{nu})};
  };
  return p;
}

void run_experiment(core::Session& session) {
  double nu = 5e-4;
  train::GridClosureSettings settings;
  settings.data.interval = 0.05;
  settings.data.step = 1e-3;
  settings.integrator.step = 0.0125;
  settings.read(session.comm(), "Burgers", "-burgers_", 1, true,
                [&](core::OptionReader& o) { nu = o.positive("-burgers_nu", "viscosity", nu); });
  if (session.help_requested()) return;
  train::learn_closure(session, "Burgers", equation(nu, settings.data), settings);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
