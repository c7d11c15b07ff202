// Vectors of a batch as its samples: inner products and updates with one number for each sample.
#pragma once

#include <petscvec.h>

#include <cstddef>
#include <initializer_list>
#include <vector>

namespace espalier::petsc {

/// For vectors that hold this rank's part of the first sample, of the second, and so on. Numbers of the samples are the
/// same on all ranks. Host memory. Nothing is allocated after the first inner products of as many.
class SampleVectors {
 public:
  using Numbers = std::vector<double>;

  /// An inner product of each sample and where it goes.
  struct Dot {
    Vec x;
    Vec y;
    Numbers& values;
  };

  /// Throws UserError on all ranks when the local size of `like` is no multiple of `samples` on one. Collective.
  void set(Vec like, PetscInt samples);
  std::size_t samples() const { return samples_; }

  /// values_s = x_s . y_s of each pair, in one reduction. Collective.
  void dots(std::initializer_list<Dot> list);
  /// The part of this rank in x_s . y_s.
  void local_dots(Vec x, Vec y, double* values) const;
  /// Sums of `count` numbers over the ranks. Collective.
  void reduce(double* values, std::size_t count) const;

  /// y_s += factor alpha_s x_s.
  void axpy(double factor, const double* alpha, Vec x, Vec y) const;
  /// y_s = x_s + beta_s y_s.
  void aypx(const double* beta, Vec x, Vec y) const;
  /// x_s *= alpha_s.
  void scale(const double* alpha, Vec x) const;

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  std::size_t samples_ = 0;
  PetscBLASInt rows_ = 0;  // of a sample on this rank
  Numbers buffer_;
};

}  // namespace espalier::petsc
