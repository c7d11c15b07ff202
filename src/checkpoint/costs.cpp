#include "costs.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "binomial.hpp"
#include "cost_table.hpp"

namespace espalier::checkpoint {

namespace {

// The most steps of a table that is not too large, and made in a few seconds: each pair (m, f) takes the longer the
// more steps there are. Where all of n steps fits, n (l + 1) units are enough; no table is needed where all of the run
// fits.
long table_steps(const Rules& rules, long steps, long units) {
  constexpr long most_pairs = 20000000;
  constexpr double most_work = 4e11;
  if ((steps - 1) * rules.stages <= units) return 2;
  const long limit = std::min(steps, CostTable::most_steps);
  const auto quick = static_cast<long>(std::sqrt(most_work / static_cast<double>(units)));
  long near = std::min({limit, most_pairs / units, quick});
  while (near < limit && (near + 1) * (near + 1) * (rules.stages + 1) <= most_pairs) ++near;
  return std::max(near, 2L);
}

// The sum of i / l, rounded down, over i = 0, ..., n.
long sum_of_quotients(long n, long l) {
  const long whole = n / l;
  return l * (whole * (whole - 1) / 2) + whole * (n % l + 1);
}

}  // namespace

/// m steps with f free units.
struct Costs::Segment {
  long m;
  long f;
  Start start;
  bool operator<(const Segment& other) const {
    return std::tie(other.m, f, start) < std::tie(m, other.f, other.start);  // the longest comes first
  }
};

/// A segment becomes `later` steps and, after they have been reversed and `repeated` steps taken again, `first` ones.
struct Costs::Step {
  Segment later;
  Segment first;
  long repeated;  // 0: there are no first ones
};

Costs::Costs(const Rules& rules, long steps, long units) : rules_(rules), near_(table_steps(rules, steps, units)) {
  table_ = CostTable::shared(rules, near_, std::min(units, near_ * (rules.stages + 1)));
}

bool Costs::stages_first(long m, long f) const {
  return m <= near_ ? table_->stages_first(m, f) : (m - 1) * rules_.stages <= f;
}

long Costs::distance_from_state(long m, long f) const {
  return m <= near_ ? table_->distance_from_state(m, f) : far_distance(m, f, false);
}

long Costs::distance_from_block(long m, long f) const {
  return m <= near_ ? table_->distance_from_block(m, f) : far_distance(m, f, true);
}

long Costs::far_distance(long m, long f, bool in_block) const {
  const long l = rules_.stages;
  const bool gives_up_state = rules_.drops && !in_block;
  const bool keeps_states = !rules_.drops && !rules_.stiffly_accurate;  // one for every step whose stages are stored
  // From here, with n units free, n / l + 1 steps are reversed with all their stages stored, or, since the state's own
  // unit can be used, (n + 1) / l + 1.
  const long own = gives_up_state || keeps_states ? 1 : 0;
  const long divisor = keeps_states ? l + 1 : l;
  const long fitting = (f + own) / divisor + 1;
  if (!gives_up_state && m <= fitting) return 0;
  // The stages of the last steps before the very last are stored at once. If the steps before them can be parted into
  // pieces whose stages fit when their turn comes, each with a unit less, then no step is repeated twice.
  const long rest = std::max(m - 1 - f / l, 1L);
  if (rest <= fitting) return rest;
  if (m <= f + 2 || m <= f + 2 + sum_of_quotients(f + own, divisor)) return fitting;
  // Of the best distances for states alone a small one, as in the tables.
  const Distances d = binomial_distances(m, f + 1);
  return d.least + (d.most - d.least) / 4;
}

Costs::Step Costs::expand(const Segment& s) const {
  const Start after_stages = rules_.stiffly_accurate ? Start::block : Start::fresh;
  const Segment with_stages = {s.m - 1, s.f - rules_.stages, after_stages};
  if (s.start == Start::fresh) {
    if (stages_first(s.m, s.f)) return {with_stages, {}, 0};
    return {{s.m, s.f - 1, Start::held}, {}, 0};
  }
  const bool in_block = s.start == Start::block;
  if (!in_block && rules_.drops && stages_first(s.m, s.f + 1)) return {{s.m, s.f + 1, Start::fresh}, {}, 0};
  const long d = in_block ? distance_from_block(s.m, s.f) : distance_from_state(s.m, s.f);
  if (d == 0) return {with_stages, {}, 0};
  return {{s.m - d, s.f, Start::fresh}, {d, s.f, s.start}, d};
}

std::int64_t Costs::near_value(const Segment& s) const {
  if (s.start == Start::fresh) return table_->fresh(s.m, s.f);
  return s.start == Start::held ? table_->held(s.m, s.f) : table_->block(s.m, s.f);
}

// Segments and how often they occur, the longest first.
std::int64_t Costs::repeated_fresh(long m, long f) const {
  std::map<Segment, std::int64_t> times = {{{m, f, Start::fresh}, 1}};
  std::int64_t repeated = 0;
  while (!times.empty()) {
    const auto [segment, count] = *times.begin();
    times.erase(times.begin());
    if (segment.m <= near_) {
      repeated += count * near_value(segment);
      continue;
    }
    const Step step = expand(segment);
    repeated += count * step.repeated;
    times[step.later] += count;
    if (step.repeated > 0) times[step.first] += count;
  }
  return repeated;
}

long Costs::unused_fresh(long m, long f) const {
  std::set<Segment> known = {{m, f, Start::fresh}};
  std::vector<Segment> open(known.begin(), known.end());
  long unused = f;
  while (!open.empty() && unused > 0) {
    const Segment segment = open.back();
    open.pop_back();
    unused = std::min(unused, segment.f);
    if (segment.m == 1) continue;
    const Step step = expand(segment);
    if (step.repeated > 0 && known.insert(step.first).second) open.push_back(step.first);
    if (known.insert(step.later).second) open.push_back(step.later);
  }
  return unused;
}

}  // namespace espalier::checkpoint
