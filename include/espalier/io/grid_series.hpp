// Fields on a structured grid over time, of one or several trajectories: reference data of PDE experiments, and what
// was predicted.
//
// File: `time` [T] and one data set per axis, such as `x` [nx] and `y` [ny] (cell centres), then one data set per
// quantity: [R, T, nz, ny, nx] without the extents that it does not have (a field that all trajectories share has no R,
// a steady one no T, a plane no z). Each has the attributes `unit` and `axes`, such as "trajectory, time, y, x"; the
// root carries `format` = "espalier-grid-series", `format_version` = 1, `name` and, optionally, `cache` (1: a program
// made the file and may make it anew); the group `settings` carries the generator's settings as attributes.
#pragma once

#include <string>
#include <vector>

#include "espalier/io/hdf5.hpp"
#include "espalier/io/series.hpp"

namespace espalier::io {

/// Equally spaced cell centres.
struct GridAxis {
  std::string name = "x";
  std::vector<double> centres;
  std::string unit = "1";
};

/// A quantity at all cells, x fastest.
struct GridQuantity {
  std::string name;
  bool by_trajectory = false;  ///< one for each trajectory
  bool by_time = false;        ///< one for each time
  std::vector<double> values;  ///< [R, T, cells] without the extents that it does not have
  std::string unit = "1";
};

struct GridSeries {
  std::string name;
  std::vector<GridAxis> axes;  ///< slowest first: (z,) y, x
  std::vector<double> times;   ///< [T], increasing
  std::string time_unit = "1";
  std::size_t trajectories = 1;  ///< R
  std::vector<GridQuantity> quantities;
  Attributes settings;  ///< of the generator

  std::size_t cells() const;
  /// Extents of the quantity's data set.
  Shape shape(const GridQuantity& quantity) const;
  /// Throws UserError that lists the names when there is none of this name.
  const GridQuantity& quantity(const std::string& quantity_name) const;
};

/// Throws UserError, naming `file`, unless shapes agree, times increase and all is finite (`finite` = false: NaN is
/// allowed in quantities, for predictions that ended early).
void validate(const GridSeries& series, const std::string& file, bool finite = true);

/// Writes the series, validated first; `path` is replaced only when all is written. `cache` marks the file as one that
/// a program may regenerate. Not collective: one rank calls it.
void write_grid_series(const std::string& path, const GridSeries& series, bool cache = false);
/// The XDMF file beside `path`, for ParaView: the quantities that have a time and no trajectories.
void write_grid_series_xdmf(const std::string& path, const GridSeries& series);

/// Reads and validates. Not collective: each rank reads by itself.
GridSeries read_grid_series(const std::string& path);
SeriesOrigin read_grid_series_origin(const std::string& path);

/// A number in hexadecimal digits that changes with any time, coordinate or value.
std::string checksum(const GridSeries& series);

}  // namespace espalier::io
