// Sums gradients and losses over the ranks, with what else the ranks must agree on in the same message.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include "espalier/nn/flat_parameters.hpp"
#include "espalier/train/batches.hpp"

namespace espalier::train {

/// What all ranks know after a reduction.
struct Totals {
  double sum = 0;       ///< of squared errors
  bool stop = false;    ///< some rank wants to stop
  bool failed = false;  ///< some rank has an exception in hand
};

/// How gradients are summed.
enum class SumOrder {
  any,   ///< MPI_Allreduce: the order is the MPI library's, for good ones the same in every run with the same ranks
  ranks  ///< in the order of the ranks, whatever the library: each rank sums its slice of the gradient
};

/// Sums over the ranks of `comm`. Every rank gets the same bits.
///
/// The gradient of an integrated model is complete only when the last stage of the adjoint has been accumulated, since
/// each stage adds to every parameter: there is no part of it whose reduction could run beside the backward pass.
class Reduction {
 public:
  /// Collective on nothing; `parameters` must outlive the object.
  Reduction(MPI_Comm comm, nn::FlatParameters& parameters, SumOrder order = SumOrder::any);

  /// Replaces the gradient by its sum over the ranks and returns the totals. Collective.
  /// For float64 parameters one MPI_Allreduce of count + 3 numbers. For float32 parameters the gradient is summed in
  /// float32 (half the bytes) and the three scalars in a second, small MPI_Allreduce, because the loss stays float64.
  Totals gradient_and_sum(double local_sum, bool stop, bool failed);

  /// The totals alone. Collective.
  Totals sum(double local_sum, bool stop, bool failed) const;

  /// The parameters whose update is this rank's if they are shared out: whole chunks of the optimiser.
  Range own_slice() const { return slice_of(rank_); }
  /// Completes a vector [count] of which each rank has its own_slice(), in place. Collective.
  void gather_slices(at::Tensor& vector) const;

  /// Gives every rank the parameters of rank 0. Collective.
  void broadcast_parameters();

  /// Throws InternalError on all ranks if the parameters are not bitwise the same on all. Collective.
  void check_replicas() const;

 private:
  Range slice_of(int rank) const;
  void sum_in_rank_order(at::Tensor& gradient);

  MPI_Comm comm_;
  nn::FlatParameters& parameters_;
  SumOrder order_;
  int rank_ = 0;
  int size_ = 1;
  at::Tensor slices_;   // of all ranks' gradients, what this rank sums: [size, slice]
  at::Tensor message_;  // float64, [count + 3]
};

}  // namespace espalier::train
