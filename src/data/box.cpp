#include "box.hpp"

#include <torch/types.h>

namespace espalier::data {

at::Tensor grid_points(Spacing spacing, const std::vector<double>& lower, const std::vector<double>& upper,
                       const std::vector<std::size_t>& counts) {
  std::int64_t total = 1;
  for (const std::size_t count : counts) total *= static_cast<std::int64_t>(count);
  const auto dimensions = static_cast<std::int64_t>(counts.size());
  const at::Tensor points = torch::empty({total, dimensions}, torch::kDouble);
  auto* entry = points.data_ptr<double>();
  for (std::int64_t p = 0; p < total; ++p) {
    auto rest = static_cast<std::size_t>(p);
    for (std::size_t d = counts.size(); d-- > 0; rest /= counts[d])
      entry[static_cast<std::size_t>(p) * counts.size() + d] =
          coordinate(spacing, lower[d], upper[d], rest % counts[d], counts[d]);
  }
  return points;
}

}  // namespace espalier::data
