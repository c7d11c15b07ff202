#include "multistage.hpp"

#include <algorithm>

namespace espalier::checkpoint {

namespace {

Rules rules_of(const std::string& name, const Budget& budget) {
  return {budget.stages, budget.stiffly_accurate, name == "mixed"};
}

class Multistage : public Walker {
 public:
  Multistage(const Rules& rules, long steps, const Budget& budget)
      : Walker(steps, {budget.memory, 0, budget.stages, budget.stiffly_accurate}),
        units_(budget.memory),
        costs_(rules, steps, budget.memory) {}

 private:
  Move choose(const Position& p) override {
    const long free = free_units(Level::memory);
    // A run that goes on after all needs a state to go on from, if there is room for it.
    if (p.running && !p.safe && p.left == 1 && free > 0) return {Choice::store_state};
    return choose_by(costs_, p, free);
  }
  void expect(long at, long steps) override {
    if (at < steps) costs_ = Costs(costs_.rules(), steps, units_);
  }

  long units_;
  Costs costs_;
};

// Units that are still unused when the run comes to its last step with no state stored; -1 if one is.
long unused_without_state(const Costs& costs, long steps, long units) {
  const Rules& rules = costs.rules();
  if (steps > 1 && rules.stiffly_accurate) return -1;
  for (; steps > 1; --steps, units -= rules.stages)
    if (!costs.stages_first(steps, units)) return -1;
  return units;
}

}  // namespace

Move choose_by(const Costs& costs, const Position& p, long free) {
  if (p.left == 1) return {Choice::go, 1};
  if (!p.held && !p.in_block) {
    // Nothing is free only after an announcement: all steps from here are repeated from an earlier state.
    if (free < 1) return {Choice::go, p.left};
    return {costs.stages_first(p.left, free) ? Choice::store_stages : Choice::store_state};
  }
  const bool may_drop = p.held && !p.running && costs.rules().drops && free >= 0;
  if (may_drop && costs.stages_first(p.left, free + 1)) return {Choice::drop};
  const long d = p.held ? costs.distance_from_state(p.left, std::max(free, 0L))
                        : costs.distance_from_block(p.left, std::max(free, 0L));
  if (d == 0) return {Choice::store_stages};
  return {Choice::go, d};
}

std::unique_ptr<Schedule> make_multistage(const std::string& name, long steps, const Budget& budget) {
  return std::make_unique<Multistage>(rules_of(name, budget), steps, budget);
}

Plan plan_multistage(const std::string& name, long steps, const Budget& budget) {
  const Costs costs(rules_of(name, budget), steps, budget.memory);
  long unused = costs.unused_fresh(steps, budget.memory);
  const long at_the_end = unused_without_state(costs, steps, budget.memory);
  if (at_the_end > 0) unused = std::min(unused, at_the_end - 1);
  return {name, steps, costs.repeated_fresh(steps, budget.memory), budget.memory - unused, 0, 0, 0};
}

}  // namespace espalier::checkpoint
