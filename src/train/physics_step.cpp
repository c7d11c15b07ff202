#include "espalier/train/physics_step.hpp"

#include <torch/utils.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/core/ranks.hpp"
#include "espalier/implicit/solve_node.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::train {

using petsc::Access;
using petsc::TensorView;

/// What batches of one shape need.
struct PhysicsStep::Batch {
  Batch(const std::shared_ptr<const grid::CellGrid>& grid, const std::vector<int>& samples, std::int64_t fields)
      : exchange(grid, samples, fields) {}

  grid::SampleExchange exchange;
  std::unique_ptr<implicit::DifferentiableSolve> solve;
};

PhysicsStep::PhysicsStep(std::shared_ptr<const grid::CellGrid> grid, std::int64_t fields, Factory make)
    : grid_(std::move(grid)), fields_(fields), make_(std::move(make)) {}

PhysicsStep::~PhysicsStep() = default;

void PhysicsStep::set_factory(Factory make) {
  make_ = std::move(make);
  remake_solvers();
}

void PhysicsStep::remake_solvers() { batches_.clear(); }

PhysicsStep::Batch& PhysicsStep::batch_of(const at::Tensor& u) {
  const std::vector<int> samples = core::counts_of_ranks(grid_->comm(), u.size(0));
  auto& batch = batches_[samples];
  if (batch) return *batch;
  auto made = std::make_unique<Batch>(grid_, samples, fields_);
  const std::int64_t count = made->exchange.all_samples();
  petsc::VecHandle like;
  ESPALIER_CALL(VecCreateMPI(grid_->comm(), static_cast<PetscInt>(count * fields_ * grid_->local_cells()),
                             PETSC_DETERMINE, like.out()));
  made->solve = make_(like.get(), count);
  made->solve->set_samples(static_cast<PetscInt>(count));
  made->solve->set_effort(forward_, adjoint_);
  batch = std::move(made);
  return *batch;
}

at::Tensor PhysicsStep::operator()(const at::Tensor& u) {
  Batch& batch = batch_of(u);
  return batch.exchange.to_whole(implicit::solve_as_node(*batch.solve, batch.exchange.to_parts(u)));
}

void PhysicsStep::set_effort(const implicit::Effort& forward, const implicit::Effort& adjoint) {
  forward_ = forward;
  adjoint_ = adjoint;
  for (auto& entry : batches_) entry.second->solve->set_effort(forward, adjoint);
}

at::Tensor PhysicsStep::relative_residuals(const at::Tensor& u, const at::Tensor& x) {
  Batch& batch = batch_of(u);
  const at::Tensor data = batch.exchange.move(u, true);
  const at::Tensor solution = batch.exchange.move(x, true);
  const petsc::VecHandle y = batch.solve->make_vec();
  const petsc::VecHandle point = batch.solve->make_vec();
  const petsc::VecHandle f = batch.solve->make_vec();
  TensorView(y.get(), data.sizes(), Access::write).tensor().copy_(data);
  // The square norms of F over the cells of all ranks, [N].
  const auto squares = [&](const at::Tensor& at) {
    TensorView(point.get(), data.sizes(), Access::write).tensor().copy_(at);
    batch.solve->residual().apply(point.get(), y.get(), f.get());
    const at::Tensor sums = TensorView(f.get(), data.sizes(), Access::read).tensor().square().sum(1);
    MPI_Allreduce(MPI_IN_PLACE, sums.data_ptr<double>(), static_cast<int>(sums.numel()), MPI_DOUBLE, MPI_SUM,
                  grid_->comm());
    return sums;
  };
  const at::Tensor all = (squares(solution) / squares(at::zeros_like(solution))).sqrt();
  return all.narrow(0, batch.exchange.first_sample(), u.size(0)).clone();
}

Counters PhysicsStep::counters() const {
  Counters total;
  for (const auto& entry : batches_) {
    total.ksp_its_forward += entry.second->solve->ksp_iterations_forward();
    total.ksp_its_adjoint += entry.second->solve->ksp_iterations_adjoint();
  }
  return total;
}

double PhysicsStep::checkpoint_bytes() const {
  double bytes = 0;
  for (const auto& entry : batches_) bytes += entry.second->solve->checkpoint_bytes();
  return bytes;
}

std::unique_ptr<implicit::DifferentiableSolve> with_default_solver(std::unique_ptr<implicit::LinearSolve> solve,
                                                                   KSPType type, PCType preconditioner) {
  for (KSP ksp : {solve->ksp(), solve->adjoint_ksp()}) {
    PC pc = nullptr;
    ESPALIER_CALL(KSPSetType(ksp, type));
    ESPALIER_CALL(KSPGetPC(ksp, &pc));
    ESPALIER_CALL(PCSetType(pc, preconditioner));
    ESPALIER_CALL(KSPSetFromOptions(ksp));
  }
  return solve;
}

std::unique_ptr<implicit::DifferentiableSolve> exact_solver(std::shared_ptr<implicit::Residual> residual, Vec like,
                                                            KSPType ksp) {
  constexpr double rounding = 1e-14;
  auto solve = std::make_unique<implicit::LinearSolve>(std::move(residual), like, "data_");
  ESPALIER_CALL(KSPSetTolerances(solve->ksp(), rounding, PETSC_CURRENT, PETSC_CURRENT, PETSC_CURRENT));
  return with_default_solver(std::move(solve), ksp, PCNONE);
}

// Tries 1, 2, 4, ... iterations, and then halves the interval: about K log2 K of them instead of K^2 / 2.
long iterations_to(PhysicsStep& step, const at::Tensor& u, double tolerance, long most) {
  const torch::NoGradGuard no_graph;
  const auto converges = [&](long k) {
    step.set_effort({k, 0}, {k, 0});
    const at::Tensor residuals = step.relative_residuals(u, step(u));
    std::array<double, 2> sums = {residuals.sum().item<double>(), static_cast<double>(residuals.numel())};
    MPI_Allreduce(MPI_IN_PLACE, sums.data(), 2, MPI_DOUBLE, MPI_SUM, step.grid().comm());
    return sums[0] / sums[1] < tolerance;
  };
  long too_few = 0;
  long enough = 1;
  while (!converges(enough)) {
    if (enough == most)
      throw NumericalError(std::to_string(most) +
                               " iterations of the solver do not bring the mean relative residual below " +
                               std::to_string(tolerance) + ": choose another solver, or give the iterations themselves",
                           __FILE__, __LINE__);
    too_few = enough;
    enough = std::min(2 * enough, most);
  }
  while (enough - too_few > 1) {
    const long k = (too_few + enough) / 2;
    (converges(k) ? enough : too_few) = k;
  }
  step.set_effort({enough, 0}, {enough, 0});
  return enough;
}

}  // namespace espalier::train
