// The solver on the coarse grid and the network that corrects it, as one step.
#pragma once

#include <torch/types.h>

#include <memory>

#include "espalier/nn/resnet.hpp"
#include "espalier/train/chain_objective.hpp"
#include "espalier/train/physics_step.hpp"
#include "problem.hpp"

namespace navier_stokes_corrector {

/// States are velocities (u, v) of whole samples, [n, 2 cells].
///
///   x_(t+1) = S_K(s_t) = (u, v, p),   s_(t+1) = (u, v) + N(x_(t+1); theta)
///
/// S_K is K cycles of a solver, the same in both steps of a training sample. N has a third output, for p, that is not
/// used. Collective throughout.
class HybridModel {
 public:
  /// Of the network, the cells and channels are set here.
  HybridModel(std::shared_ptr<const espalier::grid::CellGrid> grid, const Settings& flow,
              std::shared_ptr<espalier::nn::Network> network);

  /// s_1, s_2, ... as training sees them.
  espalier::train::Chain chain();
  /// S_K of the training.
  espalier::train::PhysicsStep& physics() { return physics_; }
  /// A number of cycles that brings the mean relative residual of the states' solves below `tolerance`: the least one
  /// of a method whose residuals do not grow. The solutions of all rollouts have it from then on, each sample by
  /// itself. Throws NumericalError when `most` cycles do not suffice.
  long converge(const at::Tensor& states, double tolerance, long most);
  /// s_0, ..., s_T with converged solves, [n, T + 1, 2 cells]; NaN from where the model has blown up.
  at::Tensor roll_out(const at::Tensor& s0, long steps, bool with_network);
  /// Cycles of all rollouts.
  long rollout_iterations() const { return converged_.counters().ksp_its_forward; }

 private:
  at::Tensor solve(espalier::train::PhysicsStep& solver, const at::Tensor& s) const;
  at::Tensor advance(espalier::train::PhysicsStep& solver, const at::Tensor& s, bool with_network) const;

  std::int64_t cells_;
  std::shared_ptr<espalier::nn::Network> network_;
  espalier::train::PhysicsStep physics_;
  espalier::train::PhysicsStep converged_;
};

/// Three fields to three fields on n x n cells, periodic.
void fit_network(espalier::nn::ResnetSettings& network, long n);

}  // namespace navier_stokes_corrector
