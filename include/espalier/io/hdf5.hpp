// HDF5 files: data sets of any rank, attributes and groups, every failure one UserError that names file and object.
//
// Files are opened serially: each rank that constructs a reader or a writer does so by itself, so nothing here is
// collective. Readers may be many; a file is written by one rank (wrap it in core::agree to agree on failures).
// HDF5's own error stack is never printed. Objects are named by path, "a/b"; "/" is the root of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "espalier/io/files.hpp"

namespace espalier::io {

/// Extents of a data set, slowest first (row-major). Empty for a scalar.
using Shape = std::vector<std::size_t>;

/// In a shape that a reader expects: any extent will do.
constexpr std::size_t any_extent = std::numeric_limits<std::size_t>::max();

/// Value of an attribute: integer, real or text (UTF-8).
using Attribute = std::variant<std::int64_t, double, std::string>;
/// Attributes by name.
using Attributes = std::vector<std::pair<std::string, Attribute>>;

/// "[3, 4]", "[any, 4]" and "[]", for messages.
std::string describe(const Shape& shape);
/// The value as text; reals with 17 digits, so that equal text means equal values.
std::string describe(const Attribute& value);
/// Product of the extents; 1 for a scalar.
std::size_t elements(const Shape& shape);
/// Value of the attribute `name` in the list, or nullptr.
const Attribute* find(const Attributes& attributes, const std::string& name);

/// Writes a new HDF5 file, which is kept in memory until commit() puts it on disk as `path.part` and renames it to
/// `path`. Without commit() the .part file is deleted and an older file at `path` stays as it was.
/// The same calls give the same bytes: no time stamps are stored. Memory: the size of the file.
class Hdf5Writer {
 public:
  /// Throws UserError, with the system's reason, if the file cannot be created (PartFile). The folder must exist.
  explicit Hdf5Writer(const std::string& path);
  ~Hdf5Writer();
  Hdf5Writer(Hdf5Writer&& other) noexcept;
  Hdf5Writer& operator=(Hdf5Writer&& other) noexcept;
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  /// Writes elements(shape) values, row-major, as the data set `name`; groups on the way are created.
  /// T: double, float, std::int64_t, std::uint8_t.
  template <class T>
  void write(const std::string& name, const Shape& shape, const T* values);
  /// The same, with the count of values checked against the shape.
  template <class T>
  void write(const std::string& name, const Shape& shape, const std::vector<T>& values);

  /// Creates the group and those on the way; nothing happens if it exists.
  void group(const std::string& name);
  /// Sets an attribute of the root ("/"), a group or a data set that exists in this file. A second value replaces the
  /// first.
  void attribute(const std::string& object, const std::string& name, const Attribute& value);
  void attributes(const std::string& object, const Attributes& values);

  /// Writes the file and gives it its name. The writer is spent afterwards. Throws UserError if the disk is full.
  void commit();

  const std::string& path() const { return part_.path(); }

 private:
  void check_open() const;

  PartFile part_;
  std::int64_t file_ = -1;  // HDF5's hid_t
};

/// Reads an HDF5 file. Every function throws UserError that says what was expected, found, and what to change.
class Hdf5Reader {
 public:
  /// Throws if the file is missing, is not an HDF5 file or is truncated.
  explicit Hdf5Reader(std::string path);
  ~Hdf5Reader();
  Hdf5Reader(Hdf5Reader&& other) noexcept;
  Hdf5Reader& operator=(Hdf5Reader&& other) noexcept;
  Hdf5Reader(const Hdf5Reader&) = delete;
  Hdf5Reader& operator=(const Hdf5Reader&) = delete;

  bool has_dataset(const std::string& name) const;
  bool has_group(const std::string& name) const;
  bool has_attribute(const std::string& object, const std::string& name) const;
  /// Names in a group (one level), in alphabetical order.
  std::vector<std::string> members(const std::string& group = "/") const;

  Shape shape(const std::string& dataset) const;
  /// The same, checked against `expected`, which may hold any_extent.
  Shape shape(const std::string& dataset, const Shape& expected) const;

  /// All values, row-major. The type class must agree (a float data set is not read as integers); the width may
  /// differ, but an integer that does not fit is an error. T: double, float, std::int64_t, std::uint8_t.
  template <class T>
  std::vector<T> read(const std::string& dataset) const;
  /// The same, with the shape checked; `expected` may hold any_extent.
  template <class T>
  std::vector<T> read(const std::string& dataset, const Shape& expected) const;
  /// Into memory of elements(expected) values; `expected` holds plain extents only.
  template <class T>
  void read_into(const std::string& dataset, const Shape& expected, T* values) const;

  Attribute attribute(const std::string& object, const std::string& name) const;
  /// The attribute as one type; an integer is accepted where a real is wanted.
  std::string text(const std::string& object, const std::string& name) const;
  double real(const std::string& object, const std::string& name) const;
  std::int64_t integer(const std::string& object, const std::string& name) const;
  /// All scalar text, integer and real attributes, in alphabetical order; those of other kinds are left out.
  Attributes attributes(const std::string& object) const;

  /// Throws with `complaint` about this file: "FILE: complaint".
  [[noreturn]] void fail(const std::string& complaint) const;

  const std::string& path() const { return path_; }

 private:
  friend class ParallelHdf5Reader;
  // Shares a file that is open, as HDF5's hid_t.
  Hdf5Reader(std::string path, std::int64_t file);
  template <class T>
  void require_type(const std::string& dataset) const;
  template <class T>
  [[noreturn]] void fail_to_read(const std::string& dataset, const std::string& reason) const;

  std::string path_;
  std::int64_t file_ = -1;
};

/// Part of a data set: `count` values from `offset` on, for each of its axes.
struct Slab {
  Shape offset;
  Shape count;
};

/// Throws UserError naming file, data set and first index (of the row-major shape) if a value is not finite.
template <class T>
void require_finite(const std::string& file, const std::string& dataset, const Shape& shape,
                    const std::vector<T>& values);
/// The same for the values of a slab, row-major; the index is that in the data set.
template <class T>
void require_finite(const std::string& file, const std::string& dataset, const Shape& shape, const Slab& slab,
                    const T* values);

}  // namespace espalier::io
