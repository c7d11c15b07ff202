#include "espalier/checkpoint/disk_store.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"

namespace espalier::checkpoint {

namespace {

// Folders that runs killed by SIGKILL have left under the names of this process.
constexpr int most_names = 10000;
constexpr double megabyte = 1e6;

int rank_in(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

std::string megabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g MB", bytes / megabyte);
  return text;
}

std::string own_name() {
  char host[64] = "";
  if (::gethostname(host, sizeof host - 1) != 0 || std::strchr(host, '/') != nullptr) std::strcpy(host, "host");
  return "espalier-checkpoints-" + std::string(host) + "-" + std::to_string(::getpid()) + "-";
}

}  // namespace

// --- the folder -----------------------------------------------------------------------------------------------------

DiskStore::DiskStore(MPI_Comm comm, const std::string& folder, double budget)
    : comm_(comm), rank_(rank_in(comm)), budget_(budget) {
  ESPALIER_REQUIRE(!folder.empty(), "checkpoints on disk need a folder: name it with -checkpoint_dir");
  ESPALIER_REQUIRE(budget > 0, "checkpoints on disk need a budget of more than 0 bytes");
  core::agree(comm,
              [&] { scratch_ = std::make_unique<ScratchFolder>(std::filesystem::absolute(folder).string(), rank_); });
  std::array<char, 160> name{};
  core::agree(comm, [&] {
    if (rank_ != 0) return;
    static int count = 0;
    for (int attempt = 0; attempt < most_names; ++attempt) {
      std::snprintf(name.data(), name.size(), "%s%d", own_name().c_str(), count++);
      if (scratch_->create(name.data())) return;
    }
    throw UserError("cannot keep checkpoints in " + folder + ": it is full of those of earlier runs; remove them",
                    __FILE__, __LINE__);
  });
  MPI_Bcast(name.data(), static_cast<int>(name.size()), MPI_CHAR, 0, comm);
  core::agree(comm, [&] {
    if (rank_ != 0) scratch_->create_or_share(name.data());
    (void)write_vectors(scratch_->part(), scratch_->file(0), 0, rank_, {});
    ::unlink(scratch_->file(0).c_str());
  });
}

// --- slots ----------------------------------------------------------------------------------------------------------

double DiskStore::bytes_of(const std::vector<Vec>& vectors) const {
  double bytes = file_bytes(vectors);
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, comm_);
  return bytes;
}

void DiskStore::write(long slot, const std::vector<Vec>& vectors) {
  ESPALIER_REQUIRE(slot >= 0 && slot < ScratchFolder::most_files,
                   "at most " + std::to_string(ScratchFolder::most_files) + " states fit on disk: keep fewer there");
  const double bytes = bytes_of(vectors);
  const auto former = slots_.find(slot);
  const double needed = bytes_ + bytes - (former == slots_.end() ? 0 : former->second.bytes);
  ESPALIER_REQUIRE(needed <= budget_, "checkpoints on disk would take " + megabytes(needed) + ", their budget is " +
                                          megabytes(budget_) + ": raise it, or keep fewer states on disk");
  discard(slot);
  Slot fresh{{}, bytes};
  const std::string path = scratch_->file(slot);
  try {
    core::agree(comm_, [&] { fresh.seal = write_vectors(scratch_->part(), path, slot, rank_, vectors); });
  } catch (...) {
    // Ranks whose disk is not full have got theirs.
    ::unlink(scratch_->part().c_str());
    ::unlink(path.c_str());
    throw;
  }
  bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, bytes_);
  slots_[slot] = std::move(fresh);
}

void DiskStore::read(long slot, const std::vector<Vec>& vectors) {
  const auto found = slots_.find(slot);
  ESPALIER_ASSERT(found != slots_.end(), "a checkpoint is read that was not written");
  const std::string path = scratch_->file(slot);
  core::agree(comm_, [&] { read_vectors(path, found->second.seal, vectors); });
}

void DiskStore::discard(long slot) {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return;
  // A file that cannot be removed is tried again at the end.
  ::unlink(scratch_->file(slot).c_str());
  bytes_ -= found->second.bytes;
  slots_.erase(found);
}

}  // namespace espalier::checkpoint
