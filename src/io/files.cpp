#include "espalier/io/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"

namespace espalier::io {

namespace {

constexpr const char* name_another = "name a file in a folder that exists and can be written";
constexpr const char* wait_for_it = "wait for the program that writes it";
constexpr const char* make_room = "make room, or name a file elsewhere";

std::string part_of(const std::string& path) { return path + ".part"; }

// False if another writer holds the file. File systems without locks are common on clusters: there nobody knows.
bool lock(int descriptor) { return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

// True if the name still belongs to the open file: its writer may have published it since.
bool still_named(int descriptor, const std::string& path) {
  struct stat mine {};
  struct stat named {};
  return ::fstat(descriptor, &mine) == 0 && ::stat(path.c_str(), &named) == 0 && mine.st_ino == named.st_ino;
}

}  // namespace

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  std::error_code ignored;
  const bool there = std::filesystem::is_directory(path, ignored);
  ESPALIER_REQUIRE(there, "cannot create folder " + path + ": " + (error ? error.message() : "a file has that name") +
                              "; name another folder");
}

PartFile::PartFile(std::string path) : path_(std::move(path)) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path_, ignored)) fail("it is a folder", "name a file");
  const std::string part = part_of(path_);
  const int descriptor = ::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(std::strerror(errno), name_another);
  if (!lock(descriptor) || !still_named(descriptor, part)) {
    ::close(descriptor);
    fail("another writer is at work on it", wait_for_it);
  }
  // What a killed program may have left; a device refuses, and has nothing to cut off.
  if (::ftruncate(descriptor, 0) != 0 && errno != EINVAL) {
    const int error = errno;
    ::close(descriptor);
    fail(std::strerror(error), name_another);
  }
  descriptor_ = descriptor;
}

PartFile::PartFile(PartFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

PartFile& PartFile::operator=(PartFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

PartFile::~PartFile() { discard(); }

void PartFile::discard() noexcept {
  if (descriptor_ < 0) return;
  (void)std::remove(part_of(path_).c_str());
  ::close(std::exchange(descriptor_, -1));
}

void PartFile::fail(const std::string& reason, const char* advice) const {
  throw UserError("cannot write " + path_ + ": " + reason + "; " + advice, __FILE__, __LINE__);
}

void PartFile::write(const void* data, std::size_t bytes) {
  ESPALIER_ASSERT(descriptor_ >= 0, path_ + " written after publish()");
  const char* rest = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, rest, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(std::strerror(errno), make_room);
    rest += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void PartFile::reserve(std::size_t bytes) {
  ESPALIER_ASSERT(descriptor_ >= 0, path_ + " reserved after publish()");
#ifdef __linux__
  const int done = bytes == 0 ? 0 : ::fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes));
  if (done != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) fail(std::strerror(errno), make_room);
#else
  (void)bytes;
#endif
}

void PartFile::release() noexcept {
  if (descriptor_ >= 0 && ::ftruncate(descriptor_, 0) != 0) return;  // nobody waits for the room
}

void PartFile::publish() {
  ESPALIER_ASSERT(descriptor_ >= 0, path_ + " published twice");
  // The data must be on disk before the name points to it: a crash between the two would leave an empty file.
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail(std::strerror(errno), make_room);
  if (std::rename(part_of(path_).c_str(), path_.c_str()) != 0) fail(std::strerror(errno), name_another);
  ::close(std::exchange(descriptor_, -1));
}

void write_text(const std::string& path, const std::string& text) {
  PartFile file(path);
  file.write(text.data(), text.size());
  file.publish();
}

void prepare_output(MPI_Comm comm, const std::string& path) {
  if (path.empty()) return;
  core::agree(comm, [&] {
    int rank = 0;
    MPI_Comm_rank(comm, &rank);
    if (rank != 0) return;
    make_folder(path);
    const std::string probe = path + "/.writable";
    write_text(probe, "");
    std::remove(probe.c_str());
  });
}

}  // namespace espalier::io
