#include "cost_table.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>

namespace espalier::checkpoint {

namespace {

// Impossible; sums of a few of these still fit.
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max() / 8;

using Values = std::vector<std::int64_t>;

std::int64_t at(const Values& values, long m) { return values[static_cast<std::size_t>(m)]; }

std::int64_t bend(const Values& values, long m) { return at(values, m + 1) - 2 * at(values, m) + at(values, m - 1); }

// Where the differences grow.
std::vector<long> convex_kinks(const Values& values) {
  std::vector<long> kinks;
  for (long m = 2; m + 1 < static_cast<long>(values.size()); ++m)
    if (bend(values, m) > 0) kinks.push_back(m);
  return kinks;
}

/// min over 1 <= d < m of first(d) + second(m - d) for m = 2, 3, ..., the values of first becoming known on the way.
/// A sum is smallest at d = 1, at d = m - 1 or where the differences of one of the two grow; that is few places where
/// there are many units. And there is a smallest one near the last, within as many steps as there are units. This no
/// proof says, but comparison with the whole range (1 to 4 stages, 20000 steps with 60 units and 8000 with 150).
/// Whichever of the two is less work is looked through.
class MinimumOfSums {
 public:
  MinimumOfSums(const Values& second, const std::vector<long>& kinks, long radius)
      : second_(second), second_kinks_(kinks), radius_(radius), first_(1, never) {}

  struct Minimum {
    std::int64_t value;
    long d;
  };
  /// first_value: first(m - 1).
  Minimum next(std::int64_t first_value) {
    first_.push_back(first_value);
    const auto m = static_cast<long>(first_.size());
    if (m > 3 && bend(first_, m - 2) > 0) first_kinks_.push_back(m - 2);
    Minimum best = {never * 4, last_};
    const long from = std::max(1L, last_ - radius_);
    const long to = std::min(m - 1, last_ + radius_);
    if (to - from < static_cast<long>(first_kinks_.size() + second_kinks_.size())) {
      for (long d = from; d <= to; ++d) consider(best, m, d);
    } else {
      for (const long d : first_kinks_) consider(best, m, d);
      for (const long n : second_kinks_) {
        if (n >= m) break;
        consider(best, m, m - n);
      }
      consider(best, m, 1);
      consider(best, m, m - 1);
    }
    last_ = best.d;
    return best;
  }

 private:
  // Of equal sums the one nearest to the last.
  void consider(Minimum& best, long m, long d) const {
    const std::int64_t value = at(first_, d) + at(second_, m - d);
    if (value > best.value || (value == best.value && std::abs(d - last_) >= std::abs(best.d - last_))) return;
    best = {value, d};
  }

