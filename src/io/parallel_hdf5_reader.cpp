#include <cstdint>
#include <optional>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/parallel_hdf5.hpp"
#include "parallel_support.hpp"

namespace espalier::io {

struct ParallelHdf5Reader::State {
  State(MPI_Comm comm, const std::string& path, std::size_t piece_bytes) : parallel(comm, path, piece_bytes) {}

  ParallelFile parallel;
  std::optional<Hdf5Reader> reader;  // of the same file
};

ParallelHdf5Reader::ParallelHdf5Reader(MPI_Comm comm, const std::string& path, std::size_t piece_bytes)
    : state_(std::make_unique<State>(comm, path, piece_bytes)) {
  // What can be wrong with the file is found by one rank, before all open it.
  core::agree(comm, [&] {
    if (state_->parallel.rank() == 0) (void)Hdf5Reader(path);
  });
  const Silence silence;
  const Id access = state_->parallel.access();
  hid_t& file = state_->parallel.file;
  file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get());
  const std::string reason = file < 0 ? hdf5_reason() : "";
  core::agree(comm, [&] {
    ESPALIER_REQUIRE(file >= 0,
                     "cannot read " + path + " together: " + reason + "; name a file that all ranks can read");
  });
  state_->reader = Hdf5Reader(path, file);
}

ParallelHdf5Reader::ParallelHdf5Reader(ParallelHdf5Reader&&) noexcept = default;
ParallelHdf5Reader& ParallelHdf5Reader::operator=(ParallelHdf5Reader&&) noexcept = default;
ParallelHdf5Reader::~ParallelHdf5Reader() = default;

const Hdf5Reader& ParallelHdf5Reader::file() const { return *state_->reader; }
const std::string& ParallelHdf5Reader::path() const { return state_->parallel.path(); }

Shape ParallelHdf5Reader::shape(const std::string& dataset) const {
  state_->parallel.enter(call_text("shape", dataset));
  Shape found;
  core::agree(state_->parallel.comm(), [&] { found = file().shape(dataset); });
  return found;
}

Shape ParallelHdf5Reader::shape(const std::string& dataset, const Shape& expected) const {
  state_->parallel.enter(call_text("shape", dataset, describe(expected)));
  Shape found;
  core::agree(state_->parallel.comm(), [&] { found = file().shape(dataset, expected); });
  return found;
}

Attributes ParallelHdf5Reader::attributes(const std::string& object) const {
  state_->parallel.enter(call_text("attributes", object));
  Attributes found;
  core::agree(state_->parallel.comm(), [&] { found = file().attributes(object); });
  return found;
}

Attribute ParallelHdf5Reader::attribute(const std::string& object, const std::string& name) const {
  state_->parallel.enter(call_text("attribute '" + name + "'", object));
  Attribute found;
  core::agree(state_->parallel.comm(), [&] { found = file().attribute(object, name); });
  return found;
}

template <class T>
void ParallelHdf5Reader::read_slab(const std::string& dataset, const Shape& offset, const Shape& count,
                                   T* values) const {
  const ParallelFile& parallel = state_->parallel;
  parallel.enter(call_text("read_slab", dataset, class_name(TypeOf<T>::type_class) + " " + std::to_string(sizeof(T))));
  const Slab slab{offset, count};
  core::agree(parallel.comm(), [&] {
    const Shape shape = file().shape(dataset);
    file().require_type<T>(dataset);
    require_inside(path(), dataset, shape, slab);
    ESPALIER_ASSERT(values != nullptr || elements(count) == 0, path() + ": no memory for '" + dataset + "'");
  });
  const Silence silence;
  const Id set(H5Dopen2(parallel.file, dataset.c_str(), H5P_DEFAULT), H5Dclose);
  const std::string reason = parallel.in_pieces(
      set.get(), slab, sizeof(T), [&](hid_t memory, hid_t in_file, hid_t properties, std::size_t first) {
        return H5Dread(set.get(), TypeOf<T>::memory(), memory, in_file, properties, values + first);
      });
  core::agree(parallel.comm(), [&] {
    if (!reason.empty()) file().fail_to_read<T>(dataset, reason);
  });
}

template <class T>
std::vector<T> ParallelHdf5Reader::read_slab(const std::string& dataset, const Shape& offset,
                                             const Shape& count) const {
  // A count that is not inside is refused before there is memory for it.
  const std::vector<std::size_t> extents = shape(dataset);
  core::agree(state_->parallel.comm(), [&] { require_inside(path(), dataset, extents, {offset, count}); });
  std::vector<T> values(elements(count));
  read_slab(dataset, offset, count, values.data());
  return values;
}

#define ESPALIER_INSTANTIATE(T)                                                                          \
  template void ParallelHdf5Reader::read_slab(const std::string&, const Shape&, const Shape&, T*) const; \
  template std::vector<T> ParallelHdf5Reader::read_slab<T>(const std::string&, const Shape&, const Shape&) const
ESPALIER_INSTANTIATE(double);
ESPALIER_INSTANTIATE(float);
ESPALIER_INSTANTIATE(std::int64_t);
#undef ESPALIER_INSTANTIATE

}  // namespace espalier::io
