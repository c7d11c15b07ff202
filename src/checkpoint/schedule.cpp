#include "espalier/checkpoint/schedule.hpp"

#include <functional>
#include <limits>
#include <stdexcept>

#include "binomial.hpp"
#include "disk_schedule.hpp"
#include "multistage.hpp"
#include "online.hpp"
#include "walker.hpp"

namespace espalier::checkpoint {

namespace {

constexpr long no_limit = std::numeric_limits<long>::max();

/// The stages of every step.
class StoreAll : public Walker {
 public:
  StoreAll(long steps, const Budget& budget) : Walker(steps, {no_limit, 0, budget.stages}) {}

 private:
  Move choose(const Position& p) override {
    if (p.left == 1) return {Choice::go, 1};
    return {Choice::store_stages};
  }
};

struct Entry {
  std::string name;
  Budget least;
  std::function<std::unique_ptr<Schedule>(long, const Budget&)> make;
  std::function<Plan(long, const Budget&)> plan;
};

Entry multistage_entry(const std::string& name) {
  return {name,
          {1, 0},
          [name](long steps, const Budget& budget) { return make_multistage(name, steps, budget); },
          [name](long steps, const Budget& budget) { return plan_multistage(name, steps, budget); }};
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = {
      {"all",
       {0, 0},
       [](long steps, const Budget& budget) { return std::make_unique<StoreAll>(steps, budget); },
       [](long steps, const Budget& budget) { return Plan{"all", steps, 0, (steps - 1) * budget.stages, 0, 0, 0}; }},
      {"binomial", {1, 0}, make_binomial, plan_binomial},
      multistage_entry("multistage"),
      multistage_entry("mixed"),
      {"disk", {0, 1}, make_disk_schedule, plan_disk_schedule},
      {"online", {1, 0}, make_online, plan_online}};
  return all;
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void require_units(const Entry& entry, const std::string& where, long has, long least) {
  if (has < 0) fail("a budget of " + std::to_string(has) + " units " + where + ": it must be at least 0");
  if (has < least)
    fail("the checkpoint schedule " + entry.name + " needs at least " + std::to_string(least) + " unit " + where +
         ": the budget has none");
}

const Entry& checked_entry(const std::string& name, long steps, const Budget& budget) {
  std::string known;
  for (const Entry& entry : entries()) {
    known += (known.empty() ? "" : ", ") + entry.name;
    if (entry.name != name) continue;
    if (steps < 1) fail("a checkpoint schedule needs at least one step");
    if (budget.stages < 1) fail("a step has at least one stage, not " + std::to_string(budget.stages));
    require_units(entry, "in memory", budget.memory, entry.least.memory);
    require_units(entry, "on disk", budget.disk, entry.least.disk);
    return entry;
  }
  fail("there is no checkpoint schedule " + name + ": choose one of " + known);
}

}  // namespace

const std::vector<std::string>& schedule_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Entry& entry : entries()) all.push_back(entry.name);
    return all;
  }();
  return names;
}

std::unique_ptr<Schedule> make_schedule(const std::string& name, long steps, const Budget& budget) {
  return checked_entry(name, steps, budget).make(steps, budget);
}

Plan plan(const std::string& name, long steps, const Budget& budget) {
  return checked_entry(name, steps, budget).plan(steps, budget);
}

// All stages within the budget is what "mixed" does where they fit, and multistage is never better than it.
std::string best_schedule(long steps, const Budget& budget) {
  if (budget.memory < 1 && budget.disk < 1)
    fail("checkpoints need at least 1 unit, in memory or on disk: the budget has none");
  std::string best;
  std::int64_t fewest = 0;
  for (const char* name : {"binomial", "mixed", "disk"}) {
    if (std::string(name) == "disk" ? budget.disk < 1 : budget.memory < 1) continue;
    const std::int64_t repeated = plan(name, steps, budget).repeated_steps;
    if (!best.empty() && repeated >= fewest) continue;
    best = name;
    fewest = repeated;
  }
  return best;
}

}  // namespace espalier::checkpoint
