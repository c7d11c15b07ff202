// Boxes and the points in them, as generators of random fields share them.
#pragma once

#include <torch/types.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"

namespace espalier::data {

/// Where the points of a line are: at its ends and between, or at the centres of equal cells.
enum class Spacing { with_ends, centres };

/// Throws UserError, "`generator`: ...", unless lower < upper and every list of counts fits them.
inline void require_box(const std::string& generator, const std::vector<double>& lower,
                        const std::vector<double>& upper, const std::vector<std::vector<std::size_t>>& counts) {
  ESPALIER_REQUIRE(!lower.empty() && lower.size() == upper.size(),
                   generator + ": the two corners of the domain need an entry for each dimension");
  for (std::size_t d = 0; d < lower.size(); ++d)
    ESPALIER_REQUIRE(std::isfinite(lower[d]) && std::isfinite(upper[d]) && lower[d] < upper[d],
                     generator + ": the upper corner of the domain must lie above the lower one");
  for (const auto& list : counts) {
    ESPALIER_REQUIRE(list.size() == lower.size(), generator + ": a number of points is needed for each dimension");
    for (const std::size_t count : list)
      ESPALIER_REQUIRE(count >= 2, generator + ": at least 2 points are needed in each dimension");
  }
}

/// Throws UserError unless `points` is [n, dimension].
inline void require_points(const std::string& generator, const at::Tensor& points, std::size_t dimension) {
  ESPALIER_REQUIRE(points.dim() == 2 && points.size(1) == static_cast<std::int64_t>(dimension),
                   generator + ": points must be [n, " + std::to_string(dimension) + "]");
}

/// Coordinate i of `count` in [lower, upper].
inline double coordinate(Spacing spacing, double lower, double upper, std::size_t i, std::size_t count) {
  const double n = static_cast<double>(count);
  const double s = static_cast<double>(i);
  return lower + (upper - lower) * (spacing == Spacing::with_ends ? s / (n - 1) : (s + 0.5) / n);
}

/// All points of a tensor-product grid, [count, dimension]; the last dimension runs fastest.
at::Tensor grid_points(Spacing spacing, const std::vector<double>& lower, const std::vector<double>& upper,
                       const std::vector<std::size_t>& counts);

}  // namespace espalier::data
