#include "classification.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/utils.h>

#include <algorithm>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/train/gradient_check.hpp"

namespace grand {

using namespace espalier;

Classification::Classification(Model& model, const data::Graph& graph, std::uint64_t seed)
    : model_(model),
      seed_(seed),
      labels_(to_tensor(graph.labels)),
      train_(to_tensor(graph.split->train)),
      val_(to_tensor(graph.split->val)),
      test_(to_tensor(graph.split->test)) {}

// The masks depend on seed and epoch only: a resumed run draws the same ones.
at::Tensor Classification::loss() {
  at::Generator generator = at::detail::createCPUGenerator(core::mix(core::mix(seed_) ^ epoch_));
  const at::Tensor logits = model_.logits(&generator);
  return at::cross_entropy_loss(logits.index_select(0, train_), labels_.index_select(0, train_));
}

double Classification::sum_and_gradient(const at::Tensor& /*u0*/, const at::Tensor& /*targets*/, double weight) {
  const torch::AutoGradMode with_grad(true);
  const at::Tensor value = loss();
  checkpoint_bytes_ = std::max(
      checkpoint_bytes_, model_.integrator().checkpoint_bytes() + static_cast<double>(model_.attention().kept_bytes()));
  (value * weight).backward();
  return value.item<double>();
}

double Classification::sum(const at::Tensor& /*u0*/, const at::Tensor& /*targets*/) {
  const torch::NoGradGuard no_grad;
  return loss().item<double>();
}

train::Counters Classification::counters() const {
  const auto& network = model_.attention().counters();
  train::Counters total;
  total.nfe_forward = network.forward;
  total.nfe_adjoint = network.adjoint;
  total.nfe_recomputed = network.recomputed;
  total.jvp_forward = network.tangent;
  total.ksp_its_forward = model_.integrator().ksp_iterations_forward();
  total.ksp_its_adjoint = model_.integrator().ksp_iterations_adjoint();
  return total;
}

Accuracy Classification::accuracy() {
  const torch::NoGradGuard no_grad;
  const at::Tensor right = model_.logits(nullptr).argmax(1).eq(labels_).to(at::kDouble);
  const auto part = [&](const at::Tensor& nodes) { return right.index_select(0, nodes).mean().item<double>(); };
  return {part(train_), part(val_), part(test_)};
}

double Classification::validation_error() {
  const long before = model_.attention().counters().forward;
  last_ = accuracy();
  evaluation_calls_ = model_.attention().counters().forward - before;
  return 1 - last_.val;
}

void Classification::epoch_done(train::HistoryRow& row) {
  ++epoch_;
  if (evaluation_calls_ == 0) return;  // no validation in this epoch
  row.record.nfe_forward += evaluation_calls_;
  evaluation_calls_ = 0;
  row.extra["train_accuracy"] = last_.train;
  row.extra["val_accuracy"] = last_.val;
  row.extra["test_accuracy"] = last_.test;
  if (best_epoch_ > 0 && last_.val <= best_.val) return;
  best_ = last_;
  best_epoch_ = row.record.epoch;
}

void Classification::save(train::RestartState& state) const {
  state.numbers["grand_best_epoch"] = best_epoch_;
  state.numbers["grand_best_train"] = best_.train;
  state.numbers["grand_best_val"] = best_.val;
  state.numbers["grand_best_test"] = best_.test;
  const auto& statistics = model_.statistics();
  if (!statistics.mean.defined()) return;
  state.tensors["grand_batch_norm_mean"] = statistics.mean;
  state.tensors["grand_batch_norm_variance"] = statistics.variance;
}

void Classification::restore(const train::RestartState& state) {
  epoch_ = static_cast<std::uint64_t>(state.epoch);
  best_epoch_ = static_cast<int>(state.numbers.at("grand_best_epoch"));
  best_ = {state.numbers.at("grand_best_train"), state.numbers.at("grand_best_val"),
           state.numbers.at("grand_best_test")};
  auto& statistics = model_.statistics();
  if (!statistics.mean.defined()) return;
  statistics.mean.copy_(state.tensors.at("grand_batch_norm_mean"));
  statistics.variance.copy_(state.tensors.at("grand_batch_norm_variance"));
}

void check_gradient(MPI_Comm comm, Model& model, Classification& objective, core::RunReport& report) {
  ESPALIER_CALL(PetscPrintf(comm, "gradient check, method %s, with tanh in the decoder and fixed dropout:\n",
                            model.integrator().method().name.c_str()));
  objective.parameters().zero_gradient();
  objective.sum_and_gradient({}, {}, 1);
  std::vector<std::string> failures;
  std::uint64_t seed = 20240401;
  for (const auto& [name, group] : model.groups()) {
    at::Generator generator = at::detail::createCPUGenerator(seed++);
    const at::Tensor direction = at::randn({group->count()}, generator, group->values().options()) * 0.1;
    const auto value = train::along_parameters(*group, direction, [&] { return objective.sum({}, {}); });
    const model::TaylorTest test = model::taylor_test(value, group->gradient().dot(direction).item<double>());
    value(0);
    ESPALIER_CALL(PetscPrintf(comm, "  %-10s %8lld parameters, |gradient| %.3e, Taylor slope %.3f\n", name.c_str(),
                              static_cast<long long>(group->count()), group->gradient().norm().item<double>(),
                              test.slope()));
    report.metric("grad_check_slope_" + name, test.slope());
    if (!test.passed()) failures.push_back(name);
  }
  ESPALIER_CALL(PetscPrintf(comm, "gradient check: %s\n", failures.empty() ? "passed" : "FAILED"));
  if (!failures.empty())
    throw NumericalError("the gradient check failed in: " + core::join(failures), __FILE__, __LINE__);
}

}  // namespace grand
