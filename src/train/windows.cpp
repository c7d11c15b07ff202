#include "espalier/train/windows.hpp"

#include <torch/types.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"

namespace espalier::train {

WindowDataset::WindowDataset(const at::Tensor& states, std::int64_t intervals, std::int64_t stride)
    : intervals_(intervals), stride_(stride) {
  ESPALIER_REQUIRE(states.dim() == 2 || states.dim() == 3,
                   "training states must be a tensor [time, dof] or [trajectory, time, dof], not one of dimension " +
                       std::to_string(states.dim()));
  ESPALIER_REQUIRE(states.scalar_type() == at::kDouble && states.device().is_cpu(),
                   "training states must be float64 in main memory");
  ESPALIER_REQUIRE(intervals >= 1 && stride >= 1, "intervals per window and stride must be at least 1");
  const bool many = states.dim() == 3;
  trajectories_ = many ? states.size(0) : 1;
  length_ = states.size(many ? 1 : 0);
  dof_ = states.size(-1);
  states_ = states.contiguous().view({trajectories_ * length_, dof_});
  if (states_.size(0) == 0) return;
  ESPALIER_REQUIRE(length_ > intervals, "a trajectory of " + std::to_string(length_) + " states holds no window of " +
                                            std::to_string(intervals) +
                                            " intervals: give more states or a smaller -train_window");
  per_trajectory_ = (length_ - intervals - 1) / stride + 1;
}

WindowDataset WindowDataset::spread(const at::Tensor& states, std::int64_t dof, std::int64_t intervals,
                                    std::int64_t stride) {
  WindowDataset windows(states, intervals, stride);
  windows.spread_ = true;
  windows.dof_ = dof;
  return windows;
}

WindowDataset& WindowDataset::deal_to_groups(int group, int groups) {
  ESPALIER_ASSERT(spread_ && group >= 0 && group < groups, "groups of ranks share the samples of spread states");
  group_ = group;
  groups_ = groups;
  return *this;
}

Batch WindowDataset::gather(at::IntArrayRef windows) const {
  const auto count = static_cast<std::int64_t>(windows.size());
  const at::Tensor start = torch::empty({count}, torch::kInt64);
  const at::Tensor follow = torch::empty({count * intervals_}, torch::kInt64);
  auto* first = start.data_ptr<std::int64_t>();
  auto* next = follow.data_ptr<std::int64_t>();
  for (const std::int64_t window : windows) {
    ESPALIER_ASSERT(window >= 0 && window < size(), "window number out of range");
    const std::int64_t trajectory = window / per_trajectory_;
    const std::int64_t state = trajectory * length_ + (window % per_trajectory_) * stride_;
    *first++ = state;
    for (std::int64_t k = 1; k <= intervals_; ++k) *next++ = state + k;
  }
  return {states_.index_select(0, start), states_.index_select(0, follow).view({count, intervals_, states_.size(1)})};
}

Batch WindowDataset::gather_range(std::int64_t first, std::int64_t count) const {
  std::vector<std::int64_t> windows(static_cast<std::size_t>(count));
  std::iota(windows.begin(), windows.end(), first);
  return gather(windows);
}

std::pair<at::Tensor, at::Tensor> split_states(const at::Tensor& states, double fraction) {
  ESPALIER_REQUIRE(states.dim() >= 1, "only a tensor with a first dimension can be split");
  const std::int64_t total = states.size(0);
  const std::int64_t kept = std::llround(fraction * static_cast<double>(total));
  ESPALIER_REQUIRE(fraction > 0 && fraction <= 1 && kept > 0,
                   "-train_fraction " + std::to_string(fraction) + " of " + std::to_string(total) +
                       " states leaves nothing to train on: choose a fraction in (0, 1]");
  return {states.narrow(0, 0, kept), states.narrow(0, kept, total - kept)};
}

}  // namespace espalier::train
