// HDF5 files that all ranks of a communicator write and read together through MPI-IO: each rank its slab of a data set,
// nothing is gathered.
//
// Everything here is collective unless it says otherwise, constructors and destructors too: every rank makes the same
// calls in the same order, with slabs of its own. Each call is checked on all ranks before they enter HDF5 together, so
// that what is wrong on one rank is thrown on all: UserError for bad input, InternalError for ranks that make different
// calls. A rank that leaves by an exception of its own does not wait for ever for the others in the destructor.
// The files are those of io/hdf5.hpp: either reader reads what either writer wrote. They do not depend on the number of
// ranks: the same calls with the same values in all give the same bytes.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "espalier/io/hdf5.hpp"

namespace espalier::io {

/// What a rank hands over to MPI-IO at a time: larger slabs go in several rounds. MPI counts bytes in an int.
constexpr std::size_t default_piece_bytes = std::size_t(1) << 28U;

/// Writes a new HDF5 file as `path.part`, which commit() puts on disk and renames to `path`. Without commit() the .part
/// file is deleted and an older file at `path` stays as it was. Memory: no copy of the values.
class ParallelHdf5Writer {
 public:
  /// Throws UserError, with the system's reason, if the file cannot be created (PartFile). The folder must exist, and
  /// be the same one for all ranks.
  ParallelHdf5Writer(MPI_Comm comm, const std::string& path, std::size_t piece_bytes = default_piece_bytes);
  ~ParallelHdf5Writer();
  ParallelHdf5Writer(ParallelHdf5Writer&&) noexcept;
  ParallelHdf5Writer& operator=(ParallelHdf5Writer&&) noexcept;
  ParallelHdf5Writer(const ParallelHdf5Writer&) = delete;
  ParallelHdf5Writer& operator=(const ParallelHdf5Writer&) = delete;

  /// Creates the data set `name`, without values, and the groups on the way. Room on disk is set aside now, and 1 MiB
  /// more until commit(), where the file system can (not NFS 3): throws UserError if there is none. `shape` has at
  /// least one axis. T: double, float, std::int64_t.
  template <class T>
  void create(const std::string& name, const Shape& shape);
  /// Writes this rank's slab of a data set that was created for the same T: elements(count) values, row-major, for the
  /// indices offset .. offset + count of each axis. An extent of 0 means no values: they may be null then. Slabs of
  /// different ranks and calls do not overlap. Throws UserError if a slab is not inside the data set.
  template <class T>
  void write_slab(const std::string& name, const Shape& offset, const Shape& count, const T* values);
  /// Creates and writes a small data set, such as coordinates, that every rank has as a whole.
  template <class T>
  void write(const std::string& name, const Shape& shape, const std::vector<T>& values);

  /// Creates the group and those on the way; nothing happens if it exists.
  void group(const std::string& name);
  /// Sets an attribute, the same on every rank, of the root ("/"), a group or a data set of this file. A second value
  /// replaces the first.
  void attribute(const std::string& object, const std::string& name, const Attribute& value);
  void attributes(const std::string& object, const Attributes& values);

  /// Completes the file and gives it its name. The writer is spent afterwards. Throws UserError if the slabs written do
  /// not make up each data set (elements are counted over all ranks) or if the disk is full. With `read_back` every
  /// rank reads its share of the values from disk and all compare their checksums with those of what was given: MPI-IO
  /// does not always report that it could not write.
  void commit(bool read_back = true);

  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Reads slabs of an HDF5 file. Errors are those of Hdf5Reader, on all ranks.
class ParallelHdf5Reader {
 public:
  /// Throws if the file is missing, is not an HDF5 file or is truncated.
  ParallelHdf5Reader(MPI_Comm comm, const std::string& path, std::size_t piece_bytes = default_piece_bytes);
  ~ParallelHdf5Reader();
  ParallelHdf5Reader(ParallelHdf5Reader&&) noexcept;
  ParallelHdf5Reader& operator=(ParallelHdf5Reader&&) noexcept;
  ParallelHdf5Reader(const ParallelHdf5Reader&) = delete;
  ParallelHdf5Reader& operator=(const ParallelHdf5Reader&) = delete;

  Shape shape(const std::string& dataset) const;
  /// The same, checked against `expected`, which may hold any_extent.
  Shape shape(const std::string& dataset, const Shape& expected) const;
  Attributes attributes(const std::string& object) const;
  Attribute attribute(const std::string& object, const std::string& name) const;

  /// Reads this rank's slab into memory of elements(count) values, row-major; an extent of 0 means none. Slabs of ranks
  /// may overlap. The type class must agree, as in Hdf5Reader::read(). Throws UserError if a slab is not inside the
  /// data set. T: double, float, std::int64_t.
  template <class T>
  void read_slab(const std::string& dataset, const Shape& offset, const Shape& count, T* values) const;
  template <class T>
  std::vector<T> read_slab(const std::string& dataset, const Shape& offset, const Shape& count) const;

  /// The open file for what each rank wants to know by itself: names, attributes, small data sets as a whole. Its
  /// functions are not collective and throw on the calling rank (wrap them in core::agree). Lives as long as this
  /// reader.
  const Hdf5Reader& file() const;
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace espalier::io
