// Random smooth states: Gaussian-process regression through random values on a coarse grid, as Im-PiNDiff starts from.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace espalier::data {

/// What the process needs; the first four have an entry for each dimension.
struct GaussianProcessSettings {
  std::vector<double> lower = {-1, 0};             ///< corner of the domain
  std::vector<double> upper = {1, 1};              ///< the opposite corner
  std::vector<std::size_t> coarse = {30, 10};      ///< points with random values, corners included
  std::vector<std::size_t> reference = {128, 64};  ///< cells at whose centres the state has its least and largest value
  double length_scale = 0.3;                       ///< l of the kernel exp(-|x - y|^2 / (2 l^2))
  std::uint64_t seed = 0;                          ///< of the values
};

/// Regression with an RBF kernel through values drawn from U(0, 1): the mean of the posterior,
/// f(x) = k(x, X) (k(X, X) + 1e-10 I)^-1 y, which is what scikit-learn's GaussianProcessRegressor predicts with its
/// default jitter. That one also looks for the length scale of largest likelihood above a lower bound; the values are
/// white noise, whose likelihood is largest for the shortest length scale allowed, so that the bound is the answer and
/// is given here. With length scales of several points the jitter filters the noise: f passes by the values. f is not
/// periodic. The same seed gives the same state on every platform, to about 1e-6: the jitter amplifies roundings so
/// much that double arithmetic would leave 1e-5, and the solve is in long double. Not collective.
class GaussianProcess {
 public:
  /// Throws UserError that names the setting.
  explicit GaussianProcess(const GaussianProcessSettings& settings);

  /// f at `points` [n, dimension]: [n], float64.
  at::Tensor evaluate(const at::Tensor& points) const;
  /// (f - least) / (largest - least), with the bounds over the reference cells: in [0, 1] at their centres, whatever
  /// part of them `points` is, and to 1e-2 or so elsewhere.
  at::Tensor evaluate_scaled(const at::Tensor& points) const;

  /// The coarse points, [count, dimension], and their values, [count]; the last dimension runs fastest.
  at::Tensor coarse_points() const;
  at::Tensor coarse_values() const;

 private:
  GaussianProcessSettings settings_;
  std::vector<double> values_;
  std::vector<long double> weights_;  // (k(X, X) + 1e-10 I)^-1 y
  double least_ = 0;
  double largest_ = 1;
};

}  // namespace espalier::data
