// Vectors with all sorts of bits, and looks into the folders of stores.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/rank.hpp"
#include "espalier/checkpoint/disk_store.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/petsc/handle.hpp"
#include "io/temporary_folder.hpp"

namespace disk_fixture {

using namespace espalier;
using checkpoint::DiskStore;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

constexpr double unlimited = std::numeric_limits<double>::infinity();
using Bits = std::vector<std::uint64_t>;

inline bool is_last() { return testing::rank_of() + 1 == testing::size_of(); }

inline Bits bits(Vec vec) {
  const PetscScalar* array = nullptr;
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(vec, &length));
  ESPALIER_CALL(VecGetArrayRead(vec, &array));
  Bits all(static_cast<std::size_t>(length));
  if (length > 0) std::memcpy(all.data(), array, all.size() * sizeof all[0]);
  ESPALIER_CALL(VecRestoreArrayRead(vec, &array));
  return all;
}

inline void fill(Vec vec, std::uint64_t seed) {
  PetscScalar* array = nullptr;
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(vec, &length));
  ESPALIER_CALL(VecGetArray(vec, &array));
  Bits all(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = core::mix(seed * 1000003 + i);
  // Minus zero, a denormal, infinity, quiet and signalling NaNs with payloads.
  const Bits special = {0x8000000000000000U, 1U, 0x7ff0000000000000U, 0x7ff8000000abcdefU, 0xfff0000000000001U};
  for (std::size_t i = 0; i < std::min(all.size(), special.size()); ++i) all[i] = special[i];
  if (length > 0) std::memcpy(array, all.data(), all.size() * sizeof all[0]);
  ESPALIER_CALL(VecRestoreArray(vec, &array));
}

/// Vectors with contents that depend on the seed; of the last of several ranks the local parts are empty.
class Vectors {
 public:
  explicit Vectors(std::vector<PetscInt> lengths, std::uint64_t seed = 1) {
    for (PetscInt length : lengths) {
      if (testing::size_of() > 1 && is_last()) length = 0;
      all_.emplace_back();
      ESPALIER_CALL(VecCreateMPI(MPI_COMM_WORLD, length, PETSC_DETERMINE, all_.back().out()));
      fill(all_.back().get(), seed++);
    }
  }
  std::vector<Vec> get() const {
    std::vector<Vec> vectors;
    for (const auto& one : all_) vectors.push_back(one.get());
    return vectors;
  }
  bool operator==(const Vectors& other) const {
    bool same = all_.size() == other.all_.size();
    for (std::size_t i = 0; same && i < all_.size(); ++i) same = bits(all_[i].get()) == bits(other.all_[i].get());
    return same;
  }

 private:
  std::vector<petsc::VecHandle> all_;
};

/// Whether the slot has the contents of vectors of these lengths and this seed.
inline bool holds(DiskStore& store, long slot, const std::vector<PetscInt>& lengths, std::uint64_t seed) {
  const Vectors back(lengths, seed + 77);
  store.read(slot, back.get());
  return back == Vectors(lengths, seed);
}

// All ranks look at the folder when none of them changes it.
inline std::vector<std::string> files(const std::string& folder) {
  MPI_Barrier(MPI_COMM_WORLD);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  MPI_Barrier(MPI_COMM_WORLD);
  std::sort(names.begin(), names.end());
  return names;
}

inline bool is_there(const std::string& path) {
  MPI_Barrier(MPI_COMM_WORLD);
  const bool there = fs::exists(path);
  MPI_Barrier(MPI_COMM_WORLD);
  return there;
}

inline std::string file_of(const DiskStore& store, int of_rank, long slot) {
  return store.folder() + "/" + std::to_string(of_rank) + "." + std::to_string(slot);
}

/// Text of the UserError that `body` throws on all ranks, checked to be the same; empty if it throws none.
inline std::string shared_error(const std::function<void()>& body) {
  std::string text;
  try {
    body();
  } catch (const UserError& error) {
    text = error.what();
  }
  std::uint64_t sum = core::checksum(text.data(), text.size());
  std::uint64_t first = sum;
  MPI_Bcast(&first, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
  BOOST_TEST(sum == first);
  return text;
}

inline bool contains(const std::string& text, const std::string& word) {
  const bool found = text.find(word) != std::string::npos;
  if (!found) std::printf("the message was: %s\n", text.c_str());
  return found;
}

/// No file of this process may become longer.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &former_);
    const rlimit limit{bytes, former_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &former_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit former_{};
};

}  // namespace disk_fixture
