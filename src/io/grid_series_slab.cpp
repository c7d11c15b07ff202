#include "espalier/io/grid_series_slab.hpp"

#include <algorithm>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "grid_series_format.hpp"

namespace espalier::io {

namespace {

void check_box(const GridSeries& series, const GridBox& box, const std::string& file) {
  Shape grid;
  for (const GridAxis& axis : series.axes) grid.push_back(axis.centres.size());
  bool inside = box.offset.size() == grid.size() && box.count.size() == grid.size();
  for (std::size_t axis = 0; inside && axis < grid.size(); ++axis)
    inside = box.offset[axis] <= grid[axis] && box.count[axis] <= grid[axis] - box.offset[axis];
  ESPALIER_REQUIRE(inside, file + ": the box at " + describe(box.offset) + " of " + describe(box.count) +
                               " cells is not inside the grid of " + describe(grid) +
                               "; choose the cells of a rank from those of the file, slowest axis first");
}

// Begin and number of the indices wanted.
std::pair<std::size_t, std::size_t> resolve(IndexRange range, std::size_t extent, const char* what,
                                            const std::string& file) {
  const std::size_t end = range.end == any_extent ? extent : range.end;
  ESPALIER_REQUIRE(range.begin <= end && end <= extent,
                   file + ": " + what + " " + std::to_string(range.begin) + " to " + std::to_string(end) +
                       " (not included) wanted, there are " + std::to_string(extent));
  return {range.begin, end - range.begin};
}

// The box of a quantity in its data set.
Slab slab_of(const GridSeries& series, const GridQuantity& quantity, const GridBox& box, IndexRange trajectories,
             IndexRange times, const std::string& file) {
  check_box(series, box, file);
  Slab slab;
  bool nothing = false;
  const auto add = [&](bool has, IndexRange range, std::size_t extent, const char* what) {
    nothing = nothing || range.begin == range.end;
    if (!has) return;
    const auto [offset, count] = resolve(range, extent, what, file);
    slab.offset.push_back(offset);
    slab.count.push_back(count);
  };
  add(quantity.by_trajectory, trajectories, series.trajectories, "trajectories");
  add(quantity.by_time, times, series.times.size(), "times");
  slab.offset.insert(slab.offset.end(), box.offset.begin(), box.offset.end());
  slab.count.insert(slab.count.end(), box.count.begin(), box.count.end());
  if (nothing) std::fill(slab.count.begin(), slab.count.end(), 0);
  return slab;
}

GridSeries checked(MPI_Comm comm, GridSeries header, const GridBox& box, const std::string& file) {
  core::agree(comm, [&] {
    validate_header(header, file);
    check_box(header, box, file);
  });
  for (GridQuantity& quantity : header.quantities) quantity.values.clear();
  return header;
}

}  // namespace

GridSeriesWriter::GridSeriesWriter(MPI_Comm comm, const std::string& path, GridSeries header, GridBox box, bool cache)
    : comm_(comm),
      header_(checked(comm, std::move(header), box, path)),
      box_(std::move(box)),
      finite_(cache),
      writer_(comm, path) {
  write_grid_header(writer_, header_, cache, [&](const GridQuantity& quantity) {
    writer_.create<double>(quantity.name, header_.shape(quantity));
  });
}

Slab GridSeriesWriter::slab(const std::string& quantity, IndexRange trajectories, IndexRange times) const {
  return slab_of(header_, header_.quantity(quantity), box_, trajectories, times, writer_.path());
}

void GridSeriesWriter::write(const std::string& quantity, IndexRange trajectories, IndexRange times,
                             const double* values) {
  Slab part;
  core::agree(comm_, [&] {
    part = slab(quantity, trajectories, times);
    const Shape shape = header_.shape(header_.quantity(quantity));
    if (finite_) require_finite(writer_.path(), quantity, shape, part, values);
  });
  writer_.write_slab(quantity, part.offset, part.count, values);
}

void GridSeriesWriter::write(const std::string& quantity, IndexRange trajectories, IndexRange times,
                             const std::vector<double>& values) {
  core::agree(comm_, [&] {
    const std::size_t wanted = elements(slab(quantity, trajectories, times).count);
    ESPALIER_ASSERT(values.size() == wanted, writer_.path() + ": quantity '" + quantity + "' given " +
                                                 std::to_string(values.size()) + " values for " +
                                                 std::to_string(wanted) + " cells, times and trajectories");
  });
  write(quantity, trajectories, times, values.data());
}

void GridSeriesWriter::commit(bool xdmf) {
  const std::string path = writer_.path();
  writer_.commit();
  core::agree(comm_, [&] {
    int rank = 0;
    MPI_Comm_rank(comm_, &rank);
    if (xdmf && rank == 0) write_grid_series_xdmf(path, header_);
  });
}

GridSeriesReader::GridSeriesReader(MPI_Comm comm, const std::string& path) : comm_(comm), reader_(comm, path) {
  core::agree(comm, [&] { header_ = read_grid_header(reader_.file()); });
}

std::vector<double> GridSeriesReader::read(const std::string& quantity, const GridBox& box, IndexRange trajectories,
                                           IndexRange times) const {
  Slab slab;
  std::vector<double> values;
  core::agree(comm_, [&] {
    slab = slab_of(header_, header_.quantity(quantity), box, trajectories, times, reader_.path());
    values.resize(elements(slab.count));
  });
  reader_.read_slab(quantity, slab.offset, slab.count, values.data());
  core::agree(comm_, [&] {
    require_finite(reader_.path(), quantity, header_.shape(header_.quantity(quantity)), slab, values.data());
  });
  return values;
}

}  // namespace espalier::io
