#include "espalier/checkpoint/schedule.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

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

// The smallest r with m <= C(s + r, s).
std::int64_t repetitions_of_a_step(std::int64_t m, std::int64_t s) {
  std::int64_t r = 0;
  for (std::int64_t longest = 1; longest < m; ++r) longest = longest * (s + r + 1) / (r + 1);
  return r;
}

// How far to go from a stored state before the next one is stored, with m >= 2 steps to reverse and s units, that of
// the stored state among them: d + t(d, s) + t(m - d, s - 1) is smallest for
//   C(s+r-2, s) <= d <= C(s+r-1, s) and C(s+r-2, s-1) <= m - d <= C(s+r-1, s-1).
long distance_to_next(long m, long s) {
  const std::int64_t r = repetitions_of_a_step(m, s);
  return static_cast<long>(std::min(beta(s, r - 1), m - beta(s - 1, r - 1)));
}

[[noreturn]] void fail_finished() { throw std::logic_error("a checkpoint schedule has no action left"); }

class StoreAll : public Schedule {
 public:
  explicit StoreAll(long steps) : end_(steps) {}

  Action next() override {
    if (at_ < 0) return reverse_next();
    if (at_ == end_) {
      at_ = -1;
      restored_ = true;
      return reverse_next();
    }
    if (at_ > stored_) {
      const long step = stored_++;
      return {Kind::store, step, 0, step, Content::stages};
    }
    return {Kind::advance, at_++, at_, -1, Content::state};
  }

  void announce(long at, long steps) override {
    at_ = at;
    end_ = steps;
  }
  long steps() const override { return end_; }

 private:
  Action reverse_next() {
    if (end_ == 0) fail_finished();
    if (!restored_) {
      restored_ = true;
      return {Kind::restore, end_ - 1, 0, end_ - 1, Content::stages};
    }
    if (stored_ == end_) {
      --stored_;
      return {Kind::discard, stored_, 0, stored_, Content::stages};
    }
    restored_ = false;
    --end_;
    return {Kind::reverse, end_};
  }

  long end_;               // steps to reverse
  long at_ = 0;            // the run stands at this state; -1: it is over
  long stored_ = 0;        // the stages of so many steps are stored
  bool restored_ = false;  // those of the last step to reverse are there
};

/// Wherever it stands: store the state unless only one step is left to the end, and go on by the optimal distance; when
/// the last step is recorded, reverse it and return to the last stored state.
class Binomial : public Schedule {
 public:
  Binomial(long steps, long units) : end_(steps), units_(units) {}

  Action next() override {
    if (at_ == end_ && at_ > 0) {
      at_ = -1;
      --end_;
      return {Kind::reverse, end_};
    }
    if (end_ == 0 && held_.empty()) fail_finished();
    // A state at which no step is left to start.
    if (!held_.empty() && held_.back() >= end_) {
      held_.pop_back();
      const auto slot = static_cast<long>(held_.size());
      return {Kind::discard, end_, 0, slot};
    }
    if (at_ < 0) {
      at_ = held_.back();
      return {Kind::restore, at_, 0, last_slot()};
    }
    // However short the run, it may turn out to be longer.
    if (held_.empty()) return store();
    if (at_ == end_ - 1) return advance(end_);
    const long unused = units_ - static_cast<long>(held_.size());
    if (held_.back() == at_) return advance(at_ + distance_to_next(end_ - at_, unused + 1));
    // No unit is left only after an announcement: on to the last step.
    return unused > 0 ? store() : advance(end_ - 1);
  }

  void announce(long at, long steps) override {
    at_ = at;
    end_ = steps;
  }
  long steps() const override { return end_; }

 private:
  long last_slot() const { return static_cast<long>(held_.size()) - 1; }
  Action advance(long to) {
    const long from = at_;
    at_ = to;
    return {Kind::advance, from, to};
  }
  Action store() {
    held_.push_back(at_);
    return {Kind::store, at_, 0, last_slot()};
  }

  long end_;  // steps to reverse
  long units_;
  long at_ = 0;             // the machine stands at this state; -1: at none
  std::vector<long> held_;  // stored states, by slot
};

}  // namespace

const std::vector<std::string>& schedule_names() {
  static const std::vector<std::string> names = {"all", "binomial"};
  return names;
}

std::unique_ptr<Schedule> make_schedule(const std::string& name, long steps, const Budget& budget) {
  if (steps < 1) throw std::invalid_argument("a checkpoint schedule needs at least one step");
  if (name == "all") return std::make_unique<StoreAll>(steps);
  if (name != "binomial") throw std::invalid_argument("there is no checkpoint schedule " + name);
  if (budget.memory < 1) throw std::invalid_argument("the binomial checkpoint schedule needs at least one unit");
  return std::make_unique<Binomial>(steps, budget.memory);
}

Plan plan(const std::string& name, long steps, const Budget& budget) {
  make_schedule(name, steps, budget);
  if (name == "all") return {name, steps, 0, (steps - 1) * budget.stages, 0, 0, 0};
  const long peak = std::min(budget.memory, std::max(steps - 1, 1L));
  return {name, steps, binomial_repetitions(steps, budget.memory), peak, 0, 0, 0};
}

std::string best_schedule(long steps, const Budget& budget) {
  return budget.memory >= (steps - 1) * budget.stages ? "all" : "binomial";
}

std::int64_t binomial_repetitions(long m, long s) {
  const std::int64_t r = repetitions_of_a_step(m, s);
  return r * m - beta(s + 1, r - 1);
}

}  // namespace espalier::checkpoint
