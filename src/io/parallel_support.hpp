// What the parallel reader and writer share: a file that is open on all ranks, checks of calls, slabs in pieces.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "espalier/io/hdf5.hpp"
#include "hdf5_support.hpp"

namespace espalier::io {

/// An HDF5 file that is open on all ranks of a communicator.
class ParallelFile {
 public:
  /// Duplicates `comm`. Collective.
  ParallelFile(MPI_Comm comm, std::string path, std::size_t piece_bytes);
  /// close().
  ~ParallelFile();
  ParallelFile(const ParallelFile&) = delete;
  ParallelFile& operator=(const ParallelFile&) = delete;

  /// Throws InternalError on all ranks unless all describe their call alike. Collective.
  void enter(const std::string& call) const;

  /// Transfers this rank's slab of the data set in as many rounds as the largest slab of a rank needs. `transfer` gets
  /// the spaces in memory and in the file, the list of properties and the index of the first value. Returns HDF5's
  /// reason for this rank's first failure; empty if all went well. Collective.
  template <class Transfer>
  std::string in_pieces(hid_t set, const Slab& slab, std::size_t value_bytes, const Transfer& transfer) const;

  /// Access through MPI-IO, for opening and creating.
  Id access() const;

  MPI_Comm comm() const { return comm_; }
  int rank() const { return rank_; }
  const std::string& path() const { return path_; }

  /// Closes the file if it is open, `before` being called first, and then calls `after`. Collective, but a rank that
  /// unwinds while the others do not leaves the file open after a while.
  void close(const std::function<void()>& before, const std::function<void()>& after);

  hid_t file = H5I_INVALID_HID;

 private:
  std::size_t rounds(std::size_t pieces) const;

  MPI_Comm comm_;
  MPI_Comm closing_comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int exceptions_;
  std::string path_;
  std::size_t piece_bytes_;
};

/// Throws UserError unless the slab has the axes of the shape and lies inside.
void require_inside(const std::string& path, const std::string& dataset, const Shape& shape, const Slab& slab);

/// Consecutive parts, row-major, of a slab: its first axes are cut so that each part has at most `limit` values, or
/// one.
std::vector<Slab> pieces_of(const Slab& slab, std::size_t limit);

/// Sum of a number for each value and its index in the data set, of values of 4 or 8 bytes: the same however a data set
/// is divided.
std::uint64_t slab_checksum(const Shape& shape, const Slab& slab, const void* values, std::size_t value_bytes);

/// The same for the values first .. end of a data set that begins at the byte `begin` of a file. Throws UserError if
/// they cannot be read. Not collective.
std::uint64_t file_checksum(const std::string& path, std::size_t begin, std::size_t value_bytes, std::size_t first,
                            std::size_t end);

/// "write_slab of 'x' 8", for enter().
std::string call_text(const std::string& function, const std::string& name, const std::string& rest = "");

template <class Transfer>
std::string ParallelFile::in_pieces(hid_t set, const Slab& slab, std::size_t value_bytes,
                                    const Transfer& transfer) const {
  const Id properties(H5Pcreate(H5P_DATASET_XFER), H5Pclose);
  (void)H5Pset_dxpl_mpio(properties.get(), H5FD_MPIO_COLLECTIVE);
  (void)H5Pset_type_conv_cb(properties.get(), refuse_clipping, nullptr);
  const std::vector<Slab> pieces = pieces_of(slab, piece_bytes_ / value_bytes);
  const std::size_t count = rounds(pieces.size());
  std::string reason;
  std::size_t first = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Id in_file(H5Dget_space(set), H5Sclose);
    const hsize_t values = i < pieces.size() ? elements(pieces[i].count) : 0;
    const Id in_memory(H5Screate_simple(1, &values, nullptr), H5Sclose);
    if (values > 0) {
      const std::vector<hsize_t> offset(pieces[i].offset.begin(), pieces[i].offset.end());
      const std::vector<hsize_t> extent(pieces[i].count.begin(), pieces[i].count.end());
      (void)H5Sselect_hyperslab(in_file.get(), H5S_SELECT_SET, offset.data(), nullptr, extent.data(), nullptr);
    } else {
      (void)H5Sselect_none(in_file.get());
      (void)H5Sselect_none(in_memory.get());
    }
    // A rank that has failed goes on: the others wait for it in the next round.
    const bool done = transfer(in_memory.get(), in_file.get(), properties.get(), first) >= 0;
    if (!done && reason.empty()) reason = hdf5_reason();
    first += values;
  }
  return reason;
}

}  // namespace espalier::io
