// Where checkpoints lie: vectors in memory, files on disk.
#pragma once

#include <petscvec.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "espalier/checkpoint/disk_store.hpp"
#include "espalier/checkpoint/schedule.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::checkpoint {

/// Slots of vectors, numbered from 0 on each level. All functions are collective.
class Storage {
 public:
  Storage(MPI_Comm comm, std::string folder, double disk_bytes)
      : comm_(comm), folder_(std::move(folder)), disk_bytes_(disk_bytes) {}

  void store(Level level, long slot, const std::vector<Vec>& vectors);
  void restore(Level level, long slot, const std::vector<Vec>& vectors);
  void discard(Level level, long slot);
  /// Empties all slots and frees them.
  void clear();

  /// The most at a time so far.
  long peak_units() const { return peak_; }
  double peak_disk_bytes() const { return std::max(peak_disk_, disk_ ? disk_->peak_bytes() : 0); }

 private:
  using Slot = std::vector<petsc::VecHandle>;

  MPI_Comm comm_;
  std::string folder_;
  double disk_bytes_;
  std::vector<Slot> slots_;
  std::vector<petsc::VecHandle> spare_;
  long held_ = 0;
  long peak_ = 0;
  double peak_disk_ = 0;
  std::unique_ptr<DiskStore> disk_;
};

}  // namespace espalier::checkpoint
