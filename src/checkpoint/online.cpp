#include "online.hpp"

#include <algorithm>
#include <optional>

#include "binomial.hpp"
#include "costs.hpp"
#include "multistage.hpp"
#include "walker.hpp"

namespace espalier::checkpoint {

namespace {

// To take m steps again and to reverse them from a stored state, with s units.
std::int64_t repeat_and_reverse(long m, long s) { return m + binomial_repetitions(m, s); }

// Over so many further steps two sets of states are compared, and with three or four units a tie is no reason to
// change. With two to six units the repeated steps then exceed those of the binomial schedule by no larger factor, in
// the worst case, than they must: trying all ways to give states up gives none that is smaller.
long horizon(long at, long units) {
  const auto r = static_cast<long>(repetitions_of_a_step(at + 1, units));
  if (units == 2) return r;
  return units <= 4 ? r / 2 + 1 : std::max(7 * r / 10, 1L);
}

bool changes_at_a_tie(long units) { return units != 3 && units != 4; }

long longest_gap(const std::vector<long>& kept, long end) {
  long longest = 1;
  for (std::size_t i = 0; i < kept.size(); ++i)
    longest = std::max(longest, (i + 1 < kept.size() ? kept[i + 1] : end) - kept[i]);
  return longest;
}

Rules rules_of(const Budget& budget) { return {budget.stages, budget.stiffly_accurate, true}; }

class Online : public Walker {
 public:
  Online(long steps, const Budget& budget)
      : Walker(steps, {budget.memory, 0, budget.stages, budget.stiffly_accurate}),
        budget_(budget),
        thinning_(budget.memory) {}

 private:
  Move choose(const Position& p) override { return p.running ? choose_in_run(p) : choose_after_it(p); }

  Move choose_in_run(const Position& p) {
    if (p.held) return {Choice::go, 1};
    if (free_units(Level::memory) > 0) {
      thinning_.add(p.at);
      return {Choice::store_state};
    }
    const std::size_t replaced = thinning_.replaced_by(p.at);
    if (replaced == 0) return {Choice::go, 1};
    thinning_.remove(replaced);
    return {Choice::drop, 0, Level::memory, replaced};
  }

  Move choose_after_it(const Position& p) {
    if (!costs_) costs_.emplace(rules_of(budget_), longest_gap(thinning_.kept(), p.at + p.left + 1), budget_.memory);
    return choose_by(*costs_, p, free_units(Level::memory));
  }

  Budget budget_;
  Thinning thinning_;
  std::optional<Costs> costs_;  // known after the run
};

}  // namespace

// With the kept states p_0 = 0, ..., p_k and s = k + 1 units, a run of m steps has to repeat
//   sum over j < k of (p_(j+1) - p_j) + t(p_(j+1) - p_j, s - j)  and  (m - p_k) (m - p_k - 1) / 2  steps.
// Without p_j and with u_at, n steps after p_k, the first sum grows by c, and the rest is less by n h + n (n - 1) / 2
// in a run that ends after h more steps: on average over h = 1, ..., H by n (n + H) / 2.
std::size_t Thinning::replaced_by(long at) const {
  if (units_ == 1) return 0;
  const std::size_t last = kept_.size() - 1;
  const long n = at - kept_[last];
  std::size_t best = last;
  std::int64_t c = repeat_and_reverse(at - kept_[last - 1], 2) - segment(last - 1, last, 2);
  if (candidate_ > 0 && cost_of_candidate_ + repeat_and_reverse(n, 2) <= c) {
    best = candidate_;
    c = cost_of_candidate_ + repeat_and_reverse(n, 2);
  }
  const std::int64_t gain = n * (n + horizon(at, units_)) - 2 * c;
  return gain > 0 || (gain == 0 && changes_at_a_tie(units_)) ? best : 0;
}

void Thinning::remove(std::size_t place) { kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(place)); }

void Thinning::add(long at) {
  kept_.push_back(at);
  if (static_cast<long>(kept_.size()) == units_) choose_candidate();
}

std::int64_t Thinning::segment(std::size_t from, std::size_t to, long units) const {
  return repeat_and_reverse(kept_[to] - kept_[from], units);
}

// Without p_j its two segments are one, and all later ones have a unit more.
void Thinning::choose_candidate() {
  candidate_ = 0;
  std::int64_t later = 0;
  for (std::size_t j = kept_.size() - 1; j-- > 1;) {
    const long units = units_ - static_cast<long>(j);
    const std::int64_t cost =
        segment(j - 1, j + 1, units + 1) - segment(j - 1, j, units + 1) - segment(j, j + 1, units);
    if (candidate_ == 0 || cost + later <= cost_of_candidate_) {
      candidate_ = j;
      cost_of_candidate_ = cost + later;
    }
    later += segment(j, j + 1, units + 1) - segment(j, j + 1, units);
  }
}

std::unique_ptr<Schedule> make_online(long steps, const Budget& budget) {
  return std::make_unique<Online>(steps, budget);
}

Plan plan_online(long steps, const Budget& budget) {
  Thinning thinning(budget.memory);
  for (long at = 0; at < steps; ++at) {
    const bool full = static_cast<long>(thinning.kept().size()) == budget.memory;
    const std::size_t replaced = full ? thinning.replaced_by(at) : 0;
    if (replaced > 0) thinning.remove(replaced);
    if (!full || replaced > 0) thinning.add(at);
  }
  const std::vector<long>& kept = thinning.kept();
  const Costs costs(rules_of(budget), longest_gap(kept, steps), budget.memory);
  Plan plan = {"online", steps, 0, std::min(budget.memory, steps), 0, 0, 0};
  for (std::size_t j = 0; j < kept.size(); ++j) {
    const long units = budget.memory - static_cast<long>(j);
    const bool last = j + 1 == kept.size();
    // The stages of the run's very last step are there.
    const long m = last ? steps - kept[j] - 1 : kept[j + 1] - kept[j];
    if (m > 0) plan.repeated_steps += m + costs.repeated_fresh(m, units);
  }
  return plan;
}

}  // namespace espalier::checkpoint
