// What experiments with states on a grid share: the rank's part of a data file, and how far predictions are from it.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/core/session.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/io/grid_series.hpp"

namespace espalier::train {

/// Indices of 0 and then of `times` among those of the data. Throws UserError, beginning with the name of the `option`,
/// when the data hold no such time, or the times do not increase.
std::vector<std::int64_t> indices_of(const io::GridSeries& data, const std::vector<double>& times,
                                     const std::string& option);

/// The data's times at these indices.
std::vector<double> times_at(const io::GridSeries& data, const std::vector<std::int64_t>& indices);

/// This rank's part of a quantity, [R, T, local cells] without the extents that it does not have. Throws UserError when
/// the data are of another number of cells than the grid.
at::Tensor local_part(const io::GridSeries& data, const io::GridQuantity& quantity, const grid::CellGrid& grid);

/// |prediction - truth|_1 / |truth|_1 over the cells of all ranks (the last dimension), for each row. Collective.
at::Tensor relative_l1_errors(MPI_Comm comm, const at::Tensor& prediction, const at::Tensor& truth);
/// The same in the L2 norm.
at::Tensor relative_l2_errors(MPI_Comm comm, const at::Tensor& prediction, const at::Tensor& truth);

/// The metric peak_rss_mb: the largest rank's peak so far. Collective.
void report_peak_memory(core::Session& session);

}  // namespace espalier::train
