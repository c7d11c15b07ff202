// The fewest repetitions with stages among what is stored: tables by dynamic programming, and what they say to do.
#pragma once

#include <cstdint>
#include <memory>

namespace espalier::checkpoint {

class CostTable;

/// What may be stored beside states.
struct Rules {
  long stages;            ///< units that the stages of a step take
  bool stiffly_accurate;  ///< and the state after the step is among them
  bool drops;             ///< a state is discarded where the stages of the step from it serve better
};

/// With m steps to reverse, repeated steps are counted beyond the first m. The machine stands at the first state, which
/// is not stored ("fresh": f units are free), stored by itself ("held") or with the stages of the step before
/// ("block").
///   fresh(m, f) = min(held(m, f - 1), K),
///     K = fresh(m - 1, f - l), or block(m - 1, f - l) if stiffly accurate: the stages of the first step are stored;
///   held(m, f)  = min over 1 <= d < m of d + again(d, f) + fresh(m - d, f): d steps, taken a second time in the end;
///   block(m, f) = the same with block(d, f) for again, or block(m - 1, f - l): the stages of the first step too;
/// all 0 for m = 1. With drops (schedule mixed) again(d, f) = fresh(d, f + 1): there the stored state may be given up.
/// It is then the optimum over all orders of advancing, storing, restoring and discarding. Without (schedule
/// multistage) again = block = held, and held(m, f) = 0 when the stages and states of all steps fit, or
/// <= held(m - 1, f - l) if stiffly accurate: the recurrences of CAMS (Zhang & Constantinescu, 2021 and 2023).
///
/// Tables hold up to 2e7 pairs (m, f), enough for 20000 steps with 1000 units, and 65535 steps. Longer runs go by
/// distances that are the best for states alone until the table reaches, or, where that is possible, such that no step
/// is repeated twice.
class Costs {
 public:
  /// For up to `steps` steps and `units` units. Tables are shared and kept until others are needed.
  Costs(const Rules& rules, long steps, long units);

  /// Fresh, m >= 2, f >= 1: the stages of the next step are stored, not the state.
  bool stages_first(long m, long f) const;
  /// Held, m >= 2, f units free beside it: how far to go; 0: store the stages of the next step.
  long distance_from_state(long m, long f) const;
  /// The same in a block.
  long distance_from_block(long m, long f) const;

  std::int64_t repeated_fresh(long m, long f) const;
  /// Of f free units so many stay unused all the time.
  long unused_fresh(long m, long f) const;
  const Rules& rules() const { return rules_; }

 private:
  enum class Start { fresh, held, block };
  struct Segment;
  struct Step;
  Step expand(const Segment& segment) const;
  std::int64_t near_value(const Segment& segment) const;
  long far_distance(long m, long f, bool in_block) const;

  Rules rules_;
  long near_;  // up to so many steps the table decides
  std::shared_ptr<const CostTable> table_;
};

}  // namespace espalier::checkpoint
