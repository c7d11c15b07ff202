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
#include "espalier/train/windows.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

/// A model of an experiment, as the check looks at it.
struct CheckedModel {
  model::SplitSystem system;
  std::shared_ptr<model::NeuralTerm> network;  ///< the trained part of the system
  /// The terms whose products with Jacobians are compared, under the names that the report gets. Their parameters are
  /// those that are checked.
  std::vector<std::pair<std::string, std::shared_ptr<model::Term>>> terms;
};

/// Makes the experiment's model with a network of the given settings.
using ModelFactory = std::function<CheckedModel(const nn::MlpSettings&)>;

/// Dot-product tests of the terms, and of the objective of a few windows: a central difference in all parameters,
/// Taylor tests in the parameters of each term and in the initial state (an activation with kinks is replaced by tanh
/// for these); a float network is compared with a double network of the same parameters. `interval`: time between two
/// states of a window. Prints what was measured, puts it into the report and throws NumericalError when something is
/// off. Collective on `comm`.
void check_gradient(MPI_Comm comm, const ModelFactory& make_model, const nn::MlpSettings& network,
                    const ts::IntegratorSettings& integrator, double interval, const WindowDataset& windows,
                    core::RunReport& report);

}  // namespace espalier::train
