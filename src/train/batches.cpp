#include "espalier/train/batches.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"

namespace espalier::train {

std::vector<std::int64_t> epoch_order(std::int64_t samples, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(samples));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::mt19937_64 engine(core::mix(core::mix(seed) ^ epoch));
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[core::uniform_below(engine, i)]);
  return order;
}

BatchPlan::BatchPlan(std::int64_t samples, std::int64_t batch_size, bool drop_last)
    : samples_(samples), batch_size_(batch_size), count_(0) {
  ESPALIER_REQUIRE(samples >= 0 && batch_size >= 1, "a batch must hold at least one sample");
  count_ = drop_last ? samples / batch_size : (samples + batch_size - 1) / batch_size;
}

Range BatchPlan::batch(std::int64_t b) const {
  ESPALIER_ASSERT(b >= 0 && b < count_, "batch number out of range");
  const std::int64_t first = b * batch_size_;
  return {first, std::min(batch_size_, samples_ - first)};
}

std::int64_t BatchPlan::samples_used() const { return std::min(samples_, count_ * batch_size_); }

Range rank_slice(Range batch, int rank, int size) {
  const std::int64_t each = batch.count / size;
  const std::int64_t more = batch.count % size;  // so many of the lower ranks take one more
  const std::int64_t before = rank * each + std::min<std::int64_t>(rank, more);
  return {batch.first + before, each + (rank < more ? 1 : 0)};
}

Range rank_slice(Range batch, MPI_Comm comm) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  return rank_slice(batch, rank, size);
}

}  // namespace espalier::train
