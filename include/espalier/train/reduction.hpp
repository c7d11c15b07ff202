// Sums gradients and losses over the ranks, with what else the ranks must agree on in the same message.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include "espalier/nn/flat_parameters.hpp"

namespace espalier::train {

/// What all ranks know after a reduction.
struct Totals {
  double sum = 0;       ///< of squared errors
  bool stop = false;    ///< some rank wants to stop
  bool failed = false;  ///< some rank has an exception in hand
};

/// Sums over the ranks of `comm`. Every rank gets the same bits.
class Reduction {
 public:
  /// Collective on nothing; `parameters` must outlive the object.
  Reduction(MPI_Comm comm, nn::FlatParameters& parameters);

  /// Replaces the gradient by its sum over the ranks and returns the totals. Collective.
  /// For float64 parameters one MPI_Allreduce of count + 3 numbers. For float32 parameters the gradient is summed in
  /// float32 (half the bytes) and the three scalars in a second, small MPI_Allreduce, because the loss stays float64.
  Totals gradient_and_sum(double local_sum, bool stop, bool failed);

  /// The totals alone. Collective.
  Totals sum(double local_sum, bool stop, bool failed) const;

  /// Gives every rank the parameters of rank 0. Collective.
  void broadcast_parameters();

  /// Throws InternalError on all ranks if the parameters are not bitwise the same on all. Collective.
  void check_replicas() const;

 private:
  MPI_Comm comm_;
  nn::FlatParameters& parameters_;
  int size_ = 1;
  at::Tensor message_;  // float64, [count + 3]
};

}  // namespace espalier::train
