#include "disk_schedule.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "binomial.hpp"
#include "walker.hpp"

namespace espalier::checkpoint {

namespace {

/// How often the states that are stored as the k-th at a time are written and read, k = 0, 1, ...
struct Accesses {
  std::vector<std::int64_t> writes;
  std::vector<std::int64_t> reads;
};

// For m steps by the binomial schedule with s units. No more than m - 1 states, or one, are stored at a time.
Accesses count_accesses(long m, long s) {
  const auto depth = static_cast<std::size_t>(std::min(s, std::max(m - 1, 1L)));
  Accesses accesses = {std::vector<std::int64_t>(depth, 0), std::vector<std::int64_t>(depth, 0)};
  // Runs of m steps from a stored state with k states before it, and how many of them there are; the longest first.
  std::map<std::pair<long, std::size_t>, std::int64_t> times = {{{-m, 0}, 1}};
  accesses.writes[0] = 1;
  while (!times.empty()) {
    const auto [run, count] = *times.begin();
    times.erase(times.begin());
    const long steps = -run.first;
    const std::size_t k = run.second;
    const long units = s - static_cast<long>(k);
    if (steps == 1) continue;
    if (units == 1) {
      accesses.reads[k] += count * (steps - 1);
      continue;
    }
    const long d = binomial_distances(steps, units).most;
    accesses.reads[k] += count;
    times[{-d, k}] += count;
    if (steps - d == 1) continue;
    accesses.writes[k + 1] += count;
    times[{d - steps, k + 1}] += count;
  }
  return accesses;
}

// Those that are accessed least are on disk, as far as there are units.
std::vector<Level> choose_levels(const Accesses& accesses, const Budget& budget) {
  const std::size_t used = accesses.writes.size();
  std::vector<std::size_t> order(used);
  std::iota(order.begin(), order.end(), 0);
  const auto count = [&](std::size_t k) { return accesses.writes[k] + accesses.reads[k]; };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return count(a) < count(b); });
  const long on_disk = std::max(static_cast<long>(used) - budget.memory, 0L);
  std::vector<Level> levels(used, Level::memory);
  for (std::size_t i = 0; i < static_cast<std::size_t>(on_disk); ++i) levels[order[i]] = Level::disk;
  return levels;
}

class DiskSchedule : public Walker {
 public:
  DiskSchedule(long steps, const Budget& budget) : Walker(steps, {budget.memory, budget.disk}) { expect(0, steps); }

 private:
  Move choose(const Position& p) override {
    const long unused = free_units(Level::memory) + free_units(Level::disk);
    // However short the run, it may turn out to be longer.
    if (held().empty()) return store();
    if (p.left == 1) return {Choice::go, 1};
    if (p.held) return {Choice::go, binomial_distances(p.left, unused + 1).most};
    if (unused == 0) return {Choice::go, p.left};
    return store();
  }

  Move store() const {
    const std::size_t k = held().size();
    Level level = Level::memory;
    if (k >= held_before_ && k - held_before_ < levels_.size()) level = levels_[k - held_before_];
    if (free_units(level) < 1) level = level == Level::memory ? Level::disk : Level::memory;
    return {Choice::store_state, 0, level};
  }

  // For the units that are free.
  void expect(long at, long steps) override {
    const Budget free = {free_units(Level::memory), free_units(Level::disk)};
    if (at == steps || free.memory + free.disk == 0) return;
    held_before_ = held().size();
    levels_ = choose_levels(count_accesses(steps - at, free.memory + free.disk), free);
  }

  std::vector<Level> levels_;    // of the states to store, by how many there are before it ...
  std::size_t held_before_ = 0;  // ... not counting these
};

}  // namespace

std::unique_ptr<Schedule> make_disk_schedule(long steps, const Budget& budget) {
  return std::make_unique<DiskSchedule>(steps, budget);
}

Plan plan_disk_schedule(long steps, const Budget& budget) {
  const long units = budget.memory + budget.disk;
  const Accesses accesses = count_accesses(steps, units);
  const std::vector<Level> levels = choose_levels(accesses, budget);
  Plan plan = {"disk", steps, binomial_repetitions(steps, units), 0, 0, 0, 0};
  for (std::size_t k = 0; k < levels.size(); ++k) {
    const bool on_disk = levels[k] == Level::disk;
    if (accesses.writes[k] > 0) ++(on_disk ? plan.peak_disk_units : plan.peak_memory_units);
    if (on_disk) plan.disk_writes += accesses.writes[k];
    if (on_disk) plan.disk_reads += accesses.reads[k];
  }
  return plan;
}

}  // namespace espalier::checkpoint
