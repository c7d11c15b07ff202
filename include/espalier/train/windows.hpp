// Training samples cut from trajectories: an initial state and the states that follow it.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>

#include "espalier/train/batches.hpp"

namespace espalier::train {

/// Samples as the objective takes them; float64, n may be 0.
struct Batch {
  at::Tensor u0;       ///< [n, dof]
  at::Tensor targets;  ///< [n, intervals, dof]

  std::int64_t size() const { return u0.size(0); }
};

/// Windows of `intervals` snapshot intervals: window w of a trajectory starts at state w * stride and holds the
/// states w * stride + 0 (u0), 1, ..., intervals (targets). No window reaches from one trajectory into the next.
class WindowDataset {
 public:
  /// `states` is [T, dof] (one trajectory) or [R, T, dof] (R of them), float64 in main memory; shared, not copied.
  /// No states at all give an empty data set. Throws UserError for another shape or type, or when no window fits.
  WindowDataset(const at::Tensor& states, std::int64_t intervals, std::int64_t stride = 1);
  /// The same for states that are spread over the ranks, such as fields on a distributed grid: `states` holds this
  /// rank's entries of every state, which has `dof` entries in all. Every rank then takes all samples of a batch.
  static WindowDataset spread(const at::Tensor& states, std::int64_t dof, std::int64_t intervals,
                              std::int64_t stride = 1);
  /// Spread states that each of `groups` groups of ranks holds all of: this rank, of the group `group`, then takes the
  /// group's slice of a batch.
  WindowDataset& deal_to_groups(int group, int groups);

  std::int64_t size() const { return trajectories_ * per_trajectory_; }
  std::int64_t intervals() const { return intervals_; }
  /// Entries of a state, over all ranks if states are spread.
  std::int64_t dof() const { return dof_; }
  bool is_spread() const { return spread_; }
  /// Groups of ranks that share the samples of a batch if states are spread, else 1.
  int groups() const { return groups_; }
  /// The part of `batch` that `rank` of `size` evaluates: its slice; if states are spread, that of its group.
  Range part_of(Range batch, int rank, int size) const {
    return spread_ ? rank_slice(batch, group_, groups_) : rank_slice(batch, rank, size);
  }

  /// The windows with the given numbers in [0, size()), in the given order, as copies.
  Batch gather(at::IntArrayRef windows) const;
  /// The windows first, ..., first + count - 1.
  Batch gather_range(std::int64_t first, std::int64_t count) const;

 private:
  at::Tensor states_;  // [R * T, dof], or this rank's entries of each
  std::int64_t dof_ = 0;
  bool spread_ = false;
  int group_ = 0;
  int groups_ = 1;
  std::int64_t trajectories_ = 1;
  std::int64_t length_ = 0;  // T
  std::int64_t intervals_ = 1;
  std::int64_t stride_ = 1;
  std::int64_t per_trajectory_ = 0;
};

/// Splits states for training from states held out, along the first dimension: in time for [T, dof], by whole
/// trajectories for [R, T, dof]. The first round(fraction * size) rows train, so that no state belongs to both.
/// Returns views. Throws UserError unless 0 < fraction <= 1 leaves something to train on.
std::pair<at::Tensor, at::Tensor> split_states(const at::Tensor& states, double fraction);

}  // namespace espalier::train
