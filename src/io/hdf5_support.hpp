// What the HDF5 reader and writer share: owned identifiers, silence, HDF5's reason for a failure, type names.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <utility>

#include "espalier/io/hdf5.hpp"

namespace espalier::io {

/// Owns an HDF5 identifier; `close` is its H5?close.
class Id {
 public:
  using Close = herr_t (*)(hid_t);
  Id(hid_t id, Close close) noexcept : id_(id), close_(close) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  Id& operator=(Id&&) = delete;
  ~Id() {
    if (id_ >= 0) (void)close_(id_);
  }
  hid_t get() const noexcept { return id_; }
  bool valid() const noexcept { return id_ >= 0; }

 private:
  hid_t id_;
  Close close_;
};

/// While it lives HDF5 prints no error stacks; what was set before comes back. The program's other users of HDF5 keep
/// their setting.
class Silence {
 public:
  Silence() noexcept {
    (void)H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    (void)H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~Silence() { (void)H5Eset_auto2(H5E_DEFAULT, function_, data_); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// HDF5's innermost message about the call that has just failed, such as "truncated file: eof = ...". Ask at once: the
/// next call clears it.
std::string hdf5_reason();

/// "real", "integer", "text" or another word for the class of a type.
std::string class_name(H5T_class_t type_class);

/// True if every part of the path exists in the file.
bool path_exists(hid_t file, const std::string& path);

/// Creates a data set, with the groups on the way. `creation` is a list of H5P_DATASET_CREATE; no time stamps are
/// stored. This and the next two throw errors that name the file as `path`.
Id create_dataset(hid_t file, const std::string& path, const std::string& name, const Shape& shape, hid_t type,
                  hid_t creation);
void create_group(hid_t file, const std::string& path, const std::string& name);
void write_attribute(hid_t file, const std::string& path, const std::string& object, const std::string& name,
                     const Attribute& value);

/// HDF5 clips values that do not fit in silence; with this callback of a transfer list it fails instead.
H5T_conv_ret_t refuse_clipping(H5T_conv_except_t what, hid_t from, hid_t to, void*, void*, void*);

/// Memory type, type on disk (little endian everywhere) and class of T.
template <class T>
struct TypeOf;
template <>
struct TypeOf<double> {
  static hid_t memory() { return H5T_NATIVE_DOUBLE; }
  static hid_t disk() { return H5T_IEEE_F64LE; }
  static constexpr H5T_class_t type_class = H5T_FLOAT;
};
template <>
struct TypeOf<float> {
  static hid_t memory() { return H5T_NATIVE_FLOAT; }
  static hid_t disk() { return H5T_IEEE_F32LE; }
  static constexpr H5T_class_t type_class = H5T_FLOAT;
};
template <>
struct TypeOf<std::int64_t> {
  static hid_t memory() { return H5T_NATIVE_INT64; }
  static hid_t disk() { return H5T_STD_I64LE; }
  static constexpr H5T_class_t type_class = H5T_INTEGER;
};
template <>
struct TypeOf<std::uint8_t> {
  static hid_t memory() { return H5T_NATIVE_UINT8; }
  static hid_t disk() { return H5T_STD_U8LE; }
  static constexpr H5T_class_t type_class = H5T_INTEGER;
};

}  // namespace espalier::io
