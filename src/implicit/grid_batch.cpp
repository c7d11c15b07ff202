#include "grid_batch.hpp"

#include <cmath>

namespace espalier::implicit {

void check_periodic(const grid::CellGrid& grid, int dimension, const std::string& what) {
  ESPALIER_REQUIRE(grid.dimension() == dimension, what + " needs a grid with " + std::to_string(dimension) +
                                                      (dimension == 1 ? " axis" : " axes") + ", not " +
                                                      std::to_string(grid.dimension()));
  for (int d = 0; d < dimension; ++d)
    ESPALIER_REQUIRE(grid.axis(d).low.type == grid::BoundaryType::periodic,
                     what + " needs a periodic grid: make both ends of each axis periodic");
}

void check_step(const grid::CellGrid& grid, int dimension, double step, double viscosity, const std::string& equation) {
  const std::string start = "a step of " + equation;
  check_periodic(grid, dimension, start);
  ESPALIER_REQUIRE(std::isfinite(step) && step > 0, start + " needs a positive time step, not " + std::to_string(step));
  ESPALIER_REQUIRE(std::isfinite(viscosity) && viscosity >= 0,
                   start + " needs a viscosity of 0 or more, not " + std::to_string(viscosity));
}

BatchSize::BatchSize(Vec u, const grid::CellGrid& grid, std::int64_t fields) {
  PetscInt local = 0;
  PetscInt global = 0;
  ESPALIER_CALL(VecGetLocalSize(u, &local));
  ESPALIER_CALL(VecGetSize(u, &global));
  length = local;
  total = global;
  samples = total / (fields * grid.global_cells());
  whole =
      samples > 0 && length == samples * fields * grid.local_cells() && total == samples * fields * grid.global_cells();
}

void BatchSize::require_whole(const grid::CellGrid& grid, std::int64_t fields) const {
  ESPALIER_REQUIRE(whole, "a state of " + std::to_string(length) + " entries on this rank, " + std::to_string(total) +
                              " in all, holds no whole samples of " + std::to_string(fields) +
                              " fields on a grid with " + std::to_string(grid.local_cells()) + " and " +
                              std::to_string(grid.global_cells()) + " cells");
}

// Numbers pass through the halo as doubles, which hold them exactly.
SampleRows::SampleRows(const std::shared_ptr<const grid::CellGrid>& grid, int fields)
    : comm_(grid->comm()), rows_(static_cast<PetscInt>(fields * grid->local_cells())) {
  PetscInt end = 0;
  MPI_Scan(&rows_, &end, 1, MPIU_INT, MPI_SUM, comm_);
  std::vector<double> own(static_cast<std::size_t>(rows_));
  for (std::size_t i = 0; i < own.size(); ++i) own[i] = static_cast<double>(end - rows_) + static_cast<double>(i);
  const grid::Halo halo(grid, fields);
  std::vector<double> ghosted(static_cast<std::size_t>(halo.length()), -1);
  halo.fill(own.data(), grid::Beyond::zero, ghosted.data());
  numbers_.assign(ghosted.begin(), ghosted.end());
}

petsc::MatHandle SampleRows::create(PetscInt most) const {
  petsc::MatHandle matrix;
  ESPALIER_CALL(
      MatCreateAIJ(comm_, rows_, rows_, PETSC_DETERMINE, PETSC_DETERMINE, most, nullptr, most, nullptr, matrix.out()));
  return matrix;
}

void SampleRows::begin_row(std::int64_t place) {
  row_ = numbers_[static_cast<std::size_t>(place)];
  columns_.clear();
  values_.clear();
}

void SampleRows::end_row(Mat matrix) {
  ESPALIER_CALL(MatSetValues(matrix, 1, &row_, static_cast<PetscInt>(columns_.size()), columns_.data(), values_.data(),
                             ADD_VALUES));
}

void assemble(Mat matrix) {
  ESPALIER_CALL(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
}

}  // namespace espalier::implicit
