#include "walker.hpp"

#include <stdexcept>

namespace espalier::checkpoint {

Walker::Walker(long steps, const Budget& budget) : budget_(budget), end_(steps), free_{budget.memory, budget.disk} {}

Action Walker::next() {
  if (stages_to_store_) {
    stages_to_store_ = false;
    const Content content = budget_.stiffly_accurate ? Content::state_and_stages : Content::stages;
    return store(content, recorded_, Level::memory);
  }
  if (!held_.empty() && is_useless(held_.back())) return discard(held_.size() - 1);
  if (end_ == 0) throw std::logic_error("a checkpoint schedule has no action left");
  if (recorded_ == end_ - 1) return reverse();
  if (at_ < 0) return restore();
  if (const auto action = rescue()) return *action;
  return carry_out(choose(position()));
}

void Walker::announce(long at, long steps) {
  if (at != at_ || at == steps) stages_to_store_ = false;
  at_ = at;
  recorded_ = at - 1;
  end_ = steps;
  if (at == steps) running_ = false;
  expect(at, steps);
}

// Nothing is left to start from this state, or to reverse with these stages; or other steps have to be repeated across
// these stages, which can be had again then. That happens only to runs that are longer than announced.
bool Walker::is_useless(const Held& entry) const {
  if (entry.from >= end_) return true;
  if (entry.has_state() || states_ == 0 || recorded_ == end_ - 1) return false;
  return entry.from + 1 < (at_ < 0 ? end_ : at_);
}

Position Walker::position() const {
  const bool any = !held_.empty();
  const bool held = any && held_.back().content == Content::state && held_.back().from == at_;
  const bool in_block = any && held_.back().content == Content::state_and_stages && held_.back().from + 1 == at_;
  return {at_, end_ - at_, held, in_block, running_, states_ > 0};
}

// Without a stored state no step can be repeated: the stages of the last one, left to the machine because the run was
// to end there, and a state to go on from have to be stored, even beyond the budget.
std::optional<Action> Walker::rescue() {
  if (states_ > 0) return std::nullopt;
  const long stored = held_.empty() ? 0 : held_.back().from + 1;
  if (stored < at_) return store(Content::stages, recorded_, Level::memory);
  if (at_ > 0 && end_ - at_ > 1 && free_units(Level::memory) < 1) return store(Content::state, at_, Level::memory);
  return std::nullopt;
}

Action Walker::carry_out(const Move& move) {
  switch (move.choice) {
    case Choice::store_state:
      return store(Content::state, at_, move.level);
    case Choice::drop:
      return discard(move.entry.value_or(held_.size() - 1));
    case Choice::store_stages:
      stages_to_store_ = true;
      return advance(1);
    case Choice::go:
      break;
  }
  return advance(move.steps);
}

Action Walker::advance(long steps) {
  const long from = at_;
  at_ += steps;
  recorded_ = at_ - 1;
  return {Kind::advance, from, at_};
}

Action Walker::store(Content content, long from, Level level) {
  const std::size_t i = index(level);
  long slot = new_slot_[i];
  if (old_slots_[i].empty()) {
    ++new_slot_[i];
  } else {
    slot = old_slots_[i].top();
    old_slots_[i].pop();
  }
  const Held entry = {content, from, level, slot, content == Content::state ? 1 : budget_.stages};
  free_[i] -= entry.units;
  states_ += entry.has_state() ? 1 : 0;
  held_.push_back(entry);
  return {Kind::store, from, 0, slot, content, level};
}

Action Walker::discard(std::size_t place) {
  const Held entry = held_[place];
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(place));
  free_[index(entry.level)] += entry.units;
  states_ -= entry.has_state() ? 1 : 0;
  old_slots_[index(entry.level)].push(entry.slot);
  return {Kind::discard, entry.from, 0, entry.slot, entry.content, entry.level};
}

Action Walker::restore() {
  const Held& entry = held_.back();
  at_ = entry.content == Content::state ? entry.from : (entry.has_state() ? entry.from + 1 : -1);
  recorded_ = entry.content == Content::state ? -1 : entry.from;
  return {Kind::restore, entry.from, 0, entry.slot, entry.content, entry.level};
}

Action Walker::reverse() {
  running_ = false;
  --end_;
  at_ = recorded_ = -1;
  return {Kind::reverse, end_};
}

}  // namespace espalier::checkpoint
