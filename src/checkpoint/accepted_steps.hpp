// The sizes that a TS has tried for its steps, and steps of given sizes that no step control looks at.
#pragma once

#include <petscts.h>

#include <vector>

namespace espalier::checkpoint {

struct StepWatch;

/// Watches the step control of `ts`. May be called again, and must be when -ts_adapt_type has changed.
void watch_steps(TS ts);
/// The sizes that were tried for the step accepted last, that one at the end. PETSc keeps a size only until the next
/// one is proposed, and t_(n+1) - t_n is not it: the difference is rounded. Those that were rejected matter as well:
/// TSRK returns to the state before by subtraction, with another rounding for each.
const std::vector<PetscReal>& sizes_of_last_step(TS ts);

/// As long as it lives, the watched step control follows the sizes that take() is told for the next step, proposes none
/// after them, hits no observation time and prints nothing. What it remembers from step to step is put back afterwards.
class FrozenSteps {
 public:
  explicit FrozenSteps(TS ts);
  ~FrozenSteps();
  FrozenSteps(const FrozenSteps&) = delete;
  FrozenSteps& operator=(const FrozenSteps&) = delete;

  /// Sizes as sizes_of_last_step() told them; the TS begins with the first one.
  void take(const std::vector<PetscReal>& sizes);

 private:
  TS ts_;
  TSExactFinalTimeOption final_time_;
  PetscViewer monitor_;
  PetscReal cached_size_;
  StepWatch* watch_;
};

}  // namespace espalier::checkpoint
