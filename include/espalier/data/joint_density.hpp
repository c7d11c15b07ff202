// Joint density of two quantities over a long run, as that of (u_x, u_xx): what is compared when trajectories of a
// chaotic system no longer can be.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <vector>

namespace espalier::data {

/// `count` equal bins on [low, high]; a value on an edge between two belongs to the upper one.
struct Bins {
  double low = 0;
  double high = 1;
  std::size_t count = 1;

  double width() const { return (high - low) / static_cast<double>(count); }
  /// Of each bin.
  std::vector<double> centres() const;
};

/// Bins from the least to the largest of the values. Throws UserError unless these are finite and not all equal.
Bins bins_over(const std::vector<double>& values, std::size_t count);

/// Histogram of pairs (a, b); pairs that lie outside the bins, or are not finite, are counted apart.
class JointDensity {
 public:
  /// Throws UserError unless both have bins of positive width.
  JointDensity(const Bins& a, const Bins& b);

  /// Counts n pairs. Not collective.
  void add(const double* a, const double* b, std::size_t n);
  /// Adds up what the ranks of `comm` have counted, the same on all. Collective.
  void reduce(MPI_Comm comm);

  const Bins& first() const { return a_; }
  const Bins& second() const { return b_; }
  /// Pairs counted.
  double total() const;
  /// Part of the pairs in each bin, divided by its area: [bins of a, bins of b], row-major; its integral and outside()
  /// make one. Throws UserError if nothing has been counted.
  std::vector<double> density() const;
  /// Part of the pairs outside the bins.
  double outside() const;

  /// Integral of |p - q|, twice the total variation: 0 for equal densities, 2 for densities that share nothing. What
  /// lies outside counts as one more bin. Throws UserError if the bins differ or nothing has been counted.
  friend double distance(const JointDensity& p, const JointDensity& q);

 private:
  Bins a_;
  Bins b_;
  std::vector<double> counts_;  // [bins of a, bins of b], then the pairs outside
};

double distance(const JointDensity& p, const JointDensity& q);

/// u_x and u_xx at the grid's points.
struct Derivatives {
  std::vector<double> first;
  std::vector<double> second;
};

/// Derivatives of `count` states [count, dof] of period `length` by FFT: the modes times i q and -q^2; u_x without the
/// highest mode of an even number of points, whose derivative is zero at the points. Throws UserError unless dof >= 2
/// and length > 0.
Derivatives periodic_derivatives(const double* states, std::size_t count, std::size_t dof, double length);

}  // namespace espalier::data
