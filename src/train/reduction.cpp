#include "espalier/train/reduction.hpp"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/train/optimiser.hpp"

namespace espalier::train {

namespace {

constexpr int scalars = 3;  // sum, stop, failed

int mpi_count(std::int64_t count) {
  ESPALIER_REQUIRE(count <= std::numeric_limits<int>::max(), "the network has too many parameters for one MPI message");
  return static_cast<int>(count);
}

MPI_Datatype mpi_type(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kDouble) return MPI_DOUBLE;
  ESPALIER_ASSERT(tensor.scalar_type() == at::kFloat, "parameters are float64 or float32");
  return MPI_FLOAT;
}

void pack(double* to, double sum, bool stop, bool failed) {
  to[0] = sum;
  to[1] = stop ? 1 : 0;
  to[2] = failed ? 1 : 0;
}

Totals unpack(const double* from) { return {from[0], from[1] > 0, from[2] > 0}; }

}  // namespace

Reduction::Reduction(MPI_Comm comm, nn::FlatParameters& parameters, SumOrder order)
    : comm_(comm), parameters_(parameters), order_(order) {
  MPI_Comm_rank(comm, &rank_);
  MPI_Comm_size(comm, &size_);
  (void)mpi_count(parameters.count() + scalars);
  if (size_ > 1 && order == SumOrder::any && mpi_type(parameters.values()) == MPI_DOUBLE)
    message_ = torch::empty({parameters.count() + scalars}, torch::kFloat64);
}

Totals Reduction::gradient_and_sum(double local_sum, bool stop, bool failed) {
  if (size_ == 1) return {local_sum, stop, failed};
  const core::EventScope event(core::Event::reduction);
  at::Tensor& gradient = parameters_.gradient();
  const std::int64_t count = parameters_.count();
  if (order_ == SumOrder::ranks) {
    sum_in_rank_order(gradient);
    return sum(local_sum, stop, failed);
  }
  if (!message_.defined()) {
    MPI_Allreduce(MPI_IN_PLACE, gradient.data_ptr(), mpi_count(count), MPI_FLOAT, MPI_SUM, comm_);
    return sum(local_sum, stop, failed);
  }
  at::Tensor in_message = message_.narrow(0, 0, count);
  in_message.copy_(gradient);
  auto* data = message_.data_ptr<double>();
  pack(data + count, local_sum, stop, failed);
  MPI_Allreduce(MPI_IN_PLACE, data, mpi_count(count + scalars), MPI_DOUBLE, MPI_SUM, comm_);
  gradient.copy_(in_message);
  return unpack(data + count);
}

Totals Reduction::sum(double local_sum, bool stop, bool failed) const {
  std::array<double, scalars> message{};
  pack(message.data(), local_sum, stop, failed);
  if (size_ > 1) MPI_Allreduce(MPI_IN_PLACE, message.data(), scalars, MPI_DOUBLE, MPI_SUM, comm_);
  return unpack(message.data());
}

// Whole chunks, as evenly as possible.
Range Reduction::slice_of(int rank) const {
  const std::int64_t count = parameters_.count();
  const Range chunks = rank_slice({0, (count + optimiser_chunk - 1) / optimiser_chunk}, rank, size_);
  const std::int64_t first = std::min(count, chunks.first * optimiser_chunk);
  return {first, std::min(count, (chunks.first + chunks.count) * optimiser_chunk) - first};
}

void Reduction::sum_in_rank_order(at::Tensor& gradient) {
  const Range own = own_slice();
  if (!slices_.defined()) slices_ = torch::empty({size_, own.count}, gradient.options().requires_grad(false));
  std::vector<int> counts;
  std::vector<int> places;
  std::vector<int> own_places;
  const std::vector<int> own_counts(static_cast<std::size_t>(size_), mpi_count(own.count));
  for (int rank = 0; rank < size_; ++rank) {
    counts.push_back(mpi_count(slice_of(rank).count));
    places.push_back(mpi_count(slice_of(rank).first));
    own_places.push_back(mpi_count(rank * own.count));
  }
  MPI_Alltoallv(gradient.data_ptr(), counts.data(), places.data(), mpi_type(gradient), slices_.data_ptr(),
                own_counts.data(), own_places.data(), mpi_type(gradient), comm_);
  at::Tensor sum = gradient.narrow(0, own.first, own.count);
  sum.copy_(slices_[0]);
  for (int rank = 1; rank < size_; ++rank) sum.add_(slices_[rank]);
  gather_slices(gradient);
}

void Reduction::gather_slices(at::Tensor& vector) const {
  if (size_ == 1) return;
  std::vector<int> counts;
  std::vector<int> places;
  for (int rank = 0; rank < size_; ++rank) {
    counts.push_back(mpi_count(slice_of(rank).count));
    places.push_back(mpi_count(slice_of(rank).first));
  }
  MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, vector.data_ptr(), counts.data(), places.data(), mpi_type(vector),
                 comm_);
}

void Reduction::broadcast_parameters() {
  if (size_ == 1) return;
  at::Tensor& values = parameters_.values();
  MPI_Bcast(values.data_ptr(), mpi_count(values.numel()), mpi_type(values), 0, comm_);
  parameters_.mark_changed();
}

void Reduction::check_replicas() const {
  if (size_ == 1) return;
  const at::Tensor& values = parameters_.values();
  const std::uint64_t own = core::checksum(values.data_ptr(), values.nbytes());
  // max(x) and max(~x) = ~min(x) in one message
  std::array<std::uint64_t, 2> range = {own, ~own};
  MPI_Allreduce(MPI_IN_PLACE, range.data(), 2, MPI_UINT64_T, MPI_MAX, comm_);
  ESPALIER_ASSERT(range[0] == ~range[1],
                  "the ranks' copies of the parameters differ; do all ranks run on the same kind of processor?");
}

}  // namespace espalier::train
