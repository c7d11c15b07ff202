#include "espalier/data/joint_density.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/data/fourier.hpp"

namespace espalier::data {

namespace {

void validate(const Bins& bins) {
  ESPALIER_REQUIRE(bins.count >= 1 && std::isfinite(bins.low) && std::isfinite(bins.high) && bins.low < bins.high,
                   "joint density: " + std::to_string(bins.count) + " bins from " + std::to_string(bins.low) + " to " +
                       std::to_string(bins.high) + "; at least one of positive width is needed");
}

// Number of the value's bin; bins.count outside.
std::size_t bin_of(const Bins& bins, double value) {
  if (!(value >= bins.low && value <= bins.high)) return bins.count;
  const auto i = static_cast<std::size_t>((value - bins.low) / bins.width());
  return std::min(i, bins.count - 1);
}

}  // namespace

std::vector<double> Bins::centres() const {
  std::vector<double> points;
  for (std::size_t i = 0; i < count; ++i) points.push_back(low + (static_cast<double>(i) + 0.5) * width());
  return points;
}

Bins bins_over(const std::vector<double>& values, std::size_t count) {
  ESPALIER_REQUIRE(!values.empty(), "joint density: no values to find a range of");
  const auto [least, largest] = std::minmax_element(values.begin(), values.end());
  const Bins bins{*least, *largest, count};
  validate(bins);
  return bins;
}

JointDensity::JointDensity(const Bins& a, const Bins& b) : a_(a), b_(b) {
  validate(a);
  validate(b);
  counts_.assign(a.count * b.count + 1, 0.0);
}

void JointDensity::add(const double* a, const double* b, std::size_t n) {
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t i = bin_of(a_, a[k]);
    const std::size_t j = bin_of(b_, b[k]);
    const bool inside = i < a_.count && j < b_.count;
    counts_[inside ? i * b_.count + j : a_.count * b_.count] += 1;
  }
}

void JointDensity::reduce(MPI_Comm comm) {
  MPI_Allreduce(MPI_IN_PLACE, counts_.data(), static_cast<int>(counts_.size()), MPI_DOUBLE, MPI_SUM, comm);
}

double JointDensity::total() const { return std::accumulate(counts_.begin(), counts_.end(), 0.0); }

std::vector<double> JointDensity::density() const {
  ESPALIER_REQUIRE(total() > 0, "joint density: nothing has been counted");
  const double scale = 1 / (total() * a_.width() * b_.width());
  std::vector<double> values(counts_.begin(), counts_.end() - 1);
  for (double& value : values) value *= scale;
  return values;
}

double JointDensity::outside() const {
  ESPALIER_REQUIRE(total() > 0, "joint density: nothing has been counted");
  return counts_.back() / total();
}

double distance(const JointDensity& p, const JointDensity& q) {
  const auto agree = [](const Bins& a, const Bins& b) {
    return a.low == b.low && a.high == b.high && a.count == b.count;
  };
  ESPALIER_REQUIRE(agree(p.a_, q.a_) && agree(p.b_, q.b_), "joint density: two densities need the same bins");
  const double all_p = p.total();
  const double all_q = q.total();
  ESPALIER_REQUIRE(all_p > 0 && all_q > 0, "joint density: nothing has been counted");
  double sum = 0;
  for (std::size_t i = 0; i < p.counts_.size(); ++i) sum += std::abs(p.counts_[i] / all_p - q.counts_[i] / all_q);
  return sum;
}

Derivatives periodic_derivatives(const double* states, std::size_t count, std::size_t dof, double length) {
  ESPALIER_REQUIRE(dof >= 2 && length > 0, "derivatives: at least two points and a positive period are needed");
  constexpr double two_pi = 6.283185307179586476925;
  RealFourier fourier(dof);
  std::vector<std::complex<double>> modes(fourier.modes());
  std::vector<std::complex<double>> work(fourier.modes());
  Derivatives derivatives{std::vector<double>(count * dof), std::vector<double>(count * dof)};
  for (std::size_t i = 0; i < count; ++i) {
    fourier.forward(states + i * dof, modes.data());
    for (std::size_t k = 0; k < modes.size(); ++k) {
      const double q = two_pi * static_cast<double>(k) / length;
      work[k] = 2 * k == dof ? 0.0 : std::complex<double>(0, q) * modes[k];
      modes[k] *= -q * q;
    }
    fourier.inverse(work.data(), derivatives.first.data() + i * dof);
    fourier.inverse(modes.data(), derivatives.second.data() + i * dof);
  }
  return derivatives;
}

}  // namespace espalier::data
