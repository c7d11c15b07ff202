// What reader and writer share, and the descriptions used in messages.
#include "espalier/io/hdf5.hpp"

#include <array>
#include <cmath>
#include <cstdio>

#include "espalier/core/error.hpp"
#include "hdf5_support.hpp"

namespace espalier::io {

static_assert(sizeof(hid_t) == sizeof(std::int64_t), "the headers keep hid_t as a 64-bit integer");

std::string describe(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + (shape[i] == any_extent ? std::string("any") : std::to_string(shape[i]));
  return text + "]";
}

std::string describe(const Attribute& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.17g", std::get<double>(value));
  return text.data();
}

std::size_t elements(const Shape& shape) {
  std::size_t count = 1;
  for (const std::size_t extent : shape) count *= extent;
  return count;
}

const Attribute* find(const Attributes& attributes, const std::string& name) {
  for (const auto& [key, value] : attributes)
    if (key == name) return &value;
  return nullptr;
}

template <class T>
void require_finite(const std::string& file, const std::string& dataset, const Shape& shape, const Slab& slab,
                    const T* values) {
  const std::size_t count = elements(slab.count);
  for (std::size_t i = 0; i < count; ++i) {
    if (std::isfinite(values[i])) continue;
    Shape index(shape.size());
    std::size_t rest = i;
    for (std::size_t axis = shape.size(); axis-- > 0; rest /= slab.count[axis])
      index[axis] = slab.offset[axis] + rest % slab.count[axis];
    throw UserError(file + ": data set '" + dataset + "' is not finite: its first such value, " +
                        (std::isnan(values[i]) ? "nan" : "inf") + ", is at " + describe(index) + " of " +
                        describe(shape) + "; use data without missing values",
                    __FILE__, __LINE__);
  }
}

template <class T>
void require_finite(const std::string& file, const std::string& dataset, const Shape& shape,
                    const std::vector<T>& values) {
  require_finite(file, dataset, shape, {Shape(shape.size(), 0), shape}, values.data());
}
template void require_finite(const std::string&, const std::string&, const Shape&, const std::vector<double>&);
template void require_finite(const std::string&, const std::string&, const Shape&, const std::vector<float>&);
template void require_finite(const std::string&, const std::string&, const Shape&, const Slab&, const double*);
template void require_finite(const std::string&, const std::string&, const Shape&, const Slab&, const float*);

std::string hdf5_reason() {
  std::string reason;
  const auto keep_first = [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
    if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
  // Of the long lines about system calls only the system's words are of use.
  const std::string marker = "error message = '";
  const std::size_t begin = reason.find(marker);
  if (begin != std::string::npos) {
    reason.erase(0, begin + marker.size());
    reason.resize(std::min(reason.size(), reason.find('\'')));
  }
  return reason.empty() ? "HDF5 gives no reason" : reason;
}

std::string class_name(H5T_class_t type_class) {
  switch (type_class) {
    case H5T_FLOAT:
      return "real";
    case H5T_INTEGER:
      return "integer";
    case H5T_STRING:
      return "text";
    case H5T_ENUM:
      return "enumerated";
    case H5T_COMPOUND:
      return "compound";
    default:
      return "other";
  }
}

bool path_exists(hid_t file, const std::string& path) {
  // H5Lexists fails, rather than answers, when a group on the way is missing.
  for (std::size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (part.empty() || part == "/") continue;
    if (H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0) return false;
  }
  return true;
}

}  // namespace espalier::io
