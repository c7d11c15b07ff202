// Small files and folders: written aside and renamed, with errors that name the path and the cause.
#pragma once

#include <string>

namespace espalier::io {

/// Creates the folder and its parents; nothing happens if it exists. Not collective.
/// Throws UserError if it cannot be created or if a file stands in its place.
void make_folder(const std::string& path);

/// Folder part of a path: "a/b" of "a/b/c.h5", "." of "c.h5".
std::string folder_of(const std::string& path);

/// Writes `text` to `path.part`, then renames it to `path`: a reader sees the old file or the new one, never a piece.
/// Not collective. Throws UserError if the file cannot be written; an older file at `path` then stays as it was.
void write_text(const std::string& path, const std::string& text);

/// The same for a file that is complete at `part` already: data to disk, then renamed to `path`.
void publish(const std::string& part, const std::string& path);

}  // namespace espalier::io
