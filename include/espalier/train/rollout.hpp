// A trained model's own trajectories: integrated on from given states, as long as it stays finite.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/train/integrator_objective.hpp"

namespace espalier::train {

/// Predicted states of this rank's rollouts.
struct Rollout {
  at::Tensor states;        ///< [K + 1, n, dof], the given ones first; K intervals have been reached
  double time_reached = 0;  ///< K times the interval; the same on all ranks
  std::string stopped_by;   ///< what ended it early; empty: nothing did

  bool complete() const { return stopped_by.empty(); }
};

/// Integrates the states `u0` [n, dof] of this rank (n may be 0) over `intervals` intervals, one at a time, all samples
/// of all ranks as one batch. A model that blows up (NumericalError) is a result, not a failure of the program: the
/// rollout of every sample ends at the last interval that all of them have reached, and a line says why. Progress is
/// shown as `label`. Collective on `comm`, the objective's; every rank gives the same `intervals`, at least one.
Rollout roll_out(MPI_Comm comm, IntegratorObjective& objective, const at::Tensor& u0, std::int64_t intervals,
                 const std::string& label);

/// The values of a float64 tensor, row-major, as data:: and io:: take them.
std::vector<double> to_vector(const at::Tensor& tensor);

}  // namespace espalier::train
