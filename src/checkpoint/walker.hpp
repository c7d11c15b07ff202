// What every schedule does in the same way: it keeps account of what is stored, reverses the last step as soon as its
// stages are there, and returns to what was stored last. Where to go and what to store is left to the single schedule.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

#include "espalier/checkpoint/schedule.hpp"

namespace espalier::checkpoint {

/// Where a schedule stands when it has to decide.
struct Position {
  long at;        ///< at u_at, ...
  long left;      ///< with so many steps from there to the last one that is not reversed, at least one
  bool held;      ///< u_at is stored by itself, and last
  bool in_block;  ///< u_at is stored last, with the stages of the step before it
  bool running;   ///< in the run itself
  bool safe;      ///< a state is stored, from which later steps can be repeated
};

enum class Choice {
  go,            ///< take Move::steps steps
  store_state,   ///< u_at, in Move::level
  store_stages,  ///< take a step and store its stages: with the state after it in a stiffly accurate method
  drop           ///< discard what is in place Move::entry of held(), or what is stored last
};

struct Move {
  Choice choice;
  long steps = 0;
  Level level = Level::memory;
  std::optional<std::size_t> entry = {};
};

/// Something stored.
struct Held {
  Content content;
  long from;
  Level level;
  long slot;
  long units;
  bool has_state() const { return content != Content::stages; }
};

class Walker : public Schedule {
 public:
  Action next() final;
  void announce(long at, long steps) final;
  long steps() const final { return end_; }

 protected:
  Walker(long steps, const Budget& budget);

  virtual Move choose(const Position& position) = 0;
  /// The run stands at u_at, and its last step has become another one. What is held stays.
  virtual void expect(long /*at*/, long /*steps*/) {}

  /// In the order of the steps.
  const std::vector<Held>& held() const { return held_; }
  long free_units(Level level) const { return free_[index(level)]; }

 private:
  static std::size_t index(Level level) { return static_cast<std::size_t>(level); }
  bool is_useless(const Held& entry) const;
  Position position() const;
  std::optional<Action> rescue();
  Action carry_out(const Move& move);
  Action advance(long steps);
  Action store(Content content, long from, Level level);
  Action discard(std::size_t entry);
  Action restore();
  Action reverse();

  Budget budget_;
  long end_;                      // steps to reverse
  long at_ = 0;                   // the machine stands at this state; -1: at none
  long recorded_ = -1;            // and has the stages of this step
  bool running_ = true;           // no step has been reversed
  bool stages_to_store_ = false;  // those of the step just taken
  std::vector<Held> held_;
  long states_ = 0;                        // of them with a state
  std::array<long, 2> free_;               // units by level
  std::array<long, 2> new_slot_ = {0, 0};  // none from here on has been used
  std::array<std::priority_queue<long, std::vector<long>, std::greater<>>, 2> old_slots_;
};

}  // namespace espalier::checkpoint
