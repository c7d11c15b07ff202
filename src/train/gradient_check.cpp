#include "espalier/train/gradient_check.hpp"

#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/petsc/tensor_view.hpp"
#include "espalier/train/batches.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

namespace {

constexpr std::int64_t check_samples = 8;
constexpr double dot_product_tolerance = 1e-12;
constexpr double slope_tolerance = 0.1;
// A stiff operator leaves the range of its expansion sooner than a network.
constexpr double stiff_first_step = 1e-3;
constexpr double difference_tolerance = 1e-6;
constexpr double float_tolerance = 1e-5;

/// Mean squared error of one fixed batch over all ranks' samples, as a function of the parameters and initial states.
class BatchLoss {
 public:
  BatchLoss(MPI_Comm comm, const CheckedModel& model, const CheckedExperiment& experiment, const WindowDataset& windows)
      : comm_(comm), parameters_(model::joined_parameters(model.system)), times_(experiment.times) {
    int rank = 0;
    int size = 1;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    const std::int64_t samples = std::min(check_samples, windows.size());
    const Range mine = windows.part_of({0, samples}, rank, size);
    const Batch batch = windows.gather_range(mine.first, mine.count);
    u0_ = batch.u0;
    targets_ = batch.targets.transpose(0, 1);
    weight_ = 1 / static_cast<double>(samples * windows.intervals() * windows.dof());
    const ts::BatchShape shape{mine.count, u0_.size(1)};
    integrator_ = std::make_unique<ts::Integrator>(comm, shape, model.system, experiment.integrator);
  }

  double value(const at::Tensor& u0) {
    const at::Tensor& predicted = integrator_->forward(u0, times_, ts::Record::no);
    return sum_over_ranks(weight_ * (predicted - targets_).square().sum().item<double>());
  }

  struct Gradient {
    at::Tensor theta_bar;  // of all ranks' samples
    at::Tensor u0_bar;     // of this rank's samples
  };
  Gradient gradient() {
    parameters_.zero_gradient();
    const at::Tensor& predicted = integrator_->forward(u0_, times_, ts::Record::yes);
    Gradient g;
    g.u0_bar = integrator_->adjoint((predicted - targets_).mul_(2 * weight_)).clone();
    g.theta_bar = parameters_.gradient().to(at::kDouble, false, true).contiguous();
    MPI_Allreduce(MPI_IN_PLACE, g.theta_bar.data_ptr<double>(), static_cast<int>(g.theta_bar.numel()), MPI_DOUBLE,
                  MPI_SUM, comm_);
    return g;
  }

  double sum_over_ranks(double local) const {
    MPI_Allreduce(MPI_IN_PLACE, &local, 1, MPI_DOUBLE, MPI_SUM, comm_);
    return local;
  }
  nn::FlatParameters& parameters() { return parameters_; }
  const at::Tensor& u0() const { return u0_; }
  double first_time() const { return times_.front(); }

