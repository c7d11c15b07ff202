// Small files and folders: written aside and renamed, with errors that name the path and the cause.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <string>

namespace espalier::io {

/// Creates the folder and its parents; nothing happens if it exists. Not collective.
/// Throws UserError if it cannot be created or if a file stands in its place.
void make_folder(const std::string& path);

/// Makes an output folder and checks, before any work is done, that files can be written there; nothing for an empty
/// path. Throws UserError on all ranks. Collective on `comm`.
void prepare_output(MPI_Comm comm, const std::string& path);

/// Folder part of a path: "a/b" of "a/b/c.h5", "." of "c.h5".
std::string folder_of(const std::string& path);

/// A file that is written as `path.part` and gets its name when it is complete: a reader of `path` sees the old file or
/// the new one, never a piece. Without publish() the .part file is removed and the old one stays. Not collective.
class PartFile {
 public:
  /// Creates the .part file. Throws UserError, with the system's reason, if that cannot be done or if another writer is
  /// at work on the same file. The folder must exist.
  explicit PartFile(std::string path);
  ~PartFile();
  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&& other) noexcept;
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  /// Appends. Throws UserError if the disk is full.
  void write(const void* data, std::size_t bytes);
  /// Has the file system set aside room for the first `bytes` of the file, for others who write there: a full disk is
  /// found now. Nothing happens on file systems that cannot.
  void reserve(std::size_t bytes);
  /// Gives the room back: the file is empty then, and not to be published.
  void release() noexcept;
  /// Puts the data on disk and renames the file.
  void publish();

  /// The name in the end.
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail(const std::string& reason, const char* advice) const;
  void discard() noexcept;

  std::string path_;
  int descriptor_ = -1;
};

/// Writes `text` to `path` through a PartFile.
void write_text(const std::string& path, const std::string& text);

}  // namespace espalier::io
