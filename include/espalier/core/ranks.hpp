// What ranks tell each other about sizes.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

namespace espalier::core {

/// The number that each rank gives, such as its samples: the same list everywhere, so that ranks can look up under it
/// what is made collectively. Collective on `comm`.
inline std::vector<int> counts_of_ranks(MPI_Comm comm, std::int64_t mine) {
  int size = 1;
  MPI_Comm_size(comm, &size);
  std::vector<int> counts(static_cast<std::size_t>(size));
  const int count = static_cast<int>(mine);
  MPI_Allgather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, comm);
  return counts;
}

}  // namespace espalier::core
