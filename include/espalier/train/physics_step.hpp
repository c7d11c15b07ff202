// A solver's step as a layer: what networks are chained with when they are trained through differentiable physics.
#pragma once

#include <torch/types.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "espalier/grid/sample_exchange.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/train/objective.hpp"

namespace espalier::train {

/// P_K: whole samples [n, fields * cells] to whole samples, by one solve for the samples of all ranks together, on a
/// grid that is spread over the ranks (grid::SampleExchange). n may differ from rank to rank and from call to call:
/// each combination has a solver of its own, kept for the next time. A node in torch's graph, which must not outlive
/// the object. Collective throughout on the grid's communicator.
class PhysicsStep {
 public:
  /// Makes the solver of a batch: `like` has the layout of a state, `samples` samples on each rank.
  using Factory = std::function<std::unique_ptr<implicit::DifferentiableSolve>(Vec like, std::int64_t samples)>;

  PhysicsStep(std::shared_ptr<const grid::CellGrid> grid, std::int64_t fields, Factory make);
  ~PhysicsStep();

  at::Tensor operator()(const at::Tensor& u);

  /// Solvers are made by `make` from now on.
  void set_factory(Factory make);

  /// How far all solves go from now on.
  void set_effort(const implicit::Effort& forward, const implicit::Effort& adjoint);

  /// Solvers are made again, with the options that PETSc's database has then. No graph may hold their solves.
  void remake_solvers();

  /// |F(x, u)| / |F(0, u)| of each of this rank's samples, [n]: the relative residual of a solution x of an equation
  /// that is linear in it. NaN for a sample whose equation is solved by 0.
  at::Tensor relative_residuals(const at::Tensor& u, const at::Tensor& x);

  /// Iterations of all solves since construction.
  Counters counters() const;
  /// Memory of the solves that wait for their adjoints, of this rank.
  double checkpoint_bytes() const;
  const std::shared_ptr<const grid::CellGrid>& shared_grid() const { return grid_; }
  const grid::CellGrid& grid() const { return *grid_; }

 private:
  struct Batch;

  Batch& batch_of(const at::Tensor& u);

  std::shared_ptr<const grid::CellGrid> grid_;
  std::int64_t fields_;
  Factory make_;
  implicit::Effort forward_;
  implicit::Effort adjoint_;
  std::map<std::vector<int>, std::unique_ptr<Batch>> batches_;  // by samples of each rank
};

/// The solve with this KSP and PC, forward and transposed, where options with its prefix do not say otherwise.
std::unique_ptr<implicit::DifferentiableSolve> with_default_solver(std::unique_ptr<implicit::LinearSolve> solve,
                                                                   KSPType ksp, PCType pc);

/// The solve by that KSP without preconditioner to a relative residual of 1e-14, in place of a direct solve; options
/// -data_ksp_* and -data_pc_*.
std::unique_ptr<implicit::DifferentiableSolve> exact_solver(std::shared_ptr<implicit::Residual> residual, Vec like,
                                                            KSPType ksp);

/// The least K for which the mean relative residual of u's samples, over all ranks, is below `tolerance` after K
/// iterations: what converges the physics of a training (K_eps). For solvers whose residual does not rise; with others
/// it is one such K. Leaves the effort at K. Throws NumericalError when `most` iterations do not suffice. Collective.
long iterations_to(PhysicsStep& step, const at::Tensor& u, double tolerance, long most);

}  // namespace espalier::train
