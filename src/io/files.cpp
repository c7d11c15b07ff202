#include "espalier/io/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "espalier/core/error.hpp"

namespace espalier::io {

namespace {

std::string reason(int code) { return std::strerror(code); }

// Writes all of `text` to a new file; 0 or the errno of what failed.
int write_all(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return errno;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int write_error = errno;
  if (std::fclose(file) != 0) return errno;
  return written ? 0 : write_error;
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

void publish(const std::string& part, const std::string& path) {
  // The data must be on disk before the name points to it: a crash between the two would leave an empty file.
  const int descriptor = ::open(part.c_str(), O_RDONLY);
  const bool synced = descriptor >= 0 && (::fsync(descriptor) == 0 || errno == EINVAL);
  const int sync_error = errno;
  if (descriptor >= 0) ::close(descriptor);
  ESPALIER_REQUIRE(synced, "cannot put " + part + " on disk: " + reason(sync_error));
  ESPALIER_REQUIRE(std::rename(part.c_str(), path.c_str()) == 0,
                   "cannot rename " + part + " to " + path + ": " + reason(errno));
}

void write_text(const std::string& path, const std::string& text) {
  const std::string part = path + ".part";
  const int error = write_all(part, text);
  if (error != 0) std::remove(part.c_str());
  ESPALIER_REQUIRE(error == 0, "cannot write " + path + ": " + reason(error) +
                                   "; name a file in a folder that exists and can be written");
  publish(part, path);
}

}  // namespace espalier::io
