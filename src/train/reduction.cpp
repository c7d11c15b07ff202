#include "espalier/train/reduction.hpp"

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <limits>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/mixing.hpp"

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

Reduction::Reduction(MPI_Comm comm, nn::FlatParameters& parameters) : comm_(comm), parameters_(parameters) {
  MPI_Comm_size(comm, &size_);
  (void)mpi_count(parameters.count() + scalars);
  if (size_ > 1 && mpi_type(parameters.values()) == MPI_DOUBLE)
    message_ = torch::empty({parameters.count() + scalars}, torch::kFloat64);
}

Totals Reduction::gradient_and_sum(double local_sum, bool stop, bool failed) {
  if (size_ == 1) return {local_sum, stop, failed};
  const core::EventScope event(core::Event::reduction);
  at::Tensor& gradient = parameters_.gradient();
  const std::int64_t count = parameters_.count();
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
