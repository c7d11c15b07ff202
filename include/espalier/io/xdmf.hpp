// XDMF text beside HDF5 files, so that ParaView opens them: choose its "XDMF Reader". (Its Xdmf3 readers show the
// space-time picture, but no fields of a collection: they do not read parts of a data set.)
//
// The XML holds no numbers but the grid's: fields stay in the HDF5 file, which is named relative to the .xdmf file.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace espalier::io {

/// A field of the XDMF file.
struct XdmfField {
  std::string name;     ///< as the viewer shows it
  std::string dataset;  ///< path in the HDF5 file; double precision
};

/// Equally spaced points: origin + i * spacing, 0 <= i < points.
struct XdmfAxis {
  std::size_t points = 0;
  double origin = 0;
  double spacing = 1;
};

/// XML of a 1-D field over time as one picture: data sets [T, d] on a regular mesh, x to the right and t upward.
/// The time axis is shown in its own unit: stretch it in the viewer (Transforming, Scale) if the picture is too long.
std::string xdmf_space_time(const std::string& hdf5_name, const XdmfAxis& time, const XdmfAxis& x,
                            const std::vector<XdmfField>& fields);

/// XML of fields on a regular grid that change in time: data sets [T, nx] (one axis), [T, ny, nx] or [T, nz, ny, nx],
/// with the axes given in the data set's order, slowest first. Time i of the viewer is times[i].
std::string xdmf_collection(const std::string& hdf5_name, const std::vector<double>& times,
                            const std::vector<XdmfAxis>& axes, const std::vector<XdmfField>& fields);

/// Writes the XML to `path`, beside the HDF5 file (same folder: `hdf5_name` has no folder part). Not collective.
/// Throws UserError if it cannot be written.
void write_xdmf_space_time(const std::string& path, const std::string& hdf5_name, const XdmfAxis& time,
                           const XdmfAxis& x, const std::vector<XdmfField>& fields);
void write_xdmf_collection(const std::string& path, const std::string& hdf5_name, const std::vector<double>& times,
                           const std::vector<XdmfAxis>& axes, const std::vector<XdmfField>& fields);

/// "a/b.xdmf" of "a/b.h5".
std::string xdmf_path(const std::string& hdf5_path);

}  // namespace espalier::io
