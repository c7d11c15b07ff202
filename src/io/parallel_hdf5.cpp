// What the parallel reader and writer share.
#include "espalier/io/parallel_hdf5.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <fstream>
#include <limits>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/session.hpp"
#include "parallel_support.hpp"

namespace espalier::io {

ParallelFile::ParallelFile(MPI_Comm comm, std::string path, std::size_t piece_bytes)
    : comm_(comm), exceptions_(std::uncaught_exceptions()), path_(std::move(path)), piece_bytes_(piece_bytes) {
  MPI_Comm_dup(comm, &closing_comm_);
  MPI_Comm_rank(comm, &rank_);
}

ParallelFile::~ParallelFile() { close({}, {}); }

void ParallelFile::close(const std::function<void()>& before, const std::function<void()>& after) {
  if (closing_comm_ == MPI_COMM_NULL) return;
  // Closing waits for all ranks. One that unwinds alone would wait for ever: it leaves the file as it is, and core::run
  // ends the job.
  const bool unwinding = std::uncaught_exceptions() > exceptions_;
  const double patience = unwinding ? core::agreement_seconds : std::numeric_limits<double>::infinity();
  MPI_Comm comm = std::exchange(closing_comm_, MPI_COMM_NULL);
  if (!core::everybody_arrives(comm, patience)) return;
  const Silence silence;
  if (!core::any_rank(comm, file < 0)) {
    if (before) before();
    MPI_Barrier(comm);
    (void)H5Fclose(file);
  }
  file = H5I_INVALID_HID;
  if (after) after();
  MPI_Barrier(comm);
  MPI_Comm_free(&comm);
}

void ParallelFile::enter(const std::string& call) const {
  const std::uint64_t sum = core::checksum(call.data(), call.size());
  std::array<std::uint64_t, 2> smallest = {sum, ~sum};
  MPI_Allreduce(MPI_IN_PLACE, smallest.data(), 2, MPI_UINT64_T, MPI_MIN, comm_);
  const bool alike = smallest[0] == ~smallest[1];
  if (alike) return;
  core::agree(comm_, [&] {
    ESPALIER_ASSERT(rank_ != 0, path_ + ": the ranks do not make the same calls: rank 0 is at " + call);
  });
}

Id ParallelFile::access() const {
  Id list(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  (void)H5Pset_fapl_mpio(list.get(), comm_, MPI_INFO_NULL);
  return list;
}

std::size_t ParallelFile::rounds(std::size_t pieces) const {
  std::uint64_t most = pieces;
  MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_UINT64_T, MPI_MAX, comm_);
  return most;
}

void require_inside(const std::string& path, const std::string& dataset, const Shape& shape, const Slab& slab) {
  const auto [offset, count] = slab;
  bool inside = !shape.empty() && offset.size() == shape.size() && count.size() == shape.size();
  for (std::size_t axis = 0; inside && axis < shape.size(); ++axis)
    inside = offset[axis] <= shape[axis] && count[axis] <= shape[axis] - offset[axis];
  ESPALIER_REQUIRE(inside,
                   path + ": the slab at " + describe(offset) + " of " + describe(count) +
                       " values is not inside data set '" + dataset + "' of shape " + describe(shape) +
                       "; choose offset and count for each of its axes, so that their sum is at most the extent");
}

std::vector<Slab> pieces_of(const Slab& slab, std::size_t limit) {
  if (elements(slab.count) == 0) return {};
  // The pieces are cut along `cut`, for each index of the axes before it.
  std::size_t inner = 1;
  std::size_t cut = slab.count.size() - 1;
  for (; cut > 0 && inner * slab.count[cut] <= limit; --cut) inner *= slab.count[cut];
  const std::size_t step = std::clamp<std::size_t>(limit / inner, 1, slab.count[cut]);
  std::size_t outer = 1;
  for (std::size_t axis = 0; axis < cut; ++axis) outer *= slab.count[axis];
  std::vector<Slab> pieces;
  for (std::size_t i = 0; i < outer; ++i) {
    Slab piece = slab;
    for (std::size_t axis = cut, rest = i; axis-- > 0; rest /= slab.count[axis]) {
      piece.offset[axis] += rest % slab.count[axis];
      piece.count[axis] = 1;
    }
    for (std::size_t begin = 0; begin < slab.count[cut]; begin += step) {
      piece.offset[cut] = slab.offset[cut] + begin;
      piece.count[cut] = std::min(step, slab.count[cut] - begin);
      pieces.push_back(piece);
    }
  }
  return pieces;
}

namespace {

std::uint64_t row_checksum(std::size_t first_index, std::size_t count, const void* values, std::size_t value_bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, static_cast<const char*>(values) + i * value_bytes, value_bytes);
    sum += core::mix(core::mix(first_index + i) ^ bits);
  }
  return sum;
}

}  // namespace

std::uint64_t slab_checksum(const Shape& shape, const Slab& slab, const void* values, std::size_t value_bytes) {
  const std::size_t row = slab.count.back();
  const std::size_t rows = row == 0 ? 0 : elements(slab.count) / row;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    std::size_t index = slab.offset.back();
    std::size_t stride = shape.back();
    for (std::size_t axis = shape.size() - 1, rest = i; axis-- > 0; rest /= slab.count[axis]) {
      index += (slab.offset[axis] + rest % slab.count[axis]) * stride;
      stride *= shape[axis];
    }
    sum += row_checksum(index, row, static_cast<const char*>(values) + i * row * value_bytes, value_bytes);
  }
  return sum;
}

std::uint64_t file_checksum(const std::string& path, std::size_t begin, std::size_t value_bytes, std::size_t first,
                            std::size_t end) {
  constexpr std::size_t buffer_bytes = 1 << 20;
  std::vector<char> buffer(buffer_bytes);
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(begin + first * value_bytes));
  std::uint64_t sum = 0;
  while (first < end) {
    const std::size_t count = std::min(end - first, buffer_bytes / value_bytes);
    file.read(buffer.data(), static_cast<std::streamsize>(count * value_bytes));
    ESPALIER_REQUIRE(file.good(), "cannot read " + path + " back; see that there is room on the disk");
    sum += row_checksum(first, count, buffer.data(), value_bytes);
    first += count;
  }
  return sum;
}

std::string call_text(const std::string& function, const std::string& name, const std::string& rest) {
  return function + " of '" + name + "'" + (rest.empty() ? "" : " " + rest);
}

}  // namespace espalier::io
