// The dynamic programming of Costs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "costs.hpp"

namespace espalier::checkpoint {

/// Values for m = 1, 2, ..., kept where their differences change.
class Piecewise {
 public:
  Piecewise() = default;
  /// values[0] is none of them.
  explicit Piecewise(const std::vector<std::int64_t>& values);
  std::int64_t operator()(long m) const;

 private:
  std::vector<std::int32_t> kinks_;
  std::vector<std::int64_t> values_;
};

/// The functions of Costs for 1 <= m <= steps and f up to the units. Beyond `units` free units, if everything fits
/// into these, nothing changes.
class CostTable {
 public:
  /// m is at most this.
  static constexpr long most_steps = 65535;

  CostTable(const Rules& rules, long steps, long units);

  /// A table that has all of this at least; the last one made if it will do.
  static std::shared_ptr<const CostTable> shared(const Rules& rules, long steps, long units);

  std::int64_t fresh(long m, long f) const { return fresh_[row(f, fresh_.size())](m); }
  std::int64_t held(long m, long f) const { return rules_.drops ? fresh(m, f + 1) : held_[row(f, held_.size())](m); }
  std::int64_t block(long m, long f) const { return rules_.drops ? block_[row(f, block_.size())](m) : held(m, f); }

  bool stages_first(long m, long f) const { return stages_first_[row(f, stages_first_.size())][offset(m)]; }
  long distance_from_state(long m, long f) const { return to_next_[row(f, to_next_.size())][offset(m)]; }
  long distance_from_block(long m, long f) const {
    return rules_.drops ? to_next_from_block_[row(f, to_next_from_block_.size())][offset(m)]
                        : distance_from_state(m, f);
  }

 private:
  using Values = std::vector<std::int64_t>;
  using Distances = std::vector<std::uint16_t>;

  static std::size_t offset(long m) { return static_cast<std::size_t>(m); }
  static std::size_t row(long f, std::size_t rows) { return std::min(static_cast<std::size_t>(f), rows - 1); }
  bool serves(const Rules& rules, long steps, long units) const;
  std::size_t past(long f) const { return static_cast<std::size_t>(f) % recent_.size(); }
  Values add_block_row(const Values& fresh, const std::vector<long>& kinks, long f);
  Values add_held_row(const Values& fresh, const std::vector<long>& kinks, long f);

  Rules rules_;
  long steps_;
  long units_;
  std::vector<Piecewise> fresh_, held_, block_;
  std::vector<Distances> to_next_, to_next_from_block_;
  std::vector<std::vector<bool>> stages_first_;
  std::vector<Values> recent_;  // while it is made: rows of what follows once the stages of a step are stored
};

}  // namespace espalier::checkpoint