 private:
  MPI_Comm comm_;
  nn::FlatParameters parameters_;
  at::Tensor u0_;
  at::Tensor targets_;  // [intervals, samples, dof]
  double weight_ = 1;
  std::vector<double> times_;
  std::unique_ptr<ts::Integrator> integrator_;
};

at::Tensor random_direction(const at::Tensor& like, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(like.sizes(), generator, like.options()) * like.abs().mean();
}

using Terms = std::vector<std::pair<std::string, std::shared_ptr<model::Term>>>;

// A direction in the parameters of these terms, each at the scale of its own parameters; zero in all others.
at::Tensor parameter_direction(const nn::FlatParameters& all, const Terms& terms) {
  at::Tensor direction = at::zeros_like(all.values());
  std::uint64_t seed = 20240401;
  for (const auto& entry : terms)
    for (const auto* part : entry.second->parameters()) {
      const std::int64_t first = part->values().storage_offset() - all.values().storage_offset();
      direction.narrow(0, first, part->count()).copy_(random_direction(part->values(), seed++));
    }
  return direction;
}

Line along_terms(BatchLoss& loss, const at::Tensor& theta_bar, const Terms& terms) {
  const at::Tensor direction = parameter_direction(loss.parameters(), terms);
  const auto value = train::along_parameters(loss.parameters(), direction, [&loss] { return loss.value(loss.u0()); });
  return {value, theta_bar.dot(direction).item<double>()};
}

Line along_initial_state(BatchLoss& loss, const at::Tensor& u0_bar) {
  const at::Tensor direction = loss.u0().numel() == 0 ? loss.u0() : random_direction(loss.u0(), 20240402);
  const auto value = [&loss, direction](double e) { return loss.value(loss.u0() + e * direction); };
  return {value, loss.sum_over_ranks((u0_bar * direction).sum().item<double>())};
}

// min over e of |(f(e) - f(-e)) / 2 e - derivative| / |derivative|: the error falls with e until rounding takes over,
// also where f has kinks.
double difference_error(const Line& line) {
  // Wide steps meet kinks of the activations, narrow ones rounding: between them few may be left.
  double least = std::numeric_limits<double>::infinity();
  for (double e = 1e-4; e > 1e-8; e /= 2) {
    const double difference = (line.value(e) - line.value(-e)) / (2 * e);
    least = std::min(least, std::abs(difference - line.derivative) / std::abs(line.derivative));
  }
  return least;
}

std::vector<std::string> dot_products(MPI_Comm comm, const CheckedModel& checked, double t, const at::Tensor& u0,
                                      core::RunReport& report) {
  petsc::VecHandle u;
  ESPALIER_CALL(VecCreateMPI(comm, static_cast<PetscInt>(u0.numel()), PETSC_DETERMINE, u.out()));
  {
    const petsc::TensorView view(u.get(), u0.sizes(), petsc::Access::write);
    view.tensor().copy_(u0);
  }
  std::vector<std::string> failures;
  for (const auto& [name, term] : checked.terms) {
    const double error = model::dot_product_error(*term, t, u.get(), 1);
    ESPALIER_CALL(
        PetscPrintf(comm, "  dot product <w, J v> = <J^T w, v>, %-12s relative error %.1e\n", name.c_str(), error));
    report.metric("grad_check_dot_" + name.substr(0, name.find(' ')), error);
    if (!(error <= dot_product_tolerance)) failures.push_back("dot product of the " + name);
  }
  return failures;
}

bool taylor_slope(MPI_Comm comm, const std::string& what, const std::string& metric, const Line& line,
                  core::RunReport& report, double first_step = 1e-1) {
  const model::TaylorTest test = model::taylor_test(line.value, line.derivative, first_step);
  line.value(0);
  ESPALIER_CALL(PetscPrintf(comm, "  Taylor remainder in %s (slope %.3f):\n", what.c_str(), test.slope()));
  for (std::size_t i = 0; i < test.steps.size(); ++i)
    ESPALIER_CALL(PetscPrintf(comm, "    step %.2e  remainder %.3e\n", test.steps[i], test.remainders[i]));
  report.metric(metric, test.slope());
  return test.passed(slope_tolerance);
}

// Each group of parameters by itself: the larger one would hide an error in the other.
std::vector<std::string> slopes_of_groups(MPI_Comm comm, const CheckedModel& checked, BatchLoss& loss,
                                          const at::Tensor& theta_bar, core::RunReport& report) {
  std::vector<std::string> failures;
  for (const auto& group : checked.terms) {
    const auto& [name, term] = group;
    if (term->parameters().empty()) continue;
    const bool network = term == checked.network;
    const std::string metric = network ? "" : "_" + name.substr(0, name.find(' '));
    if (!taylor_slope(comm, "the parameters of the " + name, "grad_check_slope" + metric,
                      along_terms(loss, theta_bar, {group}), report, network ? 1e-1 : stiff_first_step))
      failures.push_back("Taylor slope in the parameters of the " + name);
  }
  return failures;
}

bool is_smooth(nn::Activation activation) {
  return activation != nn::Activation::relu && activation != nn::Activation::leaky_relu;
}

// The products of each term, and a difference of the objective in all parameters.
std::vector<std::string> check_products(MPI_Comm comm, const CheckedModel& model, BatchLoss& loss,
                                        const at::Tensor& theta_bar, core::RunReport& report) {
  std::vector<std::string> failures = dot_products(comm, model, loss.first_time(), loss.u0(), report);
  const Line line = along_terms(loss, theta_bar, model.terms);
  const double error = difference_error(line);
  line.value(0);
  ESPALIER_CALL(PetscPrintf(comm, "  central difference in the parameters: relative error %.1e\n", error));
  report.metric("grad_check_difference", error);
  if (!(error <= difference_tolerance)) failures.emplace_back("central difference in the parameters");
  return failures;
}

std::vector<std::string> check_slopes(MPI_Comm comm, const CheckedModel& model, BatchLoss& loss,
                                      core::RunReport& report) {
  const BatchLoss::Gradient gradient = loss.gradient();
  std::vector<std::string> failures = slopes_of_groups(comm, model, loss, gradient.theta_bar, report);
  if (!taylor_slope(comm, "the initial state", "grad_check_slope_u0", along_initial_state(loss, gradient.u0_bar),
                    report))
    failures.emplace_back("Taylor slope in the initial state");
  return failures;
}

void append(std::vector<std::string>& all, const std::vector<std::string>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

std::function<double(double)> along_parameters(nn::FlatParameters& parameters, const at::Tensor& direction,
                                               std::function<double()> loss) {
  // theta = theta_0 + e d.
  return [&parameters, start = parameters.values().clone(), direction, loss = std::move(loss)](double e) {
    const torch::NoGradGuard no_grad;
    parameters.values().copy_(start + e * direction);
    parameters.mark_changed();
    return loss();
  };
}

void check_gradient(MPI_Comm comm, const CheckedExperiment& experiment, const WindowDataset& windows,
                    core::RunReport& report) {
  const torch::NoGradGuard no_grad;
  ESPALIER_CALL(PetscPrintf(comm, "gradient check, method %s:\n", experiment.integrator.method.c_str()));
  const CheckedModel model = experiment.make_model({});
  BatchLoss loss(comm, model, experiment, windows);
  const at::Tensor theta_bar = loss.gradient().theta_bar;
  std::vector<std::string> failures = check_products(comm, model, loss, theta_bar, report);

  if (experiment.has_kinks)
    ESPALIER_CALL(
        PetscPrintf(comm, "  now with tanh: at the kinks of the network's activation there is no expansion\n"));
  const CheckedModel smooth_model = experiment.make_model({false, true});
  BatchLoss smooth_loss(comm, smooth_model, experiment, windows);
  append(failures, check_slopes(comm, smooth_model, smooth_loss, report));

  if (experiment.single_precision) {
    const CheckedModel rounded = experiment.make_model({true, false});
    const at::Tensor difference = BatchLoss(comm, rounded, experiment, windows).gradient().theta_bar - theta_bar;
    const double float_error = (difference.norm() / theta_bar.norm()).item<double>();
    ESPALIER_CALL(PetscPrintf(comm, "  float network against double network: relative difference %.1e\n", float_error));
    report.metric("grad_check_float", float_error);
    if (!(float_error <= float_tolerance)) failures.emplace_back("gradient of the float network");
  }
  ESPALIER_CALL(PetscPrintf(comm, "gradient check: %s\n", failures.empty() ? "passed" : "FAILED"));
  if (!failures.empty()) throw NumericalError("the gradient check failed: " + core::join(failures), __FILE__, __LINE__);
}

void check_gradient(MPI_Comm comm, const ModelFactory& make_model, const nn::MlpSettings& network,
                    const ts::IntegratorSettings& integrator, double interval, const WindowDataset& windows,
                    core::RunReport& report) {
  CheckedExperiment experiment;
  experiment.integrator = integrator;
  for (std::int64_t k = 0; k <= windows.intervals(); ++k) experiment.times.push_back(interval * static_cast<double>(k));
  experiment.single_precision = network.single_precision;
  experiment.has_kinks = !is_smooth(network.activation);
  experiment.make_model = [&](const ModelVariant& variant) {
    nn::MlpSettings settings = network;
    settings.single_precision = variant.single_precision;
    if (variant.smooth && experiment.has_kinks) settings.activation = nn::Activation::tanh;
    return make_model(settings);
  };
  check_gradient(comm, experiment, windows, report);
}

void check_gradient(MPI_Comm comm, Objective& objective, const WindowDataset& windows, core::RunReport& report) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  const std::int64_t samples = std::min(check_samples, windows.size());
  const Range mine = windows.part_of({0, samples}, rank, size);
  const Batch batch = windows.gather_range(mine.first, mine.count);
  const double weight = 1 / static_cast<double>(samples * windows.intervals() * windows.dof());
  nn::FlatParameters& parameters = objective.parameters();
  parameters.zero_gradient();
  (void)objective.sum_and_gradient(batch.u0, batch.targets, weight);
  const at::Tensor theta_bar = parameters.gradient().to(at::kDouble, false, true).contiguous();
  MPI_Allreduce(MPI_IN_PLACE, theta_bar.data_ptr<double>(), static_cast<int>(theta_bar.numel()), MPI_DOUBLE, MPI_SUM,
                comm);
  const at::Tensor direction = random_direction(parameters.values(), 20240401);
  const auto loss = [&] {
    double sum = weight * objective.sum(batch.u0, batch.targets);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm);
    return sum;
  };
  report_difference(comm, {along_parameters(parameters, direction, loss), theta_bar.dot(direction).item<double>()},
                    report);
}

void report_difference(MPI_Comm comm, const Line& line, core::RunReport& report) {
  const double error = difference_error(line);
  line.value(0);
  const bool passed = error <= difference_tolerance;
  report.metric("grad_check_difference", error);
  ESPALIER_CALL(PetscPrintf(comm,
                            "gradient check:\n  central difference in the parameters: relative error %.1e\n"
                            "gradient check: %s\n",
                            error, passed ? "passed" : "FAILED"));
  if (!passed)
    throw NumericalError("the gradient check failed: central difference in the parameters", __FILE__, __LINE__);
}

}  // namespace espalier::train
