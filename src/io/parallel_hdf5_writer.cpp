#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/parallel_hdf5.hpp"
#include "parallel_support.hpp"

namespace espalier::io {

namespace {

struct Created {
  std::string name;
  Shape shape;
  hid_t type;  // in memory
  std::size_t value_bytes;
  // Of what this rank has written:
  std::uint64_t written = 0;  // elements
  std::uint64_t checksum = 0;
};

// "a/b" of "/a/b".
std::string plain(const std::string& name) { return name.substr(std::min(name.find_first_not_of('/'), name.size())); }

}  // namespace

// Rank 0 owns the .part file: it keeps other writers off, removes it and renames it.
struct ParallelHdf5Writer::State {
  State(MPI_Comm comm, const std::string& path, std::size_t piece_bytes) : parallel(comm, path, piece_bytes) {
    core::agree(comm, [&] {
      if (parallel.rank() == 0) part.emplace(path);
    });
    const Silence silence;
    const Id access = parallel.access();
    parallel.file = H5Fcreate((path + ".part").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get());
    const std::string reason = parallel.file < 0 ? hdf5_reason() : "";
    core::agree(comm, [&] {
      ESPALIER_REQUIRE(parallel.file >= 0, "cannot create " + path + " together: " + reason +
                                               "; name a file in a folder that all ranks can write");
    });
  }

