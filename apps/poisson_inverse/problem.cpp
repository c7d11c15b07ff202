#include "problem.hpp"

#include <torch/autograd.h>
#include <torch/utils.h>

#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/implicit/descent_solve.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/implicit/root_solve.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/train/gradient_check.hpp"

using namespace espalier;

namespace poisson_inverse {

namespace {

constexpr double pi = 3.14159265358979323846;
const std::vector<std::string> solver_names = {"jacobi", "steepest"};
const std::vector<std::string> differentiation_names = {"implicit", "unrolled"};

/// A u - b with A = d^2/dx^2 by differences.
std::shared_ptr<implicit::Residual> equation(const std::shared_ptr<const grid::CellGrid>& grid) {
  model::FiniteVolumeSettings settings;
  settings.advection = model::Advection::none;
  settings.velocity = {0};
  settings.diffusivity = 1;
  return std::make_shared<implicit::LinearSystem>(std::make_shared<model::FiniteVolumeTerm>(grid, settings));
}

// x <- x - W F from 0, W the inverse of A's diagonal -2 / h^2, each sweep differentiated.
std::unique_ptr<implicit::DifferentiableSolve> unrolled_jacobi(const std::shared_ptr<const grid::CellGrid>& grid,
                                                               Vec like) {
  implicit::RootSettings settings;
  settings.prefix = "physics_";
  settings.solver = implicit::RootSolver::fixed_point;
  settings.differentiation = implicit::Differentiation::unrolled;
  settings.guess = implicit::Guess::zero;
  auto solve = std::make_unique<implicit::RootSolve>(equation(grid), like, settings);
  const petsc::VecHandle weights = solve->make_vec();
  ESPALIER_CALL(VecSet(weights.get(), -0.5 * grid->spacing(0) * grid->spacing(0)));
  solve->set_weights(weights.get());
  return solve;
}

train::PhysicsStep::Factory solver_for(const Settings& s, const std::shared_ptr<const grid::CellGrid>& grid) {
  if (s.unrolled && s.solver == Solver::jacobi)
    return [grid](Vec like, std::int64_t) { return unrolled_jacobi(grid, like); };
  if (s.unrolled)
    return [grid](Vec like, std::int64_t) {
      return std::make_unique<implicit::DescentSolve>(equation(grid), like, 1, "physics_");
    };
  const KSPType ksp = s.solver == Solver::jacobi ? KSPRICHARDSON : "espalier_steepest";
  const PCType pc = s.solver == Solver::jacobi ? PCJACOBI : PCNONE;
  return [=](Vec like, std::int64_t) {
    return train::with_default_solver(std::make_unique<implicit::LinearSolve>(equation(grid), like, "physics_"), ksp,
                                      pc);
  };
}

}  // namespace

void Settings::read(core::OptionReader& o) {
  points = o.integer("-poisson_points", "N, points between the ends", static_cast<PetscInt>(points), 3);
  wanted = o.reals("-poisson_wanted", "theta_ref, amplitudes of the modes sin(2 i pi x)", wanted);
  start = o.reals("-poisson_start", "theta before the first update", start);
  solver = static_cast<Solver>(
      o.choice("-poisson_solver", "iteration for A u = b", solver_names, static_cast<std::size_t>(solver)));
  unrolled =
      o.choice("-poisson_differentiation", "of the solver's result", differentiation_names, unrolled ? 1 : 0) == 1;
  updates = static_cast<int>(o.integer("-poisson_updates", "steps of gradient descent", updates, 1));
  lr = o.positive("-poisson_lr", "their length", lr);
  hand_step = o.integer("-poisson_hand_step", "a schedule by hand: K grows by this at each update; 0: no",
                        static_cast<PetscInt>(hand_step), 0);
  converged_updates = o.integer("-poisson_converged_updates", "updates with converged solves, for the savings",
                                static_cast<PetscInt>(converged_updates), 1);
  print_every = static_cast<int>(o.integer("-poisson_print_every", "updates between lines", print_every, 1));
  grad_check = o.flag("-grad_check", "check the gradient instead of descending", grad_check);
  ESPALIER_REQUIRE(!wanted.empty() && wanted.size() == start.size(),
                   "-poisson_wanted and -poisson_start need as many amplitudes as each other, not " +
                       std::to_string(wanted.size()) + " and " + std::to_string(start.size()));
}

Problem::Problem(MPI_Comm comm, const Settings& s)
    : comm_(comm),
      points_(s.points),
      wanted_(at::tensor(at::ArrayRef<double>(s.wanted), at::kDouble)),
      theta_(at::tensor(at::ArrayRef<double>(s.start), at::kDouble)),
      physics_(std::make_shared<const grid::CellGrid>(
                   comm, std::vector<grid::Axis>{grid::point_axis(static_cast<PetscInt>(s.points))}),
               1, nullptr) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  owner_ = rank == 0;
  const auto grid = physics_.shared_grid();
  const at::Tensor x = at::arange(1, points_ + 1, at::kDouble) / static_cast<double>(points_ + 1);
  const at::Tensor i = at::arange(1, wanted_.numel() + 1, at::kDouble);
  modes_ = (2 * pi * i.unsqueeze(1) * x).sin();
  // The direct solution.
  physics_.set_factory([grid](Vec like, std::int64_t) {
    return train::with_default_solver(std::make_unique<implicit::LinearSolve>(equation(grid), like, "reference_"),
                                      KSPPREONLY, PCREDUNDANT);
  });
  const torch::NoGradGuard no_graph;
  reference_ = deflection(wanted_);
  physics_.set_factory(solver_for(s, grid));
}

// u with A u = b, b = -sum_i theta_i sin(2 i pi x).
at::Tensor Problem::deflection(const at::Tensor& theta) {
  const at::Tensor b = -at::matmul(theta.unsqueeze(0), modes_);
  return physics_(b.narrow(0, 0, owner_ ? 1 : 0));
}

// |u - u_ref|^2 / (2 N), on the rank that has the sample.
at::Tensor Problem::loss(const at::Tensor& theta) {
  return (deflection(theta) - reference_).square().sum() / (2 * static_cast<double>(points_));
}

double Problem::descend(double rate) {
  const torch::AutoGradMode with_graph(true);
  const at::Tensor theta = theta_.detach().requires_grad_(true);
  const at::Tensor value = loss(theta);
  value.backward();
  theta_ = theta_ - rate * theta.grad();
  MPI_Bcast(theta_.data_ptr<double>(), static_cast<int>(theta_.numel()), MPI_DOUBLE, 0, comm_);
  return agreed(value.item<double>());
}

double Problem::parameter_error() const { return ((theta_ - wanted_).norm() / wanted_.norm()).item<double>(); }

double Problem::agreed(double of_rank_0) const {
  MPI_Bcast(&of_rank_0, 1, MPI_DOUBLE, 0, comm_);
  return of_rank_0;
}

void Problem::check_gradient(core::Session& session) {
  physics_.set_effort({}, {});
  const at::Tensor theta = theta_.detach().requires_grad_(true);
  {
    const torch::AutoGradMode with_graph(true);
    loss(theta).backward();
  }
  const torch::NoGradGuard no_graph;
  const at::Tensor direction = at::linspace(1, 2, theta_.numel(), at::kDouble);
  const auto value = [&](double e) { return agreed(loss(theta_ + e * direction).item<double>()); };
  train::report_difference(session.comm(), {value, agreed(theta.grad().dot(direction).item<double>())},
                           session.report());
}

}  // namespace poisson_inverse
