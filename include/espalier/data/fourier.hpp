// Real Fourier transforms of one line of points (FFTW3), planned once, with the same bits in every run.
#pragma once

#include <complex>
#include <cstddef>
#include <memory>
#include <vector>

namespace espalier::data {

/// Transforms between n real values and n/2 + 1 complex modes. FFTW's convention: forward unnormalised,
/// v_k = sum_j u_j exp(-2 pi i j k / n); inverse() divides by n, so that inverse(forward(u)) = u.
/// Plans are FFTW_ESTIMATE: nothing is measured, so the algorithm does not change from run to run. Not thread-safe in
/// construction (FFTW's planner); no allocation in the transforms.
class RealFourier {
 public:
  /// Throws UserError unless n >= 2.
  explicit RealFourier(std::size_t n);
  ~RealFourier();
  RealFourier(RealFourier&&) noexcept;
  RealFourier& operator=(RealFourier&&) noexcept;
  RealFourier(const RealFourier&) = delete;
  RealFourier& operator=(const RealFourier&) = delete;

  std::size_t points() const;
  std::size_t modes() const;

  /// [points] -> [modes]. The arrays may have any alignment; `u` is left as it is.
  void forward(const double* u, std::complex<double>* modes);
  /// [modes] -> [points].
  void inverse(const std::complex<double>* modes, double* u);

 private:
  struct Plans;
  std::unique_ptr<Plans> plans_;
};

/// Trigonometric interpolation of n periodic values to m points (either may be larger). The mean is kept.
std::vector<double> resample_periodic(const std::vector<double>& u, std::size_t m);

}  // namespace espalier::data
