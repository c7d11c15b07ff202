// A folder of its own for a test's files, removed when the test ends.
#pragma once

#include <mpi.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace espalier::testing {

/// One folder per rank, or with `comm` one that all its ranks share (collective then, the destructor too).
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(unique_path()) { std::filesystem::create_directories(path_); }
  explicit TemporaryFolder(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_rank(comm, &rank_);
    std::array<char, 1024> name{};
    if (rank_ == 0) std::snprintf(name.data(), name.size(), "%s", unique_path().c_str());
    MPI_Bcast(name.data(), static_cast<int>(name.size()), MPI_CHAR, 0, comm);
    path_ = name.data();
    if (rank_ == 0) std::filesystem::create_directories(path_);
    MPI_Barrier(comm);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    if (comm_ != MPI_COMM_NULL) MPI_Barrier(comm_);
    std::error_code ignored;
    if (rank_ == 0) std::filesystem::remove_all(path_, ignored);
  }

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  /// Entries of the folder.
  std::size_t size() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  static std::string unique_path() {
    static std::atomic<int> count{0};
    const std::string name = "espalier_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++);
    return (std::filesystem::temp_directory_path() / name).string();
  }

  std::string path_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
};

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void put(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

/// Cuts the file to a part of its length.
inline void truncate(const std::string& path, double part) {
  const auto size = static_cast<double>(std::filesystem::file_size(path));
  std::filesystem::resize_file(path, static_cast<std::uintmax_t>(part * size));
}

}  // namespace espalier::testing
