#include "gradient_check.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/petsc/tensor_view.hpp"
#include "espalier/train/batches.hpp"
#include "espalier/train/integrator_objective.hpp"

namespace ks {

using namespace espalier;

namespace {

constexpr std::int64_t check_samples = 8;
constexpr double dot_product_tolerance = 1e-12;
constexpr double slope_tolerance = 0.1;
constexpr double float_tolerance = 1e-5;

/// The objective of one fixed batch: mean squared error over all ranks' samples.
struct BatchLoss {
  MPI_Comm comm;
  train::IntegratorObjective& objective;
  train::Batch batch;
  double weight;  // 1 / entries of the targets on all ranks

  double value(const at::Tensor& u0) const {
    double sum = weight * objective.sum(u0, batch.targets);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm);
    return sum;
  }
  at::Tensor gradient() const {
    objective.parameters().zero_gradient();
    objective.sum_and_gradient(batch.u0, batch.targets, weight);
    at::Tensor all = objective.parameters().gradient().to(at::kDouble, false, true).contiguous();
    MPI_Allreduce(MPI_IN_PLACE, all.data_ptr<double>(), static_cast<int>(all.numel()), MPI_DOUBLE, MPI_SUM, comm);
    return all;
  }
};

BatchLoss make_loss(MPI_Comm comm, train::IntegratorObjective& objective, const train::WindowDataset& windows) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  const std::int64_t samples = std::min(check_samples, windows.size());
  const train::Range mine = train::rank_slice({0, samples}, rank, size);
  const double entries = static_cast<double>(samples * windows.intervals() * windows.dof());
  return {comm, objective, windows.gather_range(mine.first, mine.count), 1 / entries};
}

// A kink of ReLU between theta_0 and theta_0 + e d spoils the expansion: fewer lie within smaller steps.
double first_step(nn::Activation activation) {
  const bool kinked = activation == nn::Activation::relu || activation == nn::Activation::leaky_relu;
  return kinked ? 1e-4 : 1e-1;
}

// theta <- theta_0 + e d for each value(), then back.
model::TaylorTest taylor_in_parameters(const BatchLoss& loss, double first) {
  at::Tensor& theta = loss.objective.parameters().values();
  const at::Tensor start = theta.clone();
  at::Generator generator = at::detail::createCPUGenerator(20240401);
  const at::Tensor direction = at::randn(start.sizes(), generator, start.options()) * start.abs().mean();
  const at::Tensor gradient = loss.gradient();
  const auto value = [&](double e) {
    theta.copy_(start + e * direction);
    return loss.value(loss.batch.u0);
  };
  const auto test = model::taylor_test(value, gradient.dot(direction).item<double>(), first);
  theta.copy_(start);
  return test;
}

std::vector<std::string> dot_products(MPI_Comm comm, const Model& model, const at::Tensor& u0,
                                      core::RunReport& report) {
  petsc::VecHandle u;
  ESPALIER_CALL(VecCreateMPI(comm, static_cast<PetscInt>(u0.numel()), PETSC_DETERMINE, u.out()));
  {
    const petsc::TensorView view(u.get(), u0.sizes(), petsc::Access::write);
    view.tensor().copy_(u0);
  }
  std::vector<std::string> failures;
  const std::vector<std::pair<std::string, espalier::model::Term*>> terms = {{"network", model.advection.get()},
                                                                             {"linear part", model.diffusion.get()}};
  for (const auto& [name, term] : terms) {
    const double error = espalier::model::dot_product_error(*term, 0, u.get(), 1);
    ESPALIER_CALL(
        PetscPrintf(comm, "  dot product <w, J v> = <J^T w, v>, %-12s relative error %.1e\n", name.c_str(), error));
    report.metric("grad_check_dot_" + name.substr(0, name.find(' ')), error);
    if (!(error <= dot_product_tolerance)) failures.push_back("dot product of the " + name);
  }
  return failures;
}

void print(MPI_Comm comm, const char* what, const model::TaylorTest& test) {
  ESPALIER_CALL(PetscPrintf(comm, "  Taylor remainder in %s (slope %.3f):\n", what, test.slope()));
  for (std::size_t i = 0; i < test.steps.size(); ++i)
    ESPALIER_CALL(PetscPrintf(comm, "    step %.2e  remainder %.3e\n", test.steps[i], test.remainders[i]));
}

}  // namespace

void check_gradient(MPI_Comm comm, const Settings& settings, nn::MlpSettings network,
                    const ts::IntegratorSettings& integrator, double interval, const train::WindowDataset& windows,
                    core::RunReport& report) {
  const torch::NoGradGuard no_grad;
  const bool single_precision = network.single_precision;
  network.single_precision = false;
  const Model model = make_model(settings, network);
  train::IntegratorObjective objective(comm, model.system(), model.advection, integrator, interval);
  const BatchLoss loss = make_loss(comm, objective, windows);
  ESPALIER_CALL(PetscPrintf(comm, "gradient check, method %s:\n", integrator.method.c_str()));

  std::vector<std::string> failures = dot_products(comm, model, loss.batch.u0, report);
  const auto in_parameters = taylor_in_parameters(loss, first_step(network.activation));
  print(comm, "the parameters", in_parameters);
  report.metric("grad_check_slope", in_parameters.slope());
  if (!in_parameters.passed(slope_tolerance)) failures.emplace_back("Taylor slope in the parameters");

  if (single_precision) {
    network.single_precision = true;
    const Model rounded = make_model(settings, network);
    train::IntegratorObjective float_objective(comm, rounded.system(), rounded.advection, integrator, interval);
    const at::Tensor exact = loss.gradient();
    const at::Tensor difference = make_loss(comm, float_objective, windows).gradient() - exact;
    const double error = (difference.norm() / exact.norm()).item<double>();
    ESPALIER_CALL(PetscPrintf(comm, "  float network against double network: relative difference %.1e\n", error));
    report.metric("grad_check_float", error);
    if (!(error <= float_tolerance)) failures.emplace_back("gradient of the float network");
  }
  ESPALIER_CALL(PetscPrintf(comm, "gradient check: %s\n", failures.empty() ? "passed" : "FAILED"));
  if (!failures.empty()) throw NumericalError("the gradient check failed: " + core::join(failures), __FILE__, __LINE__);
}

}  // namespace ks
