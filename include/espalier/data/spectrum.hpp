// Energy by wavenumber, averaged over time: what a long prediction of a chaotic system should have in common with
// truth.
#pragma once

#include <cstddef>
#include <vector>

#include "espalier/io/series.hpp"

namespace espalier::data {

/// Energy by wavenumber.
struct Spectrum {
  std::vector<double> wavenumber;  ///< q_k = 2 pi k / L, k = 0 .. d/2
  std::vector<double> energy;      ///< sums to the time mean of <u^2> / 2 (mean over x)
};

/// Time-averaged energy spectrum of `count` states [count, dof] of period `length`, by FFT.
/// Throws UserError unless count >= 1 and dof >= 2; states that are not finite give energies that are not.
Spectrum energy_spectrum(const double* states, std::size_t count, std::size_t dof, double length);
/// The same of a series on equally spaced points of a period, over all its trajectories: length = d (x_1 - x_0).
Spectrum energy_spectrum(const io::Series& series);

}  // namespace espalier::data
