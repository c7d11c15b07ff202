// The file of a grid series, for the ways to write and read it: by one rank and by slab.
#pragma once

#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/io/grid_series.hpp"

namespace espalier::io {

constexpr const char* grid_format_name = "espalier-grid-series";
constexpr std::int64_t grid_format_version = 1;

/// validate() without the values of the quantities.
void validate_header(const GridSeries& series, const std::string& file);

/// Throws UserError unless the file is a grid series of this version.
void check_grid_format(const Hdf5Reader& reader);

/// The series without the values of its quantities, whose shapes are checked, validated. Not collective.
GridSeries read_grid_header(const Hdf5Reader& reader);

/// "trajectory, time, y, x": axes of the quantity's data set.
std::string axes_text(const GridSeries& series, const GridQuantity& quantity);

/// Writes all but the values. `make(quantity)` creates the quantity's data set. Collective if the writer is.
template <class Writer, class Make>
void write_grid_header(Writer& writer, const GridSeries& series, bool cache, const Make& make) {
  writer.attributes("/", {{"format", grid_format_name},
                          {"format_version", grid_format_version},
                          {"name", series.name},
                          {"trajectories", static_cast<std::int64_t>(series.trajectories)},
                          {"cache", cache ? 1 : 0}});
  std::vector<std::string> axis_names;
  for (const GridAxis& axis : series.axes) {
    axis_names.push_back(axis.name);
    writer.write(axis.name, {axis.centres.size()}, axis.centres);
    writer.attribute(axis.name, "unit", axis.unit);
  }
  writer.attribute("/", "axes", core::join(axis_names));
  writer.write("time", {series.times.size()}, series.times);
  writer.attribute("time", "unit", series.time_unit);
  for (const GridQuantity& quantity : series.quantities) {
    make(quantity);
    writer.attributes(quantity.name, {{"unit", quantity.unit}, {"axes", axes_text(series, quantity)}});
  }
  writer.group("settings");
  writer.attributes("settings", series.settings);
}

}  // namespace espalier::io
