#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "espalier/core/error.hpp"
#include "espalier/io/hdf5.hpp"
#include "hdf5_support.hpp"

namespace espalier::io {

H5T_conv_ret_t refuse_clipping(H5T_conv_except_t what, hid_t, hid_t, void*, void*, void*) {
  return what == H5T_CONV_EXCEPT_RANGE_HI || what == H5T_CONV_EXCEPT_RANGE_LOW ? H5T_CONV_ABORT : H5T_CONV_UNHANDLED;
}

namespace {

bool shape_agrees(const Shape& found, const Shape& expected) {
  return found.size() == expected.size() &&
         std::equal(found.begin(), found.end(), expected.begin(),
                    [](std::size_t a, std::size_t b) { return b == any_extent || a == b; });
}

bool is_kind(hid_t file, const std::string& name, H5I_type_t kind) {
  if (!path_exists(file, name)) return false;
  const Id object(H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose);
  return object.valid() && H5Iget_type(object.get()) == kind;
}

// Scalar attribute, or one of a single element.
bool single(hid_t attribute) {
  const Id space(H5Aget_space(attribute), H5Sclose);
  return H5Sget_simple_extent_npoints(space.get()) == 1;
}

std::string read_text(hid_t attribute, hid_t type) {
  if (H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute, type, &text) < 0 || text == nullptr) return {};
    std::string copy(text);
    (void)H5free_memory(text);
    return copy;
  }
  std::string text(H5Tget_size(type), '\0');
  if (H5Aread(attribute, type, text.data()) < 0) return {};
  text.resize(std::min(text.size(), text.find('\0')));
  return text;
}

// False if the attribute is of none of our kinds.
bool read_attribute(hid_t attribute, Attribute& value) {
  const Id type(H5Aget_type(attribute), H5Tclose);
  if (!single(attribute)) return false;
  switch (H5Tget_class(type.get())) {
    case H5T_FLOAT: {
      double real = 0;
      if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &real) < 0) return false;
      value = real;
      return true;
    }
    case H5T_INTEGER: {
      std::int64_t integer = 0;
      if (H5Aread(attribute, H5T_NATIVE_INT64, &integer) < 0) return false;
      value = integer;
      return true;
    }
    case H5T_STRING:
      value = read_text(attribute, type.get());
      return true;
    default:
      return false;
  }
}

}  // namespace

Hdf5Reader::Hdf5Reader(std::string path) : path_(std::move(path)) {
  const Silence silence;
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path_, ignored);
  ESPALIER_REQUIRE(!folder, "cannot read " + path_ + ": it is a folder; name an HDF5 file");
  ESPALIER_REQUIRE(::access(path_.c_str(), R_OK) == 0,
                   "cannot read " + path_ + ": " + std::strerror(errno) + "; name an HDF5 file that exists");
  ESPALIER_REQUIRE(H5Fis_hdf5(path_.c_str()) > 0,
                   "cannot read " + path_ + ": it is not an HDF5 file; name one, or write it anew");
  const Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
#if H5_VERSION_GE(1, 10, 7)
  (void)H5Pset_file_locking(access.get(), true, true);
#endif
  file_ = H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access.get());
  ESPALIER_REQUIRE(file_ >= 0,
                   "cannot read " + path_ + ": the HDF5 file is damaged: " + hdf5_reason() + "; write it anew");
}

Hdf5Reader::Hdf5Reader(std::string path, std::int64_t file) : path_(std::move(path)), file_(file) {
  (void)H5Iinc_ref(file_);
}

Hdf5Reader::Hdf5Reader(Hdf5Reader&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)) {}

Hdf5Reader& Hdf5Reader::operator=(Hdf5Reader&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  return *this;
}

Hdf5Reader::~Hdf5Reader() {
  if (file_ >= 0) (void)H5Fclose(file_);
}

void Hdf5Reader::fail(const std::string& complaint) const {
  throw UserError(path_ + ": " + complaint, __FILE__, __LINE__);
}

bool Hdf5Reader::has_dataset(const std::string& name) const {
  const Silence silence;
  return is_kind(file_, name, H5I_DATASET);
}

bool Hdf5Reader::has_group(const std::string& name) const {
  const Silence silence;
  return is_kind(file_, name, H5I_GROUP);
}

bool Hdf5Reader::has_attribute(const std::string& object, const std::string& name) const {
  const Silence silence;
  return path_exists(file_, object) && H5Aexists_by_name(file_, object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> Hdf5Reader::members(const std::string& group) const {
  if (!has_group(group)) fail("has no group '" + group + "'");
  const Silence silence;
  const Id opened(H5Gopen2(file_, group.c_str(), H5P_DEFAULT), H5Gclose);
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  (void)H5Literate(opened.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &names);
  return names;
}

Shape Hdf5Reader::shape(const std::string& dataset) const {
  if (!has_dataset(dataset)) {
    const std::string group = dataset.substr(0, dataset.rfind('/') == std::string::npos ? 0 : dataset.rfind('/'));
    const std::string where = group.empty() ? "/" : group;
    fail("has no data set '" + dataset + "'" +
         (has_group(where) ? " (in '" + where + "': " + core::join(members(where)) + ")" : "") +
         "; use a file of the right kind");
  }
  const Silence silence;
  const Id set(H5Dopen2(file_, dataset.c_str(), H5P_DEFAULT), H5Dclose);
  const Id space(H5Dget_space(set.get()), H5Sclose);
  std::vector<hsize_t> extents(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space.get()))));
  (void)H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  return Shape(extents.begin(), extents.end());
}