  const Values& second_;
  const std::vector<long>& second_kinks_;
  long radius_;
  long last_ = 1;
  Values first_;
  std::vector<long> first_kinks_;
};

}  // namespace

Piecewise::Piecewise(const Values& values) {
  const auto last = static_cast<long>(values.size()) - 1;
  for (long m = 1; m <= last; ++m) {
    if (m > 1 && m < last && bend(values, m) == 0) continue;
    kinks_.push_back(static_cast<std::int32_t>(m));
    values_.push_back(at(values, m));
  }
}

std::int64_t Piecewise::operator()(long m) const {
  const auto above = std::upper_bound(kinks_.begin(), kinks_.end(), m);
  const auto i = static_cast<std::size_t>(above - kinks_.begin()) - 1;
  if (kinks_[i] == m) return values_[i];
  return values_[i] + (values_[i + 1] - values_[i]) / (kinks_[i + 1] - kinks_[i]) * (m - kinks_[i]);
}

CostTable::CostTable(const Rules& rules, long steps, long units) : rules_(rules), steps_(steps), units_(units) {
  // Stages that never fit are never stored.
  recent_.resize(rules.stages > units ? 1 : static_cast<std::size_t>(rules.stages) + 1);
  // Without a free unit only one step can be reversed.
  Values fresh(static_cast<std::size_t>(steps) + 1, never);
  fresh[1] = 0;
  fresh_.emplace_back(fresh);
  stages_first_.emplace_back();
  for (long f = 0; f < units; ++f) {
    const std::vector<long> kinks = convex_kinks(fresh);
    if (!rules.stiffly_accurate) recent_[past(f)] = fresh;
    if (rules.stiffly_accurate && rules.drops) recent_[past(f)] = add_block_row(fresh, kinks, f);
    fresh = add_held_row(fresh, kinks, f);
    fresh_.emplace_back(fresh);
  }
  recent_.clear();
}

// block(m, f) = min(min over d of d + block(d, f) + fresh(m - d, f), block(m - 1, f - l)).
Values CostTable::add_block_row(const Values& fresh, const std::vector<long>& kinks, long f) {
  Values block(fresh.size(), 0);
  Distances distances(fresh.size(), 0);
  MinimumOfSums minimum(fresh, kinks, f + rules_.stages + 1);
  for (long m = 2; m <= steps_; ++m) {
    const auto [value, d] = minimum.next(m - 1 + at(block, m - 1));
    const std::int64_t stages = f >= rules_.stages ? at(recent_[past(f - rules_.stages)], m - 1) : never;
    block[offset(m)] = std::min(value, stages);
    distances[offset(m)] = static_cast<std::uint16_t>(stages < value ? 0 : d);
  }
  block_.emplace_back(block);
  to_next_from_block_.push_back(std::move(distances));
  return block;
}

// held(m, f) = min over d of d + again(d, f) + fresh(m - d, f), or less where a state and stages are stored;
// fresh(m, f + 1) = min(held(m, f), K), which is returned.
Values CostTable::add_held_row(const Values& fresh, const std::vector<long>& kinks, long f) {
  const long l = rules_.stages;
  const bool block_is_held = rules_.stiffly_accurate && !rules_.drops;
  Values held(fresh.size(), 0);
  Values next_fresh(fresh.size(), 0);
  Distances distances(fresh.size(), 0);
  std::vector<bool> stages_first(fresh.size(), false);
  MinimumOfSums minimum(fresh, kinks, f + l + 1);
  if (block_is_held) recent_[past(f)].assign(fresh.size(), 0);
  for (long m = 2; m <= steps_; ++m) {
    const auto [value, d] = minimum.next(m - 1 + at(rules_.drops ? next_fresh : held, m - 1));
    std::int64_t with_stages = never;
    if (!rules_.drops && !rules_.stiffly_accurate && f > 0 && f + 1 >= (m - 1) * (l + 1)) with_stages = 0;
    if (block_is_held && f >= l) with_stages = at(recent_[past(f - l)], m - 1);
    held[offset(m)] = std::min(value, with_stages);
    distances[offset(m)] = static_cast<std::uint16_t>(with_stages < value ? 0 : d);
    if (block_is_held) recent_[past(f)][offset(m)] = at(held, m);
    const std::int64_t stages = f + 1 >= l ? at(recent_[past(f + 1 - l)], m - 1) : never;
    next_fresh[offset(m)] = std::min(at(held, m), stages);
    stages_first[offset(m)] = stages < at(held, m);
  }
  if (!rules_.drops) held_.emplace_back(held);
  to_next_.push_back(std::move(distances));
  stages_first_.push_back(std::move(stages_first));
  return next_fresh;
}

bool CostTable::serves(const Rules& rules, long steps, long units) const {
  return rules.stages == rules_.stages && rules.stiffly_accurate == rules_.stiffly_accurate &&
         rules.drops == rules_.drops && steps <= steps_ && units <= units_;
}

// Runs that are a little longer than the last one, as with adaptive steps, find a table that will do.
std::shared_ptr<const CostTable> CostTable::shared(const Rules& rules, long steps, long units) {
  static std::mutex mutex;
  static std::shared_ptr<const CostTable> last;
  const std::lock_guard<std::mutex> lock(mutex);
  if (last == nullptr || !last->serves(rules, steps, units)) {
    long grain = 1;
    while (16 * grain < steps) grain *= 2;
    const long rounded = (steps + grain - 1) / grain * grain;
    last.reset();
    last = std::make_shared<const CostTable>(rules, std::min(rounded, most_steps), units);
  }
  return last;
}

}  // namespace espalier::checkpoint
