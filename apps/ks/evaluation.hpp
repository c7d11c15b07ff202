// What a trained model is worth: long rollouts from unseen states beside the truth.
#pragma once

#include <torch/types.h>

#include "espalier/core/report.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/windows.hpp"
#include "model.hpp"

namespace ks {

/// Rolls the model out from unseen states of `held_out` [T, dof], T > 0, puts bounds, valid times and the distances of
/// energy spectrum and joint density from truth into the report, and writes rollout.h5 and rollout.xdmf (the first
/// rollout) to the output folder. A model that blows up is a result: it is reported with the time reached. Collective.
void evaluate_rollout(MPI_Comm comm, espalier::train::IntegratorObjective& objective, const Settings& settings,
                      const espalier::io::Series& series, const at::Tensor& held_out, const std::string& method,
                      espalier::core::RunReport& report);

}  // namespace ks
