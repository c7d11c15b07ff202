#include "binomial.hpp"

#include <algorithm>
#include <limits>

#include "walker.hpp"

namespace espalier::checkpoint {

namespace {

// C(s + r, s), the longest run that s units reverse with no step taken more than r times unrecorded; or, where that
// does not fit, a number larger than any run.
std::int64_t beta(std::int64_t s, std::int64_t r) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  if (r < 0) return 0;
  std::int64_t value = 1;
  for (std::int64_t i = 1; i <= std::min(s, r); ++i) {
    const std::int64_t factor = std::max(s, r) + i;
    if (value > most / factor) return most;
    value = value * factor / i;
  }
  return value;
}

/// Wherever it stands: store the state unless only one step is left to the end, and go on by the best distance.
class Binomial : public Walker {
 public:
  Binomial(long steps, long units) : Walker(steps, {units}) {}

 private:
  Move choose(const Position& p) override {
    const long unused = free_units(Level::memory);
    // However short the run, it may turn out to be longer.
    if (held().empty()) return {Choice::store_state};
    if (p.left == 1) return {Choice::go, 1};
    if (p.held) return {Choice::go, binomial_distances(p.left, unused + 1).most};
    // No unit is left only after an announcement.
    if (unused == 0) return {Choice::go, p.left};
    return {Choice::store_state};
  }
};

}  // namespace

std::int64_t repetitions_of_a_step(std::int64_t m, std::int64_t s) {
  // With one unit C(1 + r, 1) = 1 + r.
  if (s == 1) return m - 1;
  std::int64_t r = 0;
  for (std::int64_t longest = 1; longest < m; ++r) longest = longest * (s + r + 1) / (r + 1);
  return r;
}

Distances binomial_distances(long m, long s) {
  const std::int64_t r = repetitions_of_a_step(m, s);
  const std::int64_t least = std::max({std::int64_t{1}, beta(s, r - 2), m - beta(s - 1, r)});
  const std::int64_t most = std::min(beta(s, r - 1), m - beta(s - 1, r - 1));
  return {static_cast<long>(least), static_cast<long>(most)};
}

std::int64_t binomial_repetitions(long m, long s) {
  const std::int64_t r = repetitions_of_a_step(m, s);
  return r * m - beta(s + 1, r - 1);
}

std::unique_ptr<Schedule> make_binomial(long steps, const Budget& budget) {
  return std::make_unique<Binomial>(steps, budget.memory);
}

Plan plan_binomial(long steps, const Budget& budget) {
  const long peak = std::min(budget.memory, std::max(steps - 1, 1L));
  return {"binomial", steps, binomial_repetitions(steps, budget.memory), peak, 0, 0, 0};
}

}  // namespace espalier::checkpoint
