// Checkpointing of a run whose number of steps is not known.
#pragma once

#include <memory>
#include <vector>

#include "espalier/checkpoint/schedule.hpp"

namespace espalier::checkpoint {

/// Which states a run keeps that may end after any step: as many as there are units, and with every step it decides
/// whether to give one of them up for the new one.
class Thinning {
 public:
  explicit Thinning(long units) : units_(units) {}

  const std::vector<long>& kept() const { return kept_; }
  /// With all units in use, in place of which of the kept states to store u_at; 0, which is never given up: none.
  std::size_t replaced_by(long at) const;
  void remove(std::size_t place);
  void add(long at);

 private:
  std::int64_t segment(std::size_t from, std::size_t to, long units) const;
  void choose_candidate();

  long units_;
  std::vector<long> kept_;
  // The inner state that is given up next, and what that costs apart from the steps after the last kept state.
  std::size_t candidate_ = 0;
  std::int64_t cost_of_candidate_ = 0;
};

std::unique_ptr<Schedule> make_online(long steps, const Budget& budget);
Plan plan_online(long steps, const Budget& budget);

}  // namespace espalier::checkpoint
