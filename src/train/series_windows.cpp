#include "espalier/train/series_windows.hpp"

#include <torch/types.h>

#include "espalier/core/error.hpp"

namespace espalier::train {

namespace {

at::Tensor states_of(const io::Series& series) {
  const auto count = static_cast<std::int64_t>(series.count());
  const auto dof = static_cast<std::int64_t>(series.dof);
  const auto trajectories = static_cast<std::int64_t>(series.trajectories);
  auto* data = const_cast<double*>(series.states.data());
  if (trajectories == 1) return torch::from_blob(data, {count, dof}, torch::kDouble);
  return torch::from_blob(data, {trajectories, count, dof}, torch::kDouble);
}

at::Tensor first_part(const at::Tensor& states, double fraction) { return split_states(states, fraction).first; }

at::Tensor second_part(const at::Tensor& states, const TrainerOptions& options) {
  const at::Tensor unseen = split_states(states, options.fraction).second;
  const std::int64_t length = unseen.size(unseen.dim() - 2);
  ESPALIER_REQUIRE(unseen.numel() == 0 || length > options.window,
                   "-train_fraction " + std::to_string(options.fraction) + " holds out " + std::to_string(length) +
                       " states, too few for a window of " + std::to_string(options.window) +
                       " intervals: choose a smaller fraction, or 1 to hold out nothing");
  return unseen;
}

}  // namespace

SeriesWindows::SeriesWindows(const io::Series& series, const TrainerOptions& options)
    : seen_(first_part(states_of(series), options.fraction)),
      unseen_(second_part(states_of(series), options)),
      training_(seen_, options.window),
      held_out_(unseen_, options.window) {}

}  // namespace espalier::train
