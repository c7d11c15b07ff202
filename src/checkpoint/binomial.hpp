// Binomial checkpointing: states only (Griewank & Walther, ACM TOMS 26, 2000).
#pragma once

#include <cstdint>
#include <memory>

#include "espalier/checkpoint/schedule.hpp"

namespace espalier::checkpoint {

/// The smallest r with m <= C(s + r, s), for s >= 1.
std::int64_t repetitions_of_a_step(std::int64_t m, std::int64_t s);

/// How far to go from a stored state before the next one is stored, with m >= 2 steps to reverse and s >= 1 units, that
/// of the stored state among them: d + t(d, s) + t(m - d, s - 1) is smallest for
///   C(s+r-2, s) <= d <= C(s+r-1, s) and C(s+r-2, s-1) <= m - d <= C(s+r-1, s-1).
struct Distances {
  long least;
  long most;  ///< stores the fewest states
};
Distances binomial_distances(long m, long s);

std::unique_ptr<Schedule> make_binomial(long steps, const Budget& budget);
Plan plan_binomial(long steps, const Budget& budget);

}  // namespace espalier::checkpoint
