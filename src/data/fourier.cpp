#include "espalier/data/fourier.hpp"

#include <fftw3.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "espalier/core/error.hpp"

namespace espalier::data {

namespace {

struct FreeFftw {
  void operator()(void* memory) const { fftw_free(memory); }
};
struct DestroyPlan {
  void operator()(fftw_plan plan) const { fftw_destroy_plan(plan); }
};
using PlanHandle = std::unique_ptr<std::remove_pointer_t<fftw_plan>, DestroyPlan>;

}  // namespace

// FFTW's own arrays, so that the alignment, on which its choice of algorithm depends, is the same in every run.
struct RealFourier::Plans {
  explicit Plans(std::size_t n)
      : points(n),
        real(fftw_alloc_real(n)),
        modes(fftw_alloc_complex(n / 2 + 1)),
        forward(fftw_plan_dft_r2c_1d(static_cast<int>(n), real.get(), modes.get(), FFTW_ESTIMATE)),
        inverse(fftw_plan_dft_c2r_1d(static_cast<int>(n), modes.get(), real.get(), FFTW_ESTIMATE)) {}

  std::size_t points;
  std::unique_ptr<double, FreeFftw> real;
  std::unique_ptr<fftw_complex, FreeFftw> modes;
  PlanHandle forward;
  PlanHandle inverse;
};

RealFourier::RealFourier(std::size_t n) {
  ESPALIER_REQUIRE(n >= 2 && n <= (1u << 30), "Fourier transform of " + std::to_string(n) + " points: at least 2");
  plans_ = std::make_unique<Plans>(n);
}
RealFourier::~RealFourier() = default;
RealFourier::RealFourier(RealFourier&&) noexcept = default;
RealFourier& RealFourier::operator=(RealFourier&&) noexcept = default;

std::size_t RealFourier::points() const { return plans_->points; }
std::size_t RealFourier::modes() const { return plans_->points / 2 + 1; }

void RealFourier::forward(const double* u, std::complex<double>* modes) {
  std::copy_n(u, points(), plans_->real.get());
  fftw_execute(plans_->forward.get());
  std::memcpy(static_cast<void*>(modes), plans_->modes.get(), this->modes() * sizeof(fftw_complex));
}

void RealFourier::inverse(const std::complex<double>* modes, double* u) {
  std::memcpy(plans_->modes.get(), modes, this->modes() * sizeof(fftw_complex));
  fftw_execute(plans_->inverse.get());
  const double scale = 1 / static_cast<double>(points());
  std::transform(plans_->real.get(), plans_->real.get() + points(), u, [scale](double value) { return scale * value; });
}

std::vector<double> resample_periodic(const std::vector<double>& u, std::size_t m) {
  RealFourier from(u.size());
  RealFourier to(m);
  std::vector<std::complex<double>> modes(from.modes());
  from.forward(u.data(), modes.data());
  const std::size_t shared = std::min(from.modes(), to.modes());
  modes.resize(to.modes());
  std::fill(modes.begin() + static_cast<std::ptrdiff_t>(shared), modes.end(), 0);
  // The highest mode of an even number of points stands for +k and -k at once: split it or join it.
  const std::size_t top = std::min(u.size(), m);
  if (top % 2 == 0 && u.size() != m) modes[top / 2] *= u.size() < m ? 0.5 : 2.0;
  for (auto& mode : modes) mode *= static_cast<double>(m) / static_cast<double>(u.size());
  std::vector<double> result(m);
  to.inverse(modes.data(), result.data());
  return result;
}

}  // namespace espalier::data
