#include "espalier/train/grid_states.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/core/machine.hpp"

namespace espalier::train {

namespace {

constexpr double time_tolerance = 1e-9;

std::int64_t index_of(const io::GridSeries& data, double t, const std::string& option) {
  for (std::size_t i = 0; i < data.times.size(); ++i)
    if (std::abs(data.times[i] - t) <= time_tolerance * (1 + std::abs(t))) return static_cast<std::int64_t>(i);
  throw UserError(option + ": the data have no state at time " + io::describe(io::Attribute(t)) + ", only from " +
                      io::describe(io::Attribute(data.times.front())) + " to " +
                      io::describe(io::Attribute(data.times.back())) +
                      " at the times of the file's data set 'time'; see -data_interval and -data_horizon",
                  __FILE__, __LINE__);
}

at::Tensor sum_of_cells(MPI_Comm comm, const at::Tensor& values) {
  at::Tensor sums = values.sum(-1).contiguous();
  MPI_Allreduce(MPI_IN_PLACE, sums.data_ptr<double>(), static_cast<int>(sums.numel()), MPI_DOUBLE, MPI_SUM, comm);
  return sums;
}

}  // namespace

std::vector<std::int64_t> indices_of(const io::GridSeries& data, const std::vector<double>& times,
                                     const std::string& option) {
  ESPALIER_REQUIRE(!times.empty(), option + ": at least one time is needed");
  std::vector<std::int64_t> indices = {0};
  for (const double t : times) {
    const std::int64_t i = index_of(data, t, option);
    ESPALIER_REQUIRE(i > indices.back(), option + ": times must be positive and increase");
    indices.push_back(i);
  }
  return indices;
}

std::vector<double> times_at(const io::GridSeries& data, const std::vector<std::int64_t>& indices) {
  std::vector<double> times;
  for (const std::int64_t i : indices) times.push_back(data.times[static_cast<std::size_t>(i)]);
  return times;
}

at::Tensor local_part(const io::GridSeries& data, const io::GridQuantity& quantity, const grid::CellGrid& grid) {
  const auto cells = static_cast<std::int64_t>(data.cells());
  ESPALIER_REQUIRE(cells == grid.global_cells(), data.name + ": the data have " + std::to_string(cells) +
                                                     " cells, the grid " + std::to_string(grid.global_cells()));
  std::vector<std::int64_t> shape;
  if (quantity.by_trajectory) shape.push_back(static_cast<std::int64_t>(data.trajectories));
  if (quantity.by_time) shape.push_back(static_cast<std::int64_t>(data.times.size()));
  shape.push_back(grid.local_cells());
  const auto rows = static_cast<std::int64_t>(quantity.values.size()) / cells;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): torch has no read-only tensors; part_of() copies.
  auto* values = const_cast<double*>(quantity.values.data());
  return grid.part_of(at::from_blob(values, {rows, cells}, at::kDouble)).view(shape);
}

at::Tensor relative_l1_errors(MPI_Comm comm, const at::Tensor& prediction, const at::Tensor& truth) {
  return sum_of_cells(comm, (prediction - truth).abs()) / sum_of_cells(comm, truth.abs());
}

at::Tensor relative_l2_errors(MPI_Comm comm, const at::Tensor& prediction, const at::Tensor& truth) {
  return (sum_of_cells(comm, (prediction - truth).square()) / sum_of_cells(comm, truth.square())).sqrt();
}

void report_peak_memory(core::Session& session) {
  double peak = core::peak_memory_mb();
  MPI_Allreduce(MPI_IN_PLACE, &peak, 1, MPI_DOUBLE, MPI_MAX, session.comm());
  session.report().metric("peak_rss_mb", peak);
}

}  // namespace espalier::train
