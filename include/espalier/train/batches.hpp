// The order of the samples in an epoch, its cut into mini-batches, and each rank's slice of a batch.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

namespace espalier::train {

/// Consecutive positions first, ..., first + count - 1.
struct Range {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// A permutation of 0, ..., samples - 1 that depends on (seed, epoch) only: Fisher-Yates over std::mt19937_64, whose
/// output the C++ standard fixes, so that it is the same on all platforms and ranks.
std::vector<std::int64_t> epoch_order(std::int64_t samples, std::uint64_t seed, std::uint64_t epoch);

/// The cut of `samples` into batches of `batch_size`; the last one is smaller, or left out with `drop_last`.
class BatchPlan {
 public:
  BatchPlan(std::int64_t samples, std::int64_t batch_size, bool drop_last);

  std::int64_t count() const { return count_; }
  /// Positions of batch b in the epoch's order; b in [0, count()).
  Range batch(std::int64_t b) const;
  /// Samples that an epoch uses.
  std::int64_t samples_used() const;

 private:
  std::int64_t samples_;
  std::int64_t batch_size_;
  std::int64_t count_;
};

/// The part of `batch` that `rank` of `size` evaluates: counts differ by one at most, the lower ranks have more; a rank
/// may have none.
Range rank_slice(Range batch, int rank, int size);
/// That of this rank of `comm`. Not collective.
Range rank_slice(Range batch, MPI_Comm comm);

}  // namespace espalier::train
