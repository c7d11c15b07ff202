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
  store,    ///< put the content into the slot, which is empty
  restore,  ///< get it back, and keep it; stages of a step are as good as the step itself
  discard,  ///< the slot may be written over
  reverse   ///< the adjoint of step `from`, whose stages are there
};

/// Step n leads from the state u_n to u_(n+1). In a method whose last stage is u_(n+1), a stiffly accurate one, the
/// stages bring that state along: restored without it they let the run go on from u_(n+1) all the same.
enum class Content {
  state,            ///< u_from: one unit
  stages,           ///< those of step `from`, the last one taken: Budget::stages units
  state_and_stages  ///< the stages of step `from` and the state u_(from+1) after it: one unit more, none if stiffly
                    ///< accurate
};

/// Slots are numbered from 0 in each.
enum class Level { memory, disk };

struct Action {
  Kind kind;
  long from;
  long to = 0;     ///< of advance
  long slot = -1;  ///< of store, restore and discard
  Content content = Content::state;
  Level level = Level::memory;
};

/// What a schedule may keep at any time, in units: vectors as long as a state.
struct Budget {
  long memory = 0;
  long disk = 0;
  long stages = 1;                ///< vectors that the stages of a step are
  bool stiffly_accurate = false;  ///< the last of them is the state after the step
};

/// A run and its adjoint, action by action: the run's own steps first, then the adjoint of each step from the last one
/// back to step 0. The run only advances, stores and discards. Not collective.
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

/// - "all": the stages of every step; none is repeated, and the budget does not count. The others keep within it.
/// - "binomial": states only, u_0 among them, in memory (Griewank & Walther, ACM TOMS 26, 2000).
/// - "multistage": states and stages as in CAMS (Zhang & Constantinescu, ICCS 2021 and J. Comput. Sci. 66, 2023). A
///   stored state is kept until the step from it has been reversed; stages are stored without the state after them only
///   where those of the next step follow.
/// - "mixed": the fewest repeated steps that any order of advancing, storing, restoring and discarding allows, by
///   dynamic programming over states and stages; never more than with the others in memory, none where all stages fit.
/// - "disk": binomial with states in memory and on disk together. Of the states that are stored first, second, ... at a
///   time those that are accessed least are on disk (Stumm & Walther, SIAM J. Sci. Comput. 31, 2009).
/// - "online": `steps` is a guess that does not matter. In the run, states in memory are given up for later ones, as in
///   dynamic checkpointing (Wang, Moin & Iaccarino, SIAM J. Sci. Comput. 31, 2009; Stumm & Walther, SIAM J. Sci.
///   Comput. 32, 2010); when it has ended the steps between them are reversed as by "mixed". With states alone it
///   repeats at most 1.1 times the steps of "binomial" from 6 units on, and with 2, 3, 4, 5 units at most 14/11, 15/13,
///   9/8, 10/9 times, in runs of 7 to 9 steps, where no other choice of states does better (2 to 30 units, all runs of
///   up to 2000 steps, some of up to 20000).
///
/// The tables of multistage, mixed and online take up to 3 s and 110 MB, for 20000 steps with 1000 units, and are kept
/// for the next schedule. In larger runs the steps beyond the tables are parted as is best for states alone, or, where
/// that is possible, such that no step is repeated twice.
///
/// Where all stages fit exactly into the budget and then the run is longer than announced, multistage and mixed have
/// nothing to give up: they exceed the budget by a state and the stages of a step. Stiffly accurate methods do not.
///
/// Throws std::invalid_argument when there is no such schedule, steps < 1, or the budget is too small: at least one
/// unit in memory, for disk one on disk, for all none.
std::unique_ptr<Schedule> make_schedule(const std::string& name, long steps, const Budget& budget);
const std::vector<std::string>& schedule_names();

/// What a schedule does, told beforehand.
struct Plan {
  std::string schedule;
  long steps;
  std::int64_t repeated_steps;  ///< beyond the run's own, a step repeated k times counting as k
  long peak_memory_units;
  long peak_disk_units;
  std::int64_t disk_writes;
  std::int64_t disk_reads;
};

/// Exactly what make_schedule's schedule does, without walking through it. Throws as make_schedule does.
Plan plan(const std::string& name, long steps, const Budget& budget);

/// Of binomial, mixed and disk, the one that repeats the fewest steps within the budget; the first of them if there are
/// several. (Where all stages fit that is mixed, which stores them as "all" does but keeps within the budget if the run
/// turns out longer.) Throws std::invalid_argument when the budget is too small for any, or steps < 1.
std::string best_schedule(long steps, const Budget& budget);

/// t(m, s) = r m - C(s + r, r - 1), r the smallest number with m <= C(s + r, s): how many of m steps the binomial
/// schedule repeats with s units, a step repeated k times counting as k. The run's own m steps are not among them, and
/// with its last step the stages are there. Griewank and Walther count the same number as steps taken without being
/// recorded: m - 1 of them in the run itself, where here each recording but the last is a repetition.
std::int64_t binomial_repetitions(long m, long s);

}  // namespace espalier::checkpoint
