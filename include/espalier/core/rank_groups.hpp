// Domain x data parallel: the ranks in groups, each of which works on samples of its own on a grid of its own.
#pragma once

#include <mpi.h>

namespace espalier::core {

/// g groups of consecutive ranks. The ranks of a group share a domain (a grid, its solver and the samples' parts), the
/// groups share the samples of a batch.
class RankGroups {
 public:
  /// Collective on `all`. Throws UserError on all ranks unless `groups` divides their number.
  RankGroups(MPI_Comm all, int groups);
  ~RankGroups();
  RankGroups(const RankGroups&) = delete;
  RankGroups& operator=(const RankGroups&) = delete;

  /// Reads -groups; 1 without it. Collective on `all`.
  static int read(MPI_Comm all);

  MPI_Comm all() const { return all_; }
  /// The ranks of this rank's group.
  MPI_Comm domain() const { return domain_; }
  int count() const { return count_; }
  /// Which group this rank is in.
  int index() const { return index_; }

 private:
  MPI_Comm all_;
  MPI_Comm domain_ = MPI_COMM_NULL;
  int count_;
  int index_ = 0;
};

}  // namespace espalier::core
