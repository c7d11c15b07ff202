#include "espalier/train/implicit_objective.hpp"

#include <torch/utils.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/ranks.hpp"
#include "espalier/model/sum_term.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::train {

namespace {

using implicit::RootSolver;
using petsc::Access;
using petsc::TensorView;

// By what part of a step an observation may be missed, and step sizes differ by rounding.
constexpr double time_tolerance = 1e-6;
constexpr double size_tolerance = 1e-12;

double theta_of(const std::string& method) {
  ESPALIER_REQUIRE(method == "cn" || method == "beuler",
                   "a chain of implicit solves takes steps of -method cn or beuler, not " + method);
  return method == "cn" ? 0.5 : 1.0;
}

}  // namespace

ImplicitSettings::ImplicitSettings() { root.prefix = "step_"; }

void ImplicitSettings::read(MPI_Comm comm) {
  root.read(comm);
  core::read_options(
      comm, "Chain of solves",
      [&](core::OptionReader& o) { jacobi = o.flag("-jacobi", "fixed-point sweeps are Jacobi's", jacobi); },
      root.prefix);
}

/// Steps of one size.
struct ImplicitObjective::Solver {
  double size;
  std::unique_ptr<implicit::RootSolve> root;
  long weights_version = -1;  // of the parameters that the weights belong to
};

/// What batches of one shape need.
struct ImplicitObjective::Chain {
  petsc::VecHandle like;
  std::vector<Solver> solvers;
};

ImplicitObjective::ImplicitObjective(MPI_Comm comm, model::SplitSystem system, ImplicitSettings settings,
                                     std::vector<double> times)
    : comm_(comm),
      term_(model::sum_of(system)),
      settings_(std::move(settings)),
      times_(std::move(times)),
      parameters_(model::joined_parameters(system)) {
  (void)theta_of(settings_.method);
  ESPALIER_REQUIRE(times_.size() >= 2, "a window needs the times of two states at least");
}

ImplicitObjective::~ImplicitObjective() = default;

std::vector<double> ImplicitObjective::times(std::int64_t intervals) const {
  ESPALIER_REQUIRE(intervals < static_cast<std::int64_t>(times_.size()), "a window of " + std::to_string(intervals) +
                                                                             " intervals is longer than its " +
                                                                             std::to_string(times_.size()) + " times");
  return {times_.begin(), times_.begin() + intervals + 1};
}

// Making solvers is collective, so all ranks look them up under the same key.
ImplicitObjective::Chain& ImplicitObjective::chain_for(const at::Tensor& u0) {
  auto& chain = chains_[core::counts_of_ranks(comm_, u0.size(0))];
  if (!chain) {
    chain = std::make_unique<Chain>();
    ESPALIER_CALL(VecCreateMPI(comm_, static_cast<PetscInt>(u0.numel()), PETSC_DETERMINE, chain->like.out()));
  }
  return *chain;
}

// Equal steps of the size nearest to the wanted one, D / round(D / h); or steps of that size and a last shorter one.
std::vector<ImplicitObjective::Steps> ImplicitObjective::steps_between(double t, double end) const {
  ESPALIER_REQUIRE(std::isfinite(end) && end > t, "observation times must increase");
  const double wanted = settings_.step;
  const double interval = end - t;
  if (settings_.fit_steps) {
    const double count = std::max(1.0, std::round(interval / wanted));
    return {{t, interval / count, static_cast<long>(count)}};
  }
  const double whole = std::floor(interval / wanted + time_tolerance);
  const double rest = interval - whole * wanted;
  std::vector<Steps> steps;
  if (whole > 0) steps.push_back({t, wanted, static_cast<long>(whole)});
  if (rest > time_tolerance * wanted) steps.push_back({t + whole * wanted, rest, 1});
  return steps;
}

ImplicitObjective::Solver& ImplicitObjective::solver_for(Chain& chain, double size) {
  for (Solver& known : chain.solvers)
    if (std::abs(known.size - size) <= size_tolerance * size) return known;
  auto step = std::make_shared<implicit::ThetaStep>(term_, theta_of(settings_.method), size);
  auto root = std::make_unique<implicit::RootSolve>(std::move(step), chain.like.get(), settings_.root);
  chain.solvers.push_back({size, std::move(root)});
  return chain.solvers.back();
}

