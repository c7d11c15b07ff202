#include "espalier/core/rank_groups.hpp"

#include <limits>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"

namespace espalier::core {

RankGroups::RankGroups(MPI_Comm all, int groups) : all_(all), count_(groups) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(all, &rank);
  MPI_Comm_size(all, &size);
  ESPALIER_REQUIRE(groups >= 1 && size % groups == 0,
                   "-groups " + std::to_string(groups) + " does not divide " + std::to_string(size) +
                       " ranks into groups of the same size: choose a divisor of " + std::to_string(size));
  index_ = rank / (size / groups);
  MPI_Comm_split(all, index_, rank, &domain_);
}

RankGroups::~RankGroups() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0) MPI_Comm_free(&domain_);
}

int RankGroups::read(MPI_Comm all) {
  int groups = 1;
  read_options(all, "Parallel", [&](OptionReader& o) {
    groups = static_cast<int>(o.integer("-groups", "groups of ranks that share the samples of a batch", groups, 1,
                                        std::numeric_limits<int>::max()));
  });
  return groups;
}

}  // namespace espalier::core
