// A small stiff split system for the tests of the integrator: u_t = MLP(u) + J u.
#pragma once

#include <mpi.h>
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>
#include <vector>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/model/linear_term.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/ts/integrator.hpp"
#include "ts/reference.hpp"

namespace fixture {

using namespace espalier;
using testing::rank_of;
using testing::size_of;

constexpr std::int64_t dof = 5;
constexpr std::int64_t samples = 7;  // of all ranks together: no rank count from 2 to 4 divides it

/// Rows of `all` that belong to this rank.
inline at::Tensor mine(const at::Tensor& all, std::int64_t dimension = 0) {
  const std::int64_t n = all.size(dimension);
  const std::int64_t rank = rank_of();
  const std::int64_t size = size_of();
  const std::int64_t first = rank * n / size;
  return all.slice(dimension, first, (rank + 1) * n / size).contiguous();
}

inline at::Tensor random_tensor(at::IntArrayRef shape, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::TensorOptions().dtype(at::kDouble));
}

/// Stiff and not symmetric: advection and diffusion on a periodic line.
inline at::Tensor operator_matrix(double stiffness) {
  at::Tensor j = torch::zeros({dof, dof}, torch::kDouble);
  auto entry = j.accessor<double, 2>();
  for (std::int64_t i = 0; i < dof; ++i) {
    entry[i][i] += -2 * stiffness;
    entry[i][(i + 1) % dof] += 1.3 * stiffness;
    entry[i][(i + dof - 1) % dof] += 0.6 * stiffness;
  }
  return j;
}

inline petsc::MatHandle to_mat(const at::Tensor& matrix) {
  petsc::MatHandle mat;
  const auto n = static_cast<PetscInt>(matrix.size(0));
  ESPALIER_CALL(MatCreateSeqAIJ(PETSC_COMM_SELF, n, n, n, nullptr, mat.out()));
  for (PetscInt i = 0; i < n; ++i)
    for (PetscInt k = 0; k < n; ++k) {
      const double value = matrix[i][k].item<double>();
      if (value != 0) ESPALIER_CALL(MatSetValue(mat.get(), i, k, value, INSERT_VALUES));
    }
  ESPALIER_CALL(MatAssemblyBegin(mat.get(), MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(mat.get(), MAT_FINAL_ASSEMBLY));
  return mat;
}

struct Setup {
  double stiffness = 3;
  bool single_precision = false;
  model::LinearSolver solver = model::LinearSolver::lu_dense;
  std::size_t keep_bytes = model::NeuralTerm::default_keep_bytes;
  nn::Activation activation = nn::Activation::tanh;
};

struct System {
  std::shared_ptr<nn::Mlp> network;
  std::shared_ptr<model::NeuralTerm> neural;
  std::shared_ptr<model::LinearTerm> linear;
  at::Tensor j;

  explicit System(const Setup& setup = {}) : j(operator_matrix(setup.stiffness)) {
    nn::MlpSettings settings;
    settings.widths = {dof, 9, 8, dof};
    settings.activation = setup.activation;
    settings.initialisation = nn::Initialisation::xavier;
    settings.single_precision = setup.single_precision;
    settings.seed = 11;
    network = std::make_shared<nn::Mlp>(settings);
    neural = std::make_shared<model::NeuralTerm>(network, setup.keep_bytes);
    const auto mat = to_mat(j);
    linear = std::make_shared<model::LinearTerm>(mat.get(), setup.solver);
  }
  model::SplitSystem split() const { return {neural, linear}; }
  reference::Problem problem() const {
    return {[this](const at::Tensor& u) { return network->evaluate(u); }, j};
  }
};

inline ts::IntegratorSettings settings(const std::string& method, double step, const std::string& prefix = "") {
  ts::IntegratorSettings s;
  s.method = method;
  s.step = step;
  s.prefix = prefix;
  return s;
}

inline ts::BatchShape shape_of(const at::Tensor& u0) { return {u0.size(0), u0.size(1)}; }

/// What a gradient run gives: values, du0 and dtheta of sum_k <c_k, u_k>, all of all ranks.
struct Gradient {
  at::Tensor snapshots;  // [k, samples, dof], this rank's
  at::Tensor u0_bar;     // [samples, dof], this rank's
  at::Tensor theta_bar;  // summed over ranks
};

inline at::Tensor sum_over_ranks(const at::Tensor& local) {
  at::Tensor sum = local.to(at::kDouble, false, true).contiguous();
  MPI_Allreduce(MPI_IN_PLACE, sum.data_ptr<double>(), static_cast<int>(sum.numel()), MPI_DOUBLE, MPI_SUM,
                PETSC_COMM_WORLD);
  return sum;
}

inline Gradient discrete_adjoint(const System& system, ts::Integrator& integrator, const at::Tensor& u0,
                                 const std::vector<double>& times, const at::Tensor& weights) {
  system.network->parameters().zero_gradient();
  Gradient g;
  g.snapshots = integrator.forward(mine(u0), times, ts::Record::yes).clone();
  g.u0_bar = integrator.adjoint(mine(weights, 1)).clone();
  g.theta_bar = sum_over_ranks(system.network->parameters().gradient());
  return g;
}

/// The same by torch's autograd through all samples on every rank.
inline Gradient unrolled(const System& system, const std::string& method, const at::Tensor& u0,
                         const std::vector<double>& steps, const std::vector<std::size_t>& observed,
                         const at::Tensor& weights) {
  const torch::AutoGradMode with_grad(true);
  const at::Tensor leaf = u0.clone().requires_grad_(true);
  const auto states = reference::integrate(method, system.problem(), leaf, steps);
  std::vector<at::Tensor> snapshots;
  for (const std::size_t index : observed) snapshots.push_back(states.at(index - 1));
  const at::Tensor stacked = at::stack(snapshots);
  std::vector<at::Tensor> inputs = {leaf};
  for (const auto& theta : system.network->parameters().tensors()) inputs.push_back(theta);
  const auto bars = torch::autograd::grad({(stacked * weights).sum()}, inputs);
  std::vector<at::Tensor> flat;
  for (std::size_t i = 1; i < bars.size(); ++i) flat.push_back(bars[i].reshape({-1}));
  return {mine(stacked.detach(), 1), mine(bars[0]), at::cat(flat).to(at::kDouble)};
}

inline double relative(const at::Tensor& a, const at::Tensor& b) {
  if (b.numel() == 0) return 0;
  return ((a - b).norm() / b.norm().clamp_min(1e-300)).item<double>();
}

/// Sets a PETSc option for the life of the object.
class Option {
 public:
  Option(std::string name, const std::string& value) : name_(std::move(name)) {
    ESPALIER_CALL(PetscOptionsSetValue(nullptr, name_.c_str(), value.c_str()));
  }
  ~Option() { (void)PetscOptionsClearValue(nullptr, name_.c_str()); }
  Option(const Option&) = delete;
  Option& operator=(const Option&) = delete;

 private:
  std::string name_;
};

}  // namespace fixture
