// -grad_check of the apps: evidence for the gradient of an experiment as it is configured.
#pragma once

#include <mpi.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/report.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/train/objective.hpp"
#include "espalier/train/windows.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

/// A model of an experiment, as the check looks at it.
struct CheckedModel {
  model::SplitSystem system;
  std::shared_ptr<model::NeuralTerm> network;  ///< the trained part of the system; empty where it is no such term
  /// The terms whose products with Jacobians are compared, under the names that the report gets. Their parameters are
  /// those that are checked.
  std::vector<std::pair<std::string, std::shared_ptr<model::Term>>> terms;
};

/// Makes the experiment's model with a network of the given settings.
using ModelFactory = std::function<CheckedModel(const nn::MlpSettings&)>;

/// How a model of an experiment departs from the one that is trained.
struct ModelVariant {
  bool single_precision = false;
  bool smooth = false;  ///< without kinks in activations
};

/// An experiment as the check looks at it.
struct CheckedExperiment {
  std::function<CheckedModel(const ModelVariant&)> make_model;
  ts::IntegratorSettings integrator;
  std::vector<double> times;      ///< of a window's states, [intervals + 1]
  bool single_precision = false;  ///< of the model that is trained
  bool has_kinks = false;         ///< the model that is trained
};

/// Dot-product tests of the terms (at the first time of a window), and of the objective of a few windows: a central
/// difference in all parameters, Taylor tests in the parameters of each term and in the initial state (an activation
/// with kinks is replaced by tanh for these); a float network is compared with a double network of the same parameters.
/// Prints what was measured, puts it into the report and throws NumericalError when something is off. Collective on
/// `comm`.
void check_gradient(MPI_Comm comm, const CheckedExperiment& experiment, const WindowDataset& windows,
                    core::RunReport& report);
/// The same for a network of the given settings; `interval`: time between two states of a window.
void check_gradient(MPI_Comm comm, const ModelFactory& make_model, const nn::MlpSettings& network,
                    const ts::IntegratorSettings& integrator, double interval, const WindowDataset& windows,
                    core::RunReport& report);

/// A central difference of any objective in all parameters, along a random direction, on a few windows: for models that
/// are no systems of terms. Prints and reports the error as above, and throws NumericalError when it is not small. Give
/// it a network in double precision. Collective on `comm`.
void check_gradient(MPI_Comm comm, Objective& objective, const WindowDataset& windows, core::RunReport& report);

/// The loss along one direction, e -> f(x + e d), and what the gradient says about it, <gradient, d>.
struct Line {
  std::function<double(double)> value;
  double derivative;
};
/// What the check above does with a line. `value` is called collectively.
void report_difference(MPI_Comm comm, const Line& line, core::RunReport& report);

/// e -> loss() at theta + e `direction`, for differences and Taylor tests: parameters stay changed until the function
/// is asked for e = 0. `parameters` must outlive it. Collective if `loss` is.
std::function<double(double)> along_parameters(nn::FlatParameters& parameters, const at::Tensor& direction,
                                               std::function<double()> loss);

}  // namespace espalier::train