  ~State() {
    parallel.close([this] { discard(); }, [this] { part.reset(); });
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // HDF5 1.10 crashes at the program's end if closing a file fails, as it does when the disk is full: without its data
  // sets, and with their room given back, it does not.
  void discard() noexcept {
    for (const Created& created : data_sets) (void)H5Ldelete(parallel.file, created.name.c_str(), H5P_DEFAULT);
    if (part) part->release();
  }

  void enter(const std::string& call) const {
    parallel.enter(call);
    ESPALIER_ASSERT(parallel.file >= 0, "writer of " + parallel.path() + " used after commit()");
  }

  // Throws on all ranks if one of them has a reason why it could not do `what`.
  void require(const std::string& what, const std::string& reason) const {
    core::agree(parallel.comm(), [&] {
      ESPALIER_REQUIRE(reason.empty(), "cannot write " + parallel.path() + ": cannot " + what + ": " + reason +
                                           "; make room, or name a file elsewhere");
    });
  }

  // Rank 0 has room set aside for the file as far as it is laid out, and for what HDF5 lays out late: when it cannot
  // write that on one rank, the others wait for ever. Flushing the file cuts off what was too much.
  void reserve() {
    constexpr std::size_t at_least = 1 << 20;
    constexpr std::size_t times_larger = 4;  // than the text of attributes
    core::agree(parallel.comm(), [&] {
      hsize_t bytes = 0;
      if (part && H5Fget_filesize(parallel.file, &bytes) >= 0)
        part->reserve(bytes + std::max(at_least, times_larger * attribute_bytes));
    });
  }

  Created* find(const std::string& name) {
    const auto found = std::find_if(data_sets.begin(), data_sets.end(),
                                    [&](const Created& created) { return created.name == plain(name); });
    return found == data_sets.end() ? nullptr : &*found;
  }

  template <class T>
  void transfer(Created& created, const Slab& slab, const T* values) {
    const Silence silence;
    const Id set(H5Dopen2(parallel.file, created.name.c_str(), H5P_DEFAULT), H5Dclose);
    const std::string reason = parallel.in_pieces(
        set.get(), slab, sizeof(T), [&](hid_t memory, hid_t file, hid_t properties, std::size_t first) {
          return H5Dwrite(set.get(), TypeOf<T>::memory(), memory, file, properties, values + first);
        });
    require("write data set '" + created.name + "'", reason);
    created.written += elements(slab.count);
    if (elements(slab.count) > 0) created.checksum += slab_checksum(created.shape, slab, values, sizeof(T));
  }

  void check_coverage() const {
    std::vector<std::uint64_t> written;
    for (const Created& created : data_sets) written.push_back(created.written);
    sum_up(written);
    for (std::size_t i = 0; i < written.size(); ++i) {
      const std::size_t wanted = elements(data_sets[i].shape);
      ESPALIER_REQUIRE(
          written[i] == wanted,
          "cannot complete " + parallel.path() + ": of data set '" + data_sets[i].name + "' of shape " +
              describe(data_sets[i].shape) + " " + std::to_string(written[i]) + " of " + std::to_string(wanted) +
              " values were written; write slabs that make up the whole and do not overlap before commit()");
    }
  }

  // Open MPI 4.1 reports success, bytes and all, for collective writes that have failed on a full disk.
  void check_values() const {
    int size = 1;
    MPI_Comm_size(parallel.comm(), &size);
    const auto share = [&](std::size_t values, int rank) {
      const auto ranks = static_cast<std::size_t>(size);
      const auto r = static_cast<std::size_t>(rank);
      return values / ranks * r + std::min(values % ranks, r);
    };
    std::vector<std::uint64_t> found;
    core::agree(parallel.comm(), [&] {
      for (const Created& created : data_sets) {
        const Id set(H5Dopen2(parallel.file, created.name.c_str(), H5P_DEFAULT), H5Dclose);
        const std::size_t count = elements(created.shape);
        found.push_back(file_checksum(parallel.path() + ".part", H5Dget_offset(set.get()), created.value_bytes,
                                      share(count, parallel.rank()), share(count, parallel.rank() + 1)) -
                        created.checksum);
      }
    });
    sum_up(found);
    for (std::size_t i = 0; i < found.size(); ++i)
      ESPALIER_REQUIRE(found[i] == 0, "cannot write " + parallel.path() + ": the values of data set '" +
                                          data_sets[i].name +
                                          "' that are on disk are not those that were written; make room, or name a "
                                          "file elsewhere, and see that slabs do not overlap");
  }

  void sum_up(std::vector<std::uint64_t>& numbers) const {
    MPI_Allreduce(MPI_IN_PLACE, numbers.data(), static_cast<int>(numbers.size()), MPI_UINT64_T, MPI_SUM,
                  parallel.comm());
  }

  std::optional<PartFile> part;
  std::vector<Created> data_sets;
  std::size_t attribute_bytes = 0;
  ParallelFile parallel;
};

ParallelHdf5Writer::ParallelHdf5Writer(MPI_Comm comm, const std::string& path, std::size_t piece_bytes)
    : state_(std::make_unique<State>(comm, path, piece_bytes)) {}
ParallelHdf5Writer::ParallelHdf5Writer(ParallelHdf5Writer&&) noexcept = default;
ParallelHdf5Writer& ParallelHdf5Writer::operator=(ParallelHdf5Writer&&) noexcept = default;
ParallelHdf5Writer::~ParallelHdf5Writer() = default;

const std::string& ParallelHdf5Writer::path() const { return state_->parallel.path(); }

template <class T>
void ParallelHdf5Writer::create(const std::string& name, const Shape& shape) {
  State& state = *state_;
  state.enter(call_text("create", name,
                        describe(shape) + " " + class_name(TypeOf<T>::type_class) + " " + std::to_string(sizeof(T))));
  const Silence silence;
  ESPALIER_ASSERT(!shape.empty(), path() + ": data set '" + name + "' has no axis to cut slabs from");
  ESPALIER_ASSERT(!path_exists(state.parallel.file, name), path() + ": '" + name + "' is created twice");
  const Id creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  // No zeros before the values: commit() sees to it that each value is written.
  (void)H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY);
  (void)H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER);
  core::agree(state.parallel.comm(), [&] {
    (void)create_dataset(state.parallel.file, path(), name, shape, TypeOf<T>::disk(), creation.get());
  });
  state.data_sets.push_back({plain(name), shape, TypeOf<T>::memory(), sizeof(T)});
  state.reserve();
}

