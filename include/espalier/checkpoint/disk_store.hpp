// States of a run on disk, where they need more room than memory has.
#pragma once

#include <petscvec.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/checkpoint/scratch_folder.hpp"
#include "espalier/checkpoint/vector_file.hpp"

namespace espalier::checkpoint {

/// Vectors of a run kept in files, deleted when the object ends, when the program exits by an error, and on SIGTERM,
/// SIGINT and SIGHUP (ScratchFolder says how, and when not).
///
/// A slot holds a list of vectors. Each rank keeps its own part of them in a file of its own (vector_file.hpp says
/// how), so the folder may be on a shared file system or on disks of the nodes, and nothing passes through another
/// rank.
///
/// Writing is synchronous. Handed to a thread, with a copy of the vectors, it made a loop of steps that take as long as
/// a write (64 MB) 7 % faster to 45 % slower where every core had work, as with one rank each: a write is work for the
/// processor, and the disk's own work is done beside the steps anyway, from the system's cache. An idle core could hide
/// a write but for the copy, which takes a fifth of its time.
///
/// An error is the same on all ranks, and leaves the object usable: UserError for what a disk does, InternalError for
/// slots and vectors that do not fit what was written.
class DiskStore {
 public:
  /// Makes a folder of its own below `folder`, which is created if missing and then removed at the end if nobody else
  /// uses it: espalier-checkpoints-<host>-<process of rank 0>-<count>. `budget`: bytes of all ranks together, more than
  /// 0; infinity for as many as there are. Throws UserError if files cannot be written there. Collective on `comm`,
  /// which must live as long.
  DiskStore(MPI_Comm comm, const std::string& folder, double budget);
  /// Removes this rank's files; waits for nobody.
  ~DiskStore() = default;
  DiskStore(const DiskStore&) = delete;
  DiskStore& operator=(const DiskStore&) = delete;

  /// Puts the vectors, of ranks of `comm`, into a slot, 0 <= slot < ScratchFolder::most_files. What the slot held is
  /// removed first, so replacing it needs no room for both. Throws UserError before anything is changed if the files
  /// would exceed the budget; when the disk is full, or fails, the slot is empty then. Collective.
  void write(long slot, const std::vector<Vec>& vectors);
  /// Gets them back, bit by bit, into vectors of the same number and local sizes. Throws UserError if a file is missing
  /// or its size, header or checksum are not those of what was written; the vectors' entries are then undefined.
  /// Collective.
  void read(long slot, const std::vector<Vec>& vectors);
  /// Empties a slot; nothing happens if it is empty. To be called on all ranks, but waits for nobody.
  void discard(long slot);

  /// What write() adds for these vectors if their slot is empty: bytes of all ranks. Collective.
  double bytes_of(const std::vector<Vec>& vectors) const;
  /// Of the files there are now: bytes of all ranks. Not collective.
  double bytes() const { return bytes_; }
  /// The most there were at a time, files being written included. Not collective.
  double peak_bytes() const { return peak_bytes_; }
  const std::string& folder() const { return scratch_->path(); }

 private:
  struct Slot {
    Seal seal;     // of this rank's file
    double bytes;  // of all ranks' files
  };

  MPI_Comm comm_;
  int rank_;
  double budget_;
  double bytes_ = 0;
  double peak_bytes_ = 0;
  std::unique_ptr<ScratchFolder> scratch_;
  std::map<long, Slot> slots_;
};

}  // namespace espalier::checkpoint
