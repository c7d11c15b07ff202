// A model whose squared error and gradient are known in closed form, and what tests of the training loop share.
#pragma once

#include <mpi.h>
#include <petscsys.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "espalier/core/report.hpp"
#include "espalier/train/objective.hpp"
#include "espalier/train/trainer.hpp"
#include "espalier/train/windows.hpp"

namespace espalier::train::testing {

/// predicted state after interval k (from 1): k (W u0 + b), with W [dof, dof] and b [dof]. Plain loops in double.
class LinearObjective : public Objective {
 public:
  /// Called with the number of the gradient evaluation before each one.
  std::function<void(long)> before_gradient;
  /// Added to each sum, for values that are not finite.
  std::function<double(long)> spoil;

  explicit LinearObjective(std::int64_t dof, at::ScalarType type = torch::kFloat64) : dof_(dof) {
    std::vector<at::Tensor> tensors = {torch::empty({dof, dof}, torch::kFloat64), torch::empty({dof}, torch::kFloat64)};
    for (auto& tensor : tensors) {
      auto* x = tensor.data_ptr<double>();
      for (std::int64_t i = 0; i < tensor.numel(); ++i) x[i] = 0.1 * static_cast<double>((7 * i + 3) % 11 - 5);
      tensor = tensor.to(type).requires_grad_(true);
    }
    parameters_ = nn::FlatParameters(tensors);
  }

  double sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) override {
    if (before_gradient) before_gradient(evaluations_);
    const at::Tensor gradient = torch::zeros({parameters_.count()}, torch::kFloat64);
    double s = evaluate(u0, targets, weight, gradient.data_ptr<double>());
    parameters_.gradient().add_(gradient.to(parameters_.gradient().scalar_type()));
    if (spoil) s += spoil(evaluations_);
    ++evaluations_;
    counters_.nfe_forward += 2;
    counters_.nfe_adjoint += 1;
    counters_.jvp_forward += 3;
    counters_.ksp_its_forward += 5;
    counters_.ksp_its_adjoint += 7;
    return s;
  }

  double sum(const at::Tensor& u0, const at::Tensor& targets) override {
    counters_.nfe_forward += 2;
    return evaluate(u0, targets, 0, nullptr);
  }

  nn::FlatParameters& parameters() override { return parameters_; }
  Counters counters() const override { return counters_; }
  double checkpoint_bytes() const override { return 1234; }
  long evaluations() const { return evaluations_; }

 private:
  double evaluate(const at::Tensor& u0, const at::Tensor& targets, double weight, double* gradient) const {
    const at::Tensor theta = parameters_.values().to(torch::kFloat64);
    const auto* w = theta.data_ptr<double>();
    const auto* b = w + dof_ * dof_;
    const auto* u = u0.data_ptr<double>();
    const auto* y = targets.data_ptr<double>();
    const std::int64_t intervals = targets.size(1);
    double s = 0;
    for (std::int64_t n = 0; n < u0.size(0); ++n)
      for (std::int64_t i = 0; i < dof_; ++i) {
        double z = b[i];
        for (std::int64_t j = 0; j < dof_; ++j) z += w[i * dof_ + j] * u[n * dof_ + j];
        for (std::int64_t k = 0; k < intervals; ++k) {
          const double c = static_cast<double>(k + 1);
          const double r = c * z - y[(n * intervals + k) * dof_ + i];
          s += r * r;
          if (gradient == nullptr) continue;
          for (std::int64_t j = 0; j < dof_; ++j) gradient[i * dof_ + j] += weight * 2 * r * c * u[n * dof_ + j];
          gradient[dof_ * dof_ + i] += weight * 2 * r * c;
        }
      }
    return s;
  }

  std::int64_t dof_;
  nn::FlatParameters parameters_;
  Counters counters_;
  long evaluations_ = 0;
};

/// States [times, dof] without structure, the same on every rank.
inline at::Tensor example_states(std::int64_t times, std::int64_t dof) {
  const at::Tensor states = torch::empty({times, dof}, torch::kFloat64);
  auto* x = states.data_ptr<double>();
  std::uint64_t bits = 12345;
  for (std::int64_t i = 0; i < states.numel(); ++i) {
    bits = bits * 6364136223846793005U + 1442695040888963407U;
    x[i] = static_cast<double>(bits >> 11U) / 9007199254740992.0 - 0.5;
  }
  return states;
}

/// One run of the loop on 4 dof with everything that a test may want to vary.
struct Run {
  MPI_Comm comm = MPI_COMM_WORLD;
  std::int64_t dof = 4;
  std::int64_t samples = 40;  ///< for training
  std::int64_t held_out = 11;
  TrainerOptions options;
  std::string output;  ///< folder
  std::string fingerprint = "network=linear; precision=double";
  LinearObjective objective{4};
  Companion* companion = nullptr;
  core::RunReport report{comm, "train_test"};

  Run() {
    (void)PetscOptionsSetValue(nullptr, "-progress", "none");
    options.epochs = 6;
    options.seed = 17;
    options.batch_size = 7;
    options.drop_last = false;
    options.window = 2;
    options.lr = 0.02;
    options.augment = "shift_reflect";
    options.overwrite = true;
    options.stop_requested = [] { return false; };
  }
  explicit Run(MPI_Comm on) : Run() { comm = on; }

  TrainResult train() {
    const std::int64_t k = options.window;
    const at::Tensor states = example_states(samples + held_out + 2 * k, dof);
    const WindowDataset train(states.narrow(0, 0, samples + k), k);
    const WindowDataset rest(states.narrow(0, samples + k, held_out > 0 ? held_out + k : 0), k);
    Trainer trainer(comm, objective, train, rest, options, report, output, fingerprint);
    if (companion != nullptr) trainer.add_companion(*companion);
    return trainer.train();
  }
  at::Tensor theta() { return objective.parameters().values(); }
};

}  // namespace espalier::train::testing
