// The course of an experiment with a series of states: a network beside a linear operator is trained on windows of it.
#pragma once

#include <mpi.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "espalier/core/report.hpp"
#include "espalier/io/series.hpp"
#include "espalier/model/linear_term.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/series_windows.hpp"
#include "espalier/train/trainer_options.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

/// du/dt = G(u; theta) + A u.
struct SeriesModel {
  std::shared_ptr<model::NeuralTerm> network;  ///< G
  std::shared_ptr<model::LinearTerm> linear;   ///< A, perhaps trained
  model::SplitSystem system() const { return {network, linear}; }
  CheckedModel checked() const;
};

/// What the options decide in every such experiment.
struct SeriesSettings {
  nn::MlpSettings network;
  ts::IntegratorSettings integrator;
  TrainerOptions training;
  std::string output;  ///< folder for restart files; empty: none
};

/// From the series to a trained model. All calls are collective on `comm`; the report must outlive the object.
class SeriesExperiment {
 public:
  /// Makes the same model on every rank.
  using Factory = std::function<SeriesModel(const nn::MlpSettings&)>;

  /// Puts seed and method into the report, makes the output folder, then asks for the series and splits it: the first
  /// part trains, the rest is never seen. `name`: of the program, for its output. Throws UserError.
  SeriesExperiment(MPI_Comm comm, std::string name, const SeriesSettings& settings,
                   const std::function<io::Series()>& series, core::RunReport& report);
  SeriesExperiment(const SeriesExperiment&) = delete;
  SeriesExperiment& operator=(const SeriesExperiment&) = delete;

  /// Instead of training: train::check_gradient() on a few windows.
  void check_gradient(const Factory& make_model) const;

  /// Trains, with a restart file that knows network, method, step and what `fingerprint` adds (`name=value` entries),
  /// and reports what the best model is worth and how far its A is from `wanted`, the operator that it should find.
  void train(const Factory& make_model, petsc::MatHandle wanted, const std::string& fingerprint);

  const io::Series& series() const { return series_; }
  bool holds_out() const { return windows_.held_out().size() > 0; }
  /// The states held out, [T, dof] or [R, T, dof].
  const at::Tensor& unseen() const { return windows_.unseen(); }
  /// The objective with the parameters of the best model, after train().
  IntegratorObjective& objective() { return *objective_; }

 private:
  std::string run_fingerprint(const std::string& own) const;
  void print_model() const;

  MPI_Comm comm_;
  std::string name_;
  SeriesSettings settings_;
  core::RunReport& report_;
  io::Series series_;
  SeriesWindows windows_;
  SeriesModel model_;
  std::optional<IntegratorObjective> objective_;
};

}  // namespace espalier::train