// W = diag(F_x)^-1, sample by sample.
void ImplicitObjective::set_weights(Solver& solver, const at::Tensor& u) const {
  const RootSolver kind = settings_.root.solver;
  if (!settings_.jacobi || (kind != RootSolver::fixed_point && kind != RootSolver::anderson)) return;
  const long version = solver.root->residual().version();
  if (!term_->forms_matrices() || solver.weights_version == version) return;
  const petsc::VecHandle state = solver.root->make_vec();
  const petsc::VecHandle weights = solver.root->make_vec();
  {
    const TensorView view(state.get(), u.sizes(), Access::write);
    view.tensor().copy_(u.detach());
  }
  const auto products = solver.root->residual().linearize(state.get(), state.get());
  const petsc::MatHandle matrix = products->create_matrix();
  petsc::VecHandle diagonal;
  ESPALIER_CALL(MatCreateVecs(matrix.get(), nullptr, diagonal.out()));
  const TensorView all(weights.get(), u.sizes(), Access::write);
  for (std::int64_t k = 0; k < u.size(0); ++k) {
    ESPALIER_CALL(MatZeroEntries(matrix.get()));
    products->add_to_matrix(k, 1.0, matrix.get());
    ESPALIER_CALL(MatGetDiagonal(matrix.get(), diagonal.get()));
    ESPALIER_CALL(VecReciprocal(diagonal.get()));
    const at::Tensor row = all.tensor()[k];
    const TensorView view(diagonal.get(), row.sizes(), Access::read);
    row.copy_(view.tensor());
  }
  solver.root->set_weights(weights.get());
  solver.weights_version = version;
}

// The states at times[1..k], [k, n, dof].
at::Tensor ImplicitObjective::roll(const at::Tensor& u0, const std::vector<double>& times) {
  ESPALIER_REQUIRE(times.size() >= 2, "integration needs an initial and at least one observation time");
  Chain& chain = chain_for(u0);
  std::vector<at::Tensor> states;
  at::Tensor u = u0;
  for (std::size_t k = 0; k + 1 < times.size(); ++k) {
    for (const Steps& steps : steps_between(times[k], times[k + 1])) {
      Solver& solver = solver_for(chain, steps.size);
      set_weights(solver, u);
      for (long n = 0; n < steps.count; ++n) {
        solver.root->residual().set_time(steps.t + static_cast<double>(n) * steps.size);
        u = implicit::root_solve(*solver.root, u);
      }
    }
    states.push_back(u);
  }
  return at::stack(states);
}

double ImplicitObjective::sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) {
  const torch::AutoGradMode with_graph(true);
  const at::Tensor predicted = roll(u0, times(targets.size(1)));
  const at::Tensor sum = (predicted - targets.transpose(0, 1)).square().sum();
  checkpoint_bytes_ = std::max(checkpoint_bytes_, kept_bytes());
  (weight * sum).backward();
  return sum.item<double>();
}

double ImplicitObjective::sum(const at::Tensor& u0, const at::Tensor& targets) {
  return (predict(u0, times(targets.size(1))) - targets.transpose(0, 1)).square().sum().item<double>();
}

const at::Tensor& ImplicitObjective::predict(const at::Tensor& u0, const std::vector<double>& times) {
  const torch::NoGradGuard no_graph;
  return snapshots_ = roll(u0, times);
}

double ImplicitObjective::kept_bytes() const {
  double bytes = 0;
  for (const auto& entry : chains_)
    for (const Solver& solver : entry.second->solvers) bytes += solver.root->checkpoint_bytes();
  return bytes;
}

long ImplicitObjective::iterations() const {
  long total = 0;
  for (const auto& entry : chains_)
    for (const Solver& solver : entry.second->solvers) total += solver.root->iterations_forward();
  return total;
}

Counters ImplicitObjective::counters() const {
  Counters total;
  for (const auto& entry : chains_)
    for (const Solver& solver : entry.second->solvers) {
      total.ksp_its_forward += solver.root->ksp_iterations_forward();
      total.ksp_its_adjoint += solver.root->ksp_iterations_adjoint();
    }
  return total;
}

}  // namespace espalier::train
