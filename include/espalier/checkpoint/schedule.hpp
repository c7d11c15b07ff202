// Which states of a run to keep and which steps to repeat, so that its adjoint gets by with little memory. Pure
// arithmetic: neither PETSc nor vectors.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace espalier::checkpoint {

enum class Kind {
  advance,  ///< take the steps from .. to - 1; the stages of the last one remain
  store,    ///< put into the slot: the state u_from, or the stages of step `from`, the last one taken
  restore,  ///< get it back; stages of a step are as good as the step itself
  discard,  ///< the slot may be written over
  reverse   ///< the adjoint of step `from`, whose stages are there
};

enum class Content { state, stages };

/// Step n leads from the state u_n to u_(n+1).
struct Action {
  Kind kind;
  long from;
  long to = 0;     ///< of advance
  long slot = -1;  ///< of store, restore and discard
  Content content = Content::state;
};

/// A run and its adjoint, action by action: the run's own steps first, then the adjoint of each step from the last one
/// back to step 0. Not collective.
class Schedule {
 public:
  virtual ~Schedule() = default;
  /// What to do next. Throws std::logic_error when nothing is left.
  virtual Action next() = 0;
  /// Says how many steps there are when that turns out to be another number than was thought: the run, of which no
  /// step has been reversed yet, stands at u_at and has `steps` steps; its end, with at = steps, may come at any time.
  /// What is stored remains. Schedules that were told the right number before are optimal, others only correct.
  virtual void announce(long at, long steps) = 0;
  /// Steps that are not reversed yet.
  virtual long steps() const = 0;
};

/// "all": the stages of every step, none is repeated. "binomial": at most `units` states, u_0 among them, and the
/// fewest steps repeated (Griewank & Walther, ACM TOMS 26, 2000). Throws std::invalid_argument when there is no such
/// schedule, steps < 1, or units < 1 for those that count them.
std::unique_ptr<Schedule> make_schedule(const std::string& name, long steps, long units);
const std::vector<std::string>& schedule_names();

/// t(m, s) = r m - C(s + r, r - 1), r the smallest number with m <= C(s + r, s): how many of m steps the binomial
/// schedule repeats with s units, a step repeated k times counting as k. The run's own m steps are not among them, and
/// with its last step the stages are there. Griewank and Walther count the same number as steps taken without being
/// recorded: m - 1 of them in the run itself, where here each recording but the last is a repetition.
std::int64_t binomial_repetitions(long m, long s);

}  // namespace espalier::checkpoint
