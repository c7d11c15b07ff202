#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/io/files.hpp"
#include "espalier/io/hdf5.hpp"
#include "hdf5_support.hpp"

namespace espalier::io {

namespace {

// Attribute writes go through here: scalar value of any of the three kinds.
bool write_scalar_attribute(hid_t object, const std::string& name, hid_t disk, hid_t memory, const void* value) {
  const Id space(H5Screate(H5S_SCALAR), H5Sclose);
  const Id attribute(H5Acreate2(object, name.c_str(), disk, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  return attribute.valid() && H5Awrite(attribute.get(), memory, value) >= 0;
}

Id text_type() {
  Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  (void)H5Tset_size(type.get(), H5T_VARIABLE);
  (void)H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

Id links_with_groups() {
  Id links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  (void)H5Pset_create_intermediate_group(links.get(), 1);
  return links;
}

}  // namespace

Id create_dataset(hid_t file, const std::string& path, const std::string& name, const Shape& shape, hid_t type,
                  hid_t creation) {
  const std::vector<hsize_t> extents(shape.begin(), shape.end());
  const Id space(shape.empty() ? H5Screate(H5S_SCALAR)
                               : H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
                 H5Sclose);
  (void)H5Pset_obj_track_times(creation, false);  // the same calls give the same bytes
  const Id links = links_with_groups();
  Id set(H5Dcreate2(file, name.c_str(), type, space.get(), links.get(), creation, H5P_DEFAULT), H5Dclose);
  ESPALIER_REQUIRE(set.valid(), path + ": cannot create data set '" + name + "': " + hdf5_reason());
  return set;
}

void create_group(hid_t file, const std::string& path, const std::string& name) {
  if (path_exists(file, name)) return;
  const Id links = links_with_groups();
  const Id created(H5Gcreate2(file, name.c_str(), links.get(), H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  ESPALIER_REQUIRE(created.valid(), path + ": cannot create group '" + name + "': " + hdf5_reason());
}

void write_attribute(hid_t file, const std::string& path, const std::string& object, const std::string& name,
                     const Attribute& value) {
  ESPALIER_ASSERT(path_exists(file, object), path + ": attribute '" + name + "' for missing '" + object + "'");
  const Id owner(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
  if (H5Aexists(owner.get(), name.c_str()) > 0) (void)H5Adelete(owner.get(), name.c_str());
  bool written = false;
  if (const auto* real = std::get_if<double>(&value)) {
    written = write_scalar_attribute(owner.get(), name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, real);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    written = write_scalar_attribute(owner.get(), name, H5T_STD_I64LE, H5T_NATIVE_INT64, integer);
  } else {
    const char* text = std::get<std::string>(value).c_str();
    const Id type = text_type();
    written = write_scalar_attribute(owner.get(), name, type.get(), type.get(), &text);
  }
  ESPALIER_REQUIRE(written, path + ": cannot write attribute '" + name + "' of '" + object + "': " + hdf5_reason());
}

// HDF5 1.10 does not survive a failed write: it leaves an identifier that crashes the program at its end. In memory its
// writes do not fail, and the disk's errors are ours to report.
Hdf5Writer::Hdf5Writer(const std::string& path) : part_(path) {
  constexpr std::size_t memory_increment = 1 << 16;
  const Silence silence;
  const Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  (void)H5Pset_fapl_core(access.get(), memory_increment, false);
  file_ = H5Fcreate((path + ".part").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get());
  ESPALIER_REQUIRE(file_ >= 0, "cannot create " + path + ": " + hdf5_reason());
}

Hdf5Writer::Hdf5Writer(Hdf5Writer&& other) noexcept
    : part_(std::move(other.part_)), file_(std::exchange(other.file_, -1)) {}

Hdf5Writer& Hdf5Writer::operator=(Hdf5Writer&& other) noexcept {
  std::swap(part_, other.part_);
  std::swap(file_, other.file_);
  return *this;
}

Hdf5Writer::~Hdf5Writer() {
  if (file_ >= 0) (void)H5Fclose(file_);
}

void Hdf5Writer::check_open() const { ESPALIER_ASSERT(file_ >= 0, "writer of " + path() + " used after commit()"); }

template <class T>
void Hdf5Writer::write(const std::string& name, const Shape& shape, const T* values) {
  check_open();
  const Silence silence;
  ESPALIER_ASSERT(!path_exists(file_, name), path() + ": '" + name + "' is written twice");
  const Id creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const Id set = create_dataset(file_, path(), name, shape, TypeOf<T>::disk(), creation.get());
  const bool written =
      elements(shape) == 0 || H5Dwrite(set.get(), TypeOf<T>::memory(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
  ESPALIER_REQUIRE(written, path() + ": cannot write data set '" + name + "': " + hdf5_reason());
}

template <class T>
void Hdf5Writer::write(const std::string& name, const Shape& shape, const std::vector<T>& values) {
  ESPALIER_ASSERT(values.size() == elements(shape), path() + ": data set '" + name + "' of shape " + describe(shape) +
                                                        " given " + std::to_string(values.size()) + " values");
  write(name, shape, values.data());
}

void Hdf5Writer::group(const std::string& name) {
  check_open();
  const Silence silence;
  create_group(file_, path(), name);
}

void Hdf5Writer::attribute(const std::string& object, const std::string& name, const Attribute& value) {
  check_open();
  const Silence silence;
  write_attribute(file_, path(), object, name, value);
}

void Hdf5Writer::attributes(const std::string& object, const Attributes& values) {
  for (const auto& [name, value] : values) attribute(object, name, value);
}

void Hdf5Writer::commit() {
  check_open();
  const Silence silence;
  const bool flushed = H5Fflush(file_, H5F_SCOPE_GLOBAL) >= 0;
  void* image = nullptr;  // the address of the pointer to the file's memory
  const ssize_t bytes = H5Fget_file_image(file_, nullptr, 0);
  const bool found = flushed && bytes > 0 && H5Fget_vfd_handle(file_, H5P_DEFAULT, &image) >= 0;
  ESPALIER_REQUIRE(found, "cannot complete " + path() + ": " + hdf5_reason());
  part_.write(*static_cast<void**>(image), static_cast<std::size_t>(bytes));
  (void)H5Fclose(std::exchange(file_, -1));
  part_.publish();
}

#define ESPALIER_INSTANTIATE(T)                                                \
  template void Hdf5Writer::write(const std::string&, const Shape&, const T*); \
  template void Hdf5Writer::write(const std::string&, const Shape&, const std::vector<T>&)
ESPALIER_INSTANTIATE(double);
ESPALIER_INSTANTIATE(float);
ESPALIER_INSTANTIATE(std::int64_t);
ESPALIER_INSTANTIATE(std::uint8_t);
#undef ESPALIER_INSTANTIATE

}  // namespace espalier::io
