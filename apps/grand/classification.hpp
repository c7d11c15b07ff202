// Training of the graph model: cross-entropy of the training nodes, accuracies of all parts of the split.
#pragma once

#include <torch/types.h>

#include "espalier/core/report.hpp"
#include "espalier/train/objective.hpp"
#include "espalier/train/trainer.hpp"
#include "model.hpp"

namespace grand {

/// Parts of the nodes that are classified right.
struct Accuracy {
  double train = 0;
  double val = 0;
  double test = 0;
};

/// The objective of an epoch, which is one batch: the whole graph. After each epoch the trainer asks
/// validation_error(); as a companion the object then adds the accuracies and the evaluation's network calls to the
/// row, and remembers the test accuracy of the epoch with the best validation accuracy.
class Classification : public espalier::train::Objective, public espalier::train::Companion {
 public:
  /// `graph` needs a split. `seed`: of the dropout.
  Classification(Model& model, const espalier::data::Graph& graph, std::uint64_t seed);

  /// Mean cross-entropy over the training nodes, with dropout. The samples are ignored.
  double sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) override;
  double sum(const at::Tensor& u0, const at::Tensor& targets) override;
  espalier::nn::FlatParameters& parameters() override { return model_.parameters(); }
  espalier::train::Counters counters() const override;
  double checkpoint_bytes() const override { return checkpoint_bytes_; }

  /// Part of the validation nodes that is classified wrong, all features in use.
  double validation_error();

  void epoch_done(espalier::train::HistoryRow& row) override;
  void save(espalier::train::RestartState& state) const override;
  void restore(const espalier::train::RestartState& state) override;

  /// Accuracies of the current parameters.
  Accuracy accuracy();
  /// Those of the epoch with the best validation accuracy so far.
  const Accuracy& best() const { return best_; }
  int best_epoch() const { return best_epoch_; }

 private:
  at::Tensor loss();

  Model& model_;
  std::uint64_t seed_;
  at::Tensor labels_;
  at::Tensor train_, val_, test_;  // node numbers
  std::uint64_t epoch_ = 0;        // finished ones
  long evaluation_calls_ = 0;      // of the network, in the last validation
  Accuracy last_;
  Accuracy best_;
  int best_epoch_ = 0;
  double checkpoint_bytes_ = 0;
};

/// Central differences and Taylor tests along a direction in each group of parameters; puts what was measured into the
/// report and throws NumericalError when something is off. Collective.
void check_gradient(MPI_Comm comm, Model& model, Classification& objective, espalier::core::RunReport& report);

}  // namespace grand