Shape Hdf5Reader::shape(const std::string& dataset, const Shape& expected) const {
  Shape found = shape(dataset);
  if (!shape_agrees(found, expected))
    fail("data set '" + dataset + "' has shape " + describe(found) + ", expected " + describe(expected) +
         "; use a file written for these settings");
  return found;
}

template <class T>
void Hdf5Reader::require_type(const std::string& dataset) const {
  const Silence silence;
  const Id set(H5Dopen2(file_, dataset.c_str(), H5P_DEFAULT), H5Dclose);
  const Id type(H5Dget_type(set.get()), H5Tclose);
  const H5T_class_t type_class = H5Tget_class(type.get());
  if (type_class != TypeOf<T>::type_class)
    fail("data set '" + dataset + "' holds " + class_name(type_class) + " values, expected " +
         class_name(TypeOf<T>::type_class) + " ones");
}

template <class T>
void Hdf5Reader::fail_to_read(const std::string& dataset, const std::string& reason) const {
  fail("data set '" + dataset + "' cannot be read: " + reason + "; the file is damaged, or its values do not fit the " +
       std::to_string(8 * sizeof(T)) + "-bit type wanted");
}

template <class T>
void Hdf5Reader::read_into(const std::string& dataset, const Shape& expected, T* values) const {
  (void)shape(dataset, expected);
  require_type<T>(dataset);
  if (elements(expected) == 0) return;
  const Silence silence;
  const Id set(H5Dopen2(file_, dataset.c_str(), H5P_DEFAULT), H5Dclose);
  const Id transfer(H5Pcreate(H5P_DATASET_XFER), H5Pclose);
  (void)H5Pset_type_conv_cb(transfer.get(), refuse_clipping, nullptr);
  if (H5Dread(set.get(), TypeOf<T>::memory(), H5S_ALL, H5S_ALL, transfer.get(), values) < 0)
    fail_to_read<T>(dataset, hdf5_reason());
}

template <class T>
std::vector<T> Hdf5Reader::read(const std::string& dataset) const {
  const Shape found = shape(dataset);
  std::vector<T> values(elements(found));
  read_into(dataset, found, values.data());
  return values;
}

template <class T>
std::vector<T> Hdf5Reader::read(const std::string& dataset, const Shape& expected) const {
  (void)shape(dataset, expected);
  return read<T>(dataset);
}

Attribute Hdf5Reader::attribute(const std::string& object, const std::string& name) const {
  if (!has_attribute(object, name))
    fail("has no attribute '" + name + "' of '" + object + "'; use a file of the right kind");
  const Silence silence;
  const Id opened(H5Aopen_by_name(file_, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  Attribute value;
  if (!opened.valid() || !read_attribute(opened.get(), value))
    fail("attribute '" + name + "' of '" + object + "' is not a single text, integer or real value");
  return value;
}

std::string Hdf5Reader::text(const std::string& object, const std::string& name) const {
  const Attribute value = attribute(object, name);
  if (!std::holds_alternative<std::string>(value))
    fail("attribute '" + name + "' of '" + object + "' is " + describe(value) + ", expected text");
  return std::get<std::string>(value);
}

double Hdf5Reader::real(const std::string& object, const std::string& name) const {
  const Attribute value = attribute(object, name);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  if (!std::holds_alternative<double>(value))
    fail("attribute '" + name + "' of '" + object + "' is '" + describe(value) + "', expected a number");
  return std::get<double>(value);
}

std::int64_t Hdf5Reader::integer(const std::string& object, const std::string& name) const {
  const Attribute value = attribute(object, name);
  if (!std::holds_alternative<std::int64_t>(value))
    fail("attribute '" + name + "' of '" + object + "' is '" + describe(value) + "', expected an integer");
  return std::get<std::int64_t>(value);
}

Attributes Hdf5Reader::attributes(const std::string& object) const {
  const Silence silence;
  if (!path_exists(file_, object)) fail("has no object '" + object + "'");
  const Id owner(H5Oopen(file_, object.c_str(), H5P_DEFAULT), H5Oclose);
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  (void)H5Aiterate2(owner.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &names);
  Attributes found;
  for (const std::string& name : names) {
    const Id opened(H5Aopen(owner.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
    Attribute value;
    if (opened.valid() && read_attribute(opened.get(), value)) found.emplace_back(name, std::move(value));
  }
  return found;
}

#define ESPALIER_INSTANTIATE(T)                                                        \
  template std::vector<T> Hdf5Reader::read<T>(const std::string&) const;               \
  template std::vector<T> Hdf5Reader::read<T>(const std::string&, const Shape&) const; \
  template void Hdf5Reader::read_into(const std::string&, const Shape&, T*) const;     \
  template void Hdf5Reader::require_type<T>(const std::string&) const;                 \
  template void Hdf5Reader::fail_to_read<T>(const std::string&, const std::string&) const
ESPALIER_INSTANTIATE(double);
ESPALIER_INSTANTIATE(float);
ESPALIER_INSTANTIATE(std::int64_t);
ESPALIER_INSTANTIATE(std::uint8_t);
#undef ESPALIER_INSTANTIATE

}  // namespace espalier::io
