#include "espalier/data/spectrum.hpp"

#include <cmath>
#include <complex>

#include "espalier/core/error.hpp"
#include "espalier/data/fourier.hpp"

namespace espalier::data {

Spectrum energy_spectrum(const double* states, std::size_t count, std::size_t dof, double length) {
  ESPALIER_REQUIRE(count >= 1 && dof >= 2 && length > 0,
                   "energy spectrum: needs at least one state of two values and a positive period, not " +
                       io::describe(io::Shape{count, dof}));
  constexpr double two_pi = 6.283185307179586476925;
  RealFourier fourier(dof);
  std::vector<std::complex<double>> modes(fourier.modes());
  Spectrum spectrum{std::vector<double>(modes.size()), std::vector<double>(modes.size())};
  for (std::size_t i = 0; i < count; ++i) {
    fourier.forward(states + i * dof, modes.data());
    for (std::size_t k = 0; k < modes.size(); ++k) spectrum.energy[k] += std::norm(modes[k]);
  }
  for (std::size_t k = 0; k < modes.size(); ++k) {
    // Parseval: <u^2> / 2 = sum over all k of |v_k|^2 / (2 d^2); k and -k share an entry, 0 and d/2 stand alone.
    const double pairs = k == 0 || 2 * k == dof ? 1 : 2;
    const double d = static_cast<double>(dof);
    spectrum.energy[k] *= pairs / (2 * d * d * static_cast<double>(count));
    spectrum.wavenumber[k] = two_pi * static_cast<double>(k) / length;
  }
  return spectrum;
}

Spectrum energy_spectrum(const io::Series& series) {
  ESPALIER_REQUIRE(series.coordinates.size() >= 2, "energy spectrum: the series has fewer than two coordinates");
  const double length = static_cast<double>(series.dof) * (series.coordinates[1] - series.coordinates[0]);
  return energy_spectrum(series.states.data(), series.trajectories * series.count(), series.dof, length);
}

}  // namespace espalier::data
