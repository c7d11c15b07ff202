#include "espalier/io/grid_series.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/io/xdmf.hpp"
#include "grid_series_format.hpp"

namespace espalier::io {

namespace {

constexpr double spacing_tolerance = 1e-9;

void check_axis(const GridAxis& axis, const std::string& file) {
  const std::vector<double>& x = axis.centres;
  ESPALIER_REQUIRE(x.size() >= 2, file + ": axis '" + axis.name + "' has " + std::to_string(x.size()) +
                                      " cells, at least two are needed");
  const double h = (x.back() - x.front()) / static_cast<double>(x.size() - 1);
  for (std::size_t i = 0; i < x.size(); ++i)
    ESPALIER_REQUIRE(
        h > 0 && std::abs(x[i] - x[0] - static_cast<double>(i) * h) <=
                     spacing_tolerance * (h + std::max(std::abs(x.front()), std::abs(x.back()))),
        file + ": the centres of axis '" + axis.name + "' are not equally spaced at [" + std::to_string(i) + "]");
}

}  // namespace

void check_grid_format(const Hdf5Reader& reader) {
  if (!reader.has_attribute("/", "format") || reader.text("/", "format") != grid_format_name)
    reader.fail(std::string("holds no fields on a grid (its attribute 'format' is not \"") + grid_format_name +
                "\"); use a file written by write_grid_series");
  const std::int64_t version = reader.integer("/", "format_version");
  if (version != grid_format_version)
    reader.fail("has format version " + std::to_string(version) + ", this program reads version " +
                std::to_string(grid_format_version) + "; write the file anew");
}

std::string axes_text(const GridSeries& series, const GridQuantity& quantity) {
  std::vector<std::string> names;
  if (quantity.by_trajectory) names.emplace_back("trajectory");
  if (quantity.by_time) names.emplace_back("time");
  for (const GridAxis& axis : series.axes) names.push_back(axis.name);
  return core::join(names);
}

std::size_t GridSeries::cells() const {
  std::size_t product = 1;
  for (const GridAxis& axis : axes) product *= axis.centres.size();
  return product;
}

Shape GridSeries::shape(const GridQuantity& quantity) const {
  Shape extents;
  if (quantity.by_trajectory) extents.push_back(trajectories);
  if (quantity.by_time) extents.push_back(times.size());
  for (const GridAxis& axis : axes) extents.push_back(axis.centres.size());
  return extents;
}

const GridQuantity& GridSeries::quantity(const std::string& quantity_name) const {
  std::vector<std::string> names;
  for (const GridQuantity& candidate : quantities) {
    if (candidate.name == quantity_name) return candidate;
    names.push_back(candidate.name);
  }
  throw UserError(name + " holds no quantity '" + quantity_name + "', only " + core::join(names), __FILE__, __LINE__);
}

void validate_header(const GridSeries& series, const std::string& file) {
  ESPALIER_REQUIRE(!series.axes.empty() && series.axes.size() <= 3,
                   file + ": fields on a grid have 1 to 3 axes, not " + std::to_string(series.axes.size()));
  ESPALIER_REQUIRE(!series.times.empty() && series.trajectories > 0 && !series.quantities.empty(),
                   file + ": at least one time, one trajectory and one quantity are needed");
  for (const GridAxis& axis : series.axes) check_axis(axis, file);
  require_finite(file, "time", {series.times.size()}, series.times);
  for (std::size_t i = 1; i < series.times.size(); ++i)
    ESPALIER_REQUIRE(series.times[i] > series.times[i - 1],
                     file + ": data set 'time' does not increase at [" + std::to_string(i) + "]");
}

void validate(const GridSeries& series, const std::string& file, bool finite) {
  validate_header(series, file);
  for (const GridQuantity& quantity : series.quantities) {
    const Shape shape = series.shape(quantity);
    ESPALIER_REQUIRE(quantity.values.size() == elements(shape), file + ": data set '" + quantity.name + "' has " +
                                                                    std::to_string(quantity.values.size()) +
                                                                    " values, its shape is " + describe(shape));
    if (finite) require_finite(file, quantity.name, shape, quantity.values);
  }
}

void write_grid_series(const std::string& path, const GridSeries& series, bool cache) {
  validate(series, path, cache);
  Hdf5Writer writer(path);
  write_grid_header(writer, series, cache, [&](const GridQuantity& quantity) {
    writer.write(quantity.name, series.shape(quantity), quantity.values);
  });
  writer.commit();
}

GridSeries read_grid_header(const Hdf5Reader& reader) {
  check_grid_format(reader);
  GridSeries series;
  series.name = reader.text("/", "name");
  series.trajectories = static_cast<std::size_t>(std::max<std::int64_t>(reader.integer("/", "trajectories"), 0));
  const std::string axis_names = reader.text("/", "axes");
  for (std::size_t first = 0; first < axis_names.size();) {
    const std::size_t comma = std::min(axis_names.find(", ", first), axis_names.size());
    const std::string name = axis_names.substr(first, comma - first);
    series.axes.push_back({name, reader.read<double>(name, {any_extent}), reader.text(name, "unit")});
    first = comma + 2;
  }
  series.times = reader.read<double>("time", {any_extent});
  series.time_unit = reader.text("time", "unit");
  const auto is_axis = [&](const std::string& name) {
    return name == "time" ||
           std::any_of(series.axes.begin(), series.axes.end(), [&](const GridAxis& axis) { return axis.name == name; });
  };
  for (const std::string& name : reader.members()) {
    if (!reader.has_dataset(name) || is_axis(name)) continue;
    const std::string axes = reader.text(name, "axes");
    const bool by_trajectory = axes.find("trajectory") != std::string::npos;
    const bool by_time = axes.find("time") != std::string::npos;
    series.quantities.push_back({name, by_trajectory, by_time, {}, reader.text(name, "unit")});
    (void)reader.shape(name, series.shape(series.quantities.back()));
  }
  series.settings = reader.attributes("settings");
  validate_header(series, reader.path());
  return series;
}

GridSeries read_grid_series(const std::string& path) {
  const Hdf5Reader reader(path);
  GridSeries series = read_grid_header(reader);
  for (GridQuantity& quantity : series.quantities)
    quantity.values = reader.read<double>(quantity.name, series.shape(quantity));
  validate(series, path);
  return series;
}

SeriesOrigin read_grid_series_origin(const std::string& path) {
  const Hdf5Reader reader(path);
  check_grid_format(reader);
  return {reader.text("/", "name"), reader.attributes("settings"),
          reader.has_attribute("/", "cache") && reader.integer("/", "cache") != 0};
}

void write_grid_series_xdmf(const std::string& path, const GridSeries& series) {
  std::vector<XdmfAxis> axes;
  for (const GridAxis& axis : series.axes) {
    const auto count = axis.centres.size();
    axes.push_back(
        {count, axis.centres.front(), (axis.centres.back() - axis.centres.front()) / static_cast<double>(count - 1)});
  }
  std::vector<XdmfField> fields;
  for (const GridQuantity& quantity : series.quantities)
    if (quantity.by_time && !quantity.by_trajectory) fields.push_back({quantity.name, quantity.name});
  write_xdmf_collection(xdmf_path(path), std::filesystem::path(path).filename().string(), series.times, axes, fields);
}

std::string checksum(const GridSeries& series) {
  std::uint64_t sum = 0;
  const auto add = [&](const std::vector<double>& values) {
    sum = core::mix(sum ^ core::checksum(values.data(), values.size() * sizeof(double)));
  };
  add(series.times);
  for (const GridAxis& axis : series.axes) add(axis.centres);
  for (const GridQuantity& quantity : series.quantities) add(quantity.values);
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, sum);
  return text.data();
}

}  // namespace espalier::io
