#include "espalier/train/rollout.hpp"

#include <ATen/ATen.h>

#include "espalier/core/error.hpp"
#include "espalier/core/progress.hpp"

namespace espalier::train {

Rollout roll_out(MPI_Comm comm, IntegratorObjective& objective, const at::Tensor& u0, std::int64_t intervals,
                 const std::string& label) {
  ESPALIER_REQUIRE(intervals >= 1, "a rollout must be at least one interval long");
  Rollout rollout;
  const at::Tensor states = at::empty({intervals + 1, u0.size(0), u0.size(1)}, u0.options());
  states[0].copy_(u0);
  std::int64_t reached = 0;
  core::Progress progress(comm, label, intervals);
  try {
    while (reached < intervals) {
      states[reached + 1].copy_(objective.predict(states[reached], 1)[0]);
      progress.update(++reached, "");
    }
  } catch (const NumericalError& error) {  // on all ranks together
    progress.close();
    rollout.stopped_by = error.what();
  }
  rollout.states = states.narrow(0, 0, reached + 1);
  rollout.time_reached = objective.interval() * static_cast<double>(reached);
  if (!rollout.complete())  // the message knows the time within the interval only
    ESPALIER_CALL(PetscPrintf(comm, "the %s ended early: %s (in the interval after time %g)\n", label.c_str(),
                              rollout.stopped_by.c_str(), rollout.time_reached));
  return rollout;
}

std::vector<double> to_vector(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

}  // namespace espalier::train
