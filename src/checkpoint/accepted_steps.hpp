// The sizes of the steps that a TS has accepted, and steps of given sizes that no step control looks at.
#pragma once

#include <petscts.h>

namespace espalier::checkpoint {

/// Watches the step control of `ts`: from then on accepted_step_size() is that of the step accepted last. May be called
/// again, and must be when -ts_adapt_type has changed. PETSc keeps the size of a step only until the next one is
/// proposed, and t_(n+1) - t_n is not it: the difference is rounded.
void watch_accepted_steps(TS ts);
PetscReal accepted_step_size(TS ts);

/// As long as it lives the watched step control accepts every step, proposes no other, hits no observation time and
/// prints nothing. What it remembers from step to step is put back afterwards.
class FrozenSteps {
 public:
  explicit FrozenSteps(TS ts);
  ~FrozenSteps();
  FrozenSteps(const FrozenSteps&) = delete;
  FrozenSteps& operator=(const FrozenSteps&) = delete;

 private:
  TS ts_;
  TSExactFinalTimeOption final_time_;
  PetscViewer monitor_;
  PetscReal cached_size_;
};

}  // namespace espalier::checkpoint
