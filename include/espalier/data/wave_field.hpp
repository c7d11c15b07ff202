// Sums of waves: the coefficient fields that Im-PiNDiff's reference data are made with.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace espalier::data {

/// What a field needs; corners and cells have an entry for each dimension.
struct WaveFieldSettings {
  std::vector<double> lower = {-1, 0};             ///< corner of the periodic domain
  std::vector<double> upper = {1, 1};              ///< the opposite corner
  std::vector<std::size_t> reference = {128, 64};  ///< cells at whose centres the bounds are found
  std::size_t waves = 15;
  int least_number = 0;    ///< wave numbers: waves in the domain, in each dimension
  int largest_number = 1;  ///< likewise
  double amplitude = 2;    ///< amplitudes are U(-amplitude, amplitude)
  double frequency = 0;    ///< frequencies are U(-frequency, frequency), in 1 / time; 0: steady
  double horizon = 0;      ///< time up to which a moving field stays in [0, 1]
  std::uint64_t seed = 0;
};

/// The sum over w of a_w cos(2 pi (k_w . (x - lower) / (upper - lower) + f_w t) + pi phi_w), phi_w from U(0, 2), put
/// into [0, 1] by a shift and a factor. Its bounds are those at the centres of the reference cells, of a moving field
/// over 0 <= t <= horizon at 101 times: the scaling depends neither on t nor on the points asked for, and the values at
/// those points and times fill [0, 1]; between them they may leave it by 1e-3 or so. The numbers come from the seed by
/// std::mt19937_64: the same field on every platform, up to rounding. Not collective.
class WaveField {
 public:
  /// Throws UserError that names the setting, or when all waves are constants.
  explicit WaveField(const WaveFieldSettings& settings);

  bool moves() const { return settings_.frequency > 0; }
  /// Values at `points` [n, dimension] and time t: [n], float64.
  at::Tensor evaluate(const at::Tensor& points, double t = 0) const { return at_points(points)(t); }
  /// The same as a function of time, which takes the sines of the points only once.
  std::function<at::Tensor(double t)> at_points(const at::Tensor& points) const;

 private:
  at::Tensor basis(const at::Tensor& points) const;
  at::Tensor coefficients(double t) const;
  void find_bounds();

  WaveFieldSettings settings_;
  at::Tensor numbers_;      // k, [dimension, waves]
  at::Tensor amplitudes_;   // [waves]
  at::Tensor phases_;       // pi phi, [waves]
  at::Tensor frequencies_;  // [waves]
  double least_ = 0;
  double largest_ = 1;
};

}  // namespace espalier::data
