// A machine that carries out a checkpoint schedule and refuses whatever is not possible.
#pragma once

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "espalier/checkpoint/schedule.hpp"

namespace espalier::checkpoint::test {

/// What the run tells its schedule on the way: at u_at, that there are `steps` steps; and where it ends.
struct News {
  long at = -1;
  long steps = 0;
  bool end = true;
};

/// Carries out a schedule without doing anything else; throws std::runtime_error where it cannot.
class Machine {
 public:
  /// The run ends after `steps` steps, whatever the schedule was told.
  Machine(Schedule& schedule, long steps, const Budget& budget, const News& news = {})
      : schedule_(schedule), budget_(budget), news_(news), end_(steps) {
    while (!run_is_over_) step_of_the_run();
    while (end_ > 0) follow(schedule_.next());
    // Tidies up, and then says that it is through.
    BOOST_CHECK_THROW(for (;;) follow(schedule_.next()), std::logic_error);
    require(slots_.empty(), "leaves nothing stored");
  }

  long advances = 0;  // steps taken, the run's own included
  long peak_memory = 0;
  long peak_disk = 0;
  std::int64_t disk_writes = 0;
  std::int64_t disk_reads = 0;
  std::map<long, std::int64_t> accesses;  // of each slot in memory

 private:
  using Place = std::pair<Level, long>;

  static void require(bool condition, const std::string& what) {
    if (!condition) throw std::runtime_error(what);
  }

  // As a trajectory does it: the run, not the schedule, knows where it ends.
  void step_of_the_run() {
    if (at_ == news_.at) {
      news_.at = -1;
      schedule_.announce(at_, news_.steps);
    }
    if (at_ > 0 && at_ >= schedule_.steps()) schedule_.announce(at_, 2 * at_);
    const Action action = schedule_.next();
    require(action.kind != Kind::restore && action.kind != Kind::reverse, "a run advances, stores and discards");
    if (action.kind != Kind::advance) return follow(action);
    require(action.from == at_ && action.to > at_, "advances from where the run stands");
    for (; at_ < action.to; ++at_) {
      if (at_ == end_ || (at_ > action.from && at_ == news_.at)) break;
      ++advances;
    }
    recorded_ = at_ - 1;
    if (at_ < end_) return;
    run_is_over_ = true;
    if (news_.end) schedule_.announce(end_, end_);
  }

  void follow(const Action& a) {
    const Place place(a.level, a.slot);
    switch (a.kind) {
      case Kind::advance:
        require(a.from == at_ && a.to > a.from && a.to <= end_, "advances over steps that are there");
        advances += a.to - a.from;
        at_ = a.to;
        recorded_ = a.to - 1;
        break;
      case Kind::store:
        store(a, place);
        break;
      case Kind::restore:
        require(slots_.count(place) == 1 && slots_[place] == std::make_pair(a.content, a.from),
                "restores what is stored");
        at_ = a.content == Content::state ? a.from : (a.content == Content::stages ? -1 : a.from + 1);
        recorded_ = a.content == Content::state ? -1 : a.from;
        note_access(a);
        break;
      case Kind::discard:
        require(slots_.count(place) == 1 && slots_[place] == std::make_pair(a.content, a.from),
                "discards what is stored");
        slots_.erase(place);
        (a.level == Level::memory ? memory_ : disk_) -= units(a.content);
        break;
      case Kind::reverse:
        require(run_is_over_ && a.from == end_ - 1 && recorded_ == a.from,
                "reverses the last step, whose stages are there");
        --end_;
        at_ = recorded_ = -1;
        require(schedule_.steps() == end_, "knows how many steps are left");
    }
  }

  void store(const Action& a, const Place& place) {
    require(a.slot >= 0 && slots_.count(place) == 0, "stores into an empty slot");
    require(a.content == Content::state || a.from == recorded_, "stores stages that are there");
    require(a.content == Content::stages || at_ == a.from + (a.content == Content::state ? 0 : 1),
            "stores a state that is there");
    slots_[place] = {a.content, a.from};
    (a.level == Level::memory ? memory_ : disk_) += units(a.content);
    peak_memory = std::max(peak_memory, memory_);
    peak_disk = std::max(peak_disk, disk_);
    require(memory_ <= budget_.memory && disk_ <= budget_.disk, "keeps within its budget");
    if (a.level == Level::disk) ++disk_writes;
    if (a.level == Level::memory) ++accesses[a.slot];
  }

  void note_access(const Action& a) {
    if (a.level == Level::disk) ++disk_reads;
    if (a.level == Level::memory) ++accesses[a.slot];
  }

  long units(Content content) const {
    if (content == Content::state) return 1;
    return budget_.stages + (content == Content::state_and_stages && !budget_.stiffly_accurate ? 1 : 0);
  }

  Schedule& schedule_;
  Budget budget_;
  News news_;
  long end_;
  long at_ = 0;
  long recorded_ = -1;
  bool run_is_over_ = false;
  std::map<Place, std::pair<Content, long>> slots_;
  long memory_ = 0;
  long disk_ = 0;
};

}  // namespace espalier::checkpoint::test
