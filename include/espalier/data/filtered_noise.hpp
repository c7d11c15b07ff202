// White noise behind a low-pass filter, on a periodic plane: what flows in the plane begin with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace espalier::data {

struct FilteredNoiseSettings {
  std::size_t columns = 0;  ///< points along x
  std::size_t rows = 0;     ///< points along y
  std::size_t cutoff = 0;   ///< K: modes with 0 < k_x^2 + k_y^2 <= K^2 stay, k in waves per domain
  std::uint64_t seed = 0;
};

/// Field number `field`, [rows, columns] with x fastest, at the points (i, j) / (columns, rows): normal white noise of
/// which a sharp filter leaves the modes up to the cut-off, scaled to a mean square of 1; its mean is 0. The
/// projection of white noise onto orthogonal waves has independent normal amplitudes, and these are what is drawn: the
/// field is the same function on every grid, and on every platform up to rounding. Fields of other numbers and seeds
/// are independent. Throws UserError unless 1 <= K and 2 K < columns, rows. Not collective.
std::vector<double> filtered_noise(const FilteredNoiseSettings& settings, std::size_t field);

}  // namespace espalier::data
