// Grid series (io/grid_series.hpp) that all ranks of a communicator write and read together, each its box of the grid:
// a generator writes snapshot by snapshot, and no rank ever holds the whole. The files are the same as those of
// write_grid_series and read_grid_series, whatever the number of ranks.
//
// All is collective, constructors and destructors too; what is wrong on one rank is thrown on all.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <string>
#include <vector>

#include "espalier/io/grid_series.hpp"
#include "espalier/io/parallel_hdf5.hpp"

namespace espalier::io {

/// Cells of one rank: first cell and number of cells for each axis, slowest first, like GridSeries::axes. An extent of
/// 0 means none.
using GridBox = Slab;

/// Indices begin .. end - 1 of trajectories or of times; end = any_extent means all from begin on.
struct IndexRange {
  std::size_t begin = 0;
  std::size_t end = any_extent;
};

class GridSeriesWriter {
 public:
  /// Creates `path.part` with all but the values of the quantities. `header`: the same on every rank, its quantities
  /// without values. `box`: this rank's cells; those of all ranks make up the grid. `cache` as in write_grid_series.
  /// Throws UserError if the header makes no sense (validate), the box is not inside the grid or the file cannot be
  /// made.
  GridSeriesWriter(MPI_Comm comm, const std::string& path, GridSeries header, GridBox box, bool cache = false);

  /// Writes this rank's values of a quantity: [trajectories, times, cells of the box], x fastest. Ranges may differ
  /// from rank to rank; an empty one, begin = end, means that this rank writes nothing. Where the quantity has no
  /// trajectories or no times, that range counts as one unless it is empty. In a cache values that are not finite are
  /// refused.
  void write(const std::string& quantity, IndexRange trajectories, IndexRange times, const double* values);
  /// The same, with the count of values checked.
  void write(const std::string& quantity, IndexRange trajectories, IndexRange times, const std::vector<double>& values);

  /// Completes the file and gives it its name; with `xdmf` the file for ParaView beside it. Throws UserError if values
  /// are missing: then, as without commit(), nothing is left and an older file stays.
  void commit(bool xdmf = false);

 private:
  Slab slab(const std::string& quantity, IndexRange trajectories, IndexRange times) const;

  MPI_Comm comm_;
  GridSeries header_;
  GridBox box_;
  bool finite_;
  ParallelHdf5Writer writer_;
};

class GridSeriesReader {
 public:
  /// Opens the file and reads all but the values of the quantities.
  GridSeriesReader(MPI_Comm comm, const std::string& path);

  /// The series without values of its quantities, validated.
  const GridSeries& header() const { return header_; }

  /// This rank's values of a quantity: [trajectories, times, cells of the box], x fastest, without the extents that the
  /// quantity does not have. Boxes and ranges may differ from rank to rank and may overlap; an empty range, or box,
  /// means no values. Throws UserError if a value is not finite.
  std::vector<double> read(const std::string& quantity, const GridBox& box, IndexRange trajectories = {},
                           IndexRange times = {}) const;

 private:
  MPI_Comm comm_;
  ParallelHdf5Reader reader_;
  GridSeries header_;
};

}  // namespace espalier::io