template <class T>
void ParallelHdf5Writer::write_slab(const std::string& name, const Shape& offset, const Shape& count, const T* values) {
  State& state = *state_;
  state.enter(call_text("write_slab", name, std::to_string(sizeof(T))));
  Created* created = state.find(name);
  ESPALIER_ASSERT(created != nullptr, path() + ": a slab for '" + name + "', which create() has not made");
  ESPALIER_ASSERT(created->type == TypeOf<T>::memory(),
                  path() + ": a slab of another type than data set '" + name + "' was created for");
  const Slab slab{offset, count};
  core::agree(state.parallel.comm(), [&] {
    require_inside(path(), name, created->shape, slab);
    ESPALIER_ASSERT(values != nullptr || elements(count) == 0, path() + ": null values for '" + name + "'");
  });
  state.transfer(*created, slab, values);
}

template <class T>
void ParallelHdf5Writer::write(const std::string& name, const Shape& shape, const std::vector<T>& values) {
  const std::uint64_t sum = core::checksum(values.data(), values.size() * sizeof(T));
  state_->enter(
      call_text("write", name, std::to_string(values.size()) + " values with checksum " + std::to_string(sum)));
  ESPALIER_ASSERT(values.size() == elements(shape), path() + ": data set '" + name + "' of shape " + describe(shape) +
                                                        " given " + std::to_string(values.size()) + " values");
  create<T>(name, shape);
  const bool mine = state_->parallel.rank() == 0;
  state_->transfer(state_->data_sets.back(), {Shape(shape.size(), 0), mine ? shape : Shape(shape.size(), 0)},
                   values.data());
}

void ParallelHdf5Writer::group(const std::string& name) {
  state_->enter(call_text("group", name));
  const Silence silence;
  core::agree(state_->parallel.comm(), [&] { create_group(state_->parallel.file, path(), name); });
}

void ParallelHdf5Writer::attribute(const std::string& object, const std::string& name, const Attribute& value) {
  state_->attribute_bytes += name.size() + describe(value).size();
  state_->enter(call_text("attribute '" + name + "'", object, std::to_string(value.index()) + " " + describe(value)));
  const Silence silence;
  core::agree(state_->parallel.comm(), [&] { write_attribute(state_->parallel.file, path(), object, name, value); });
}

void ParallelHdf5Writer::attributes(const std::string& object, const Attributes& values) {
  for (const auto& [name, value] : values) attribute(object, name, value);
}

void ParallelHdf5Writer::commit(bool read_back) {
  State& state = *state_;
  state.enter(read_back ? "commit" : "commit without reading back");
  state.check_coverage();
  const Silence silence;
  state.reserve();
  // Each rank puts on disk what it wrote; rank 0 alone could not, for other machines.
  const bool flushed = H5Fflush(state.parallel.file, H5F_SCOPE_GLOBAL) >= 0;
  state.require("put it on disk", flushed ? "" : hdf5_reason());
  if (read_back) state.check_values();
  const bool closed = H5Fclose(std::exchange(state.parallel.file, H5I_INVALID_HID)) >= 0;
  state.require("close it", closed ? "" : hdf5_reason());
  core::agree(state.parallel.comm(), [&] {
    if (state.part) state.part->publish();
  });
}

#define ESPALIER_INSTANTIATE(T)                                                                           \
  template void ParallelHdf5Writer::create<T>(const std::string&, const Shape&);                          \
  template void ParallelHdf5Writer::write_slab(const std::string&, const Shape&, const Shape&, const T*); \
  template void ParallelHdf5Writer::write(const std::string&, const Shape&, const std::vector<T>&)
ESPALIER_INSTANTIATE(double);
ESPALIER_INSTANTIATE(float);
ESPALIER_INSTANTIATE(std::int64_t);
#undef ESPALIER_INSTANTIATE

}  // namespace espalier::io
