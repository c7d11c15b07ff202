#include "model.hpp"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/implicit/sample_krylov.hpp"
#include "espalier/nn/network_node.hpp"

using namespace espalier;

namespace navier_stokes_corrector {

namespace {

constexpr std::int64_t fields = 3;

// K cycles of GMRES(m), or any other KSP.
train::PhysicsStep::Factory factory(const Settings& flow, const std::shared_ptr<const grid::CellGrid>& grid) {
  return [flow, grid](Vec like, std::int64_t) {
    const auto equation = step(flow, grid);
    auto solve = std::make_unique<implicit::LinearSolve>(equation, like, "physics_");
    // The network reads p: cotangents have a mean pressure, which is not in the range of the transposed matrix.
    for (KSP ksp : {solve->ksp(), solve->adjoint_ksp()}) equation->attach_null_space(ksp);
    return train::with_default_solver(std::move(solve), implicit::gmres_type, PCNONE);
  };
}

}  // namespace

void fit_network(nn::ResnetSettings& network, long n) {
  network.cells = {n, n};
  network.channels_in = network.channels_out = fields;
  network.boundary = nn::ResnetBoundary::circular;
}

HybridModel::HybridModel(std::shared_ptr<const grid::CellGrid> grid, const Settings& flow,
                         std::shared_ptr<nn::Network> network)
    : cells_(grid->global_cells()),
      network_(std::move(network)),
      physics_(grid, fields, factory(flow, grid)),
      converged_(grid, fields, factory(flow, grid)) {}

// A state that does not depend on the parameters needs no adjoint of its solve.
at::Tensor HybridModel::solve(train::PhysicsStep& solver, const at::Tensor& s) const {
  const torch::AutoGradMode graph(torch::GradMode::is_enabled() && s.requires_grad());
  // The equation does not look at the pressure before.
  return solver(at::cat({s, at::zeros({s.size(0), cells_}, s.options())}, 1));
}

at::Tensor HybridModel::advance(train::PhysicsStep& solver, const at::Tensor& s, bool with_network) const {
  const at::Tensor x = solve(solver, s);
  const at::Tensor velocity = x.narrow(1, 0, 2 * cells_);
  if (!with_network) return velocity;
  return velocity + nn::evaluate_as_node(*network_, 0, x).narrow(1, 0, 2 * cells_);
}

train::Chain HybridModel::chain() {
  train::Chain chain;
  chain.states = [this](const at::Tensor& s0, std::int64_t intervals) {
    std::vector<at::Tensor> states = {s0};
    for (std::int64_t t = 0; t < intervals; ++t) states.push_back(advance(physics_, states.back(), true));
    return at::stack(at::TensorList(states).slice(1), 1);
  };
  chain.counters = [this] { return physics_.counters(); };
  chain.checkpoint_bytes = [this] { return physics_.checkpoint_bytes(); };
  return chain;
}

// With every sample below the tolerance so is the mean: fewer cycles than that are tried by bisection.
long HybridModel::converge(const at::Tensor& states, double tolerance, long most) {
  const torch::NoGradGuard no_graph;
  const at::Tensor y = at::cat({states, at::zeros({states.size(0), cells_}, states.options())}, 1);
  const auto residual_after = [&](const implicit::Effort& effort) {
    converged_.set_effort(effort, effort);
    const at::Tensor residuals = converged_.relative_residuals(y, converged_(y));
    std::array<double, 2> sums = {residuals.sum().item<double>(), static_cast<double>(residuals.numel())};
    MPI_Allreduce(MPI_IN_PLACE, sums.data(), 2, MPI_DOUBLE, MPI_SUM, converged_.grid().comm());
    return sums[0] / sums[1];
  };
  const double least = residual_after({most, tolerance});
  if (least > tolerance)
    throw NumericalError(std::to_string(most) + " cycles of the solver do not bring the mean relative residual below " +
                             std::to_string(tolerance) + " (-physics_most, -physics_converged): it is " +
                             std::to_string(least),
                         __FILE__, __LINE__);
  long enough = rollout_iterations();
  long too_few = 0;
  while (enough - too_few > 1) {
    const long k = (enough + too_few) / 2;
    (residual_after({k, 0}) < tolerance ? enough : too_few) = k;
  }
  converged_.set_effort({most, tolerance}, {most, tolerance});
  return enough;
}

at::Tensor HybridModel::roll_out(const at::Tensor& s0, long steps, bool with_network) {
  const torch::NoGradGuard no_graph;
  std::vector<at::Tensor> states = {s0};
  try {
    for (long t = 0; t < steps; ++t) states.push_back(advance(converged_, states.back(), with_network));
  } catch (const NumericalError&) {  // on all ranks: the solves are of all samples together
  }
  while (static_cast<long>(states.size()) <= steps)
    states.push_back(at::full_like(s0, std::numeric_limits<double>::quiet_NaN()));
  return at::stack(states, 1);
}

}  // namespace navier_stokes_corrector
