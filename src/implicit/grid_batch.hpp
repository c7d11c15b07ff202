// What steps on periodic grids share: batches by number of samples, matrices of one sample.
#pragma once

#include <petscmat.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/halo.hpp"
#include "espalier/petsc/handle.hpp"
#include "espalier/petsc/vec_arrays.hpp"

namespace espalier::implicit {

using petsc::ReadArray;
using petsc::WriteArray;

/// Throws UserError unless the grid has `dimension` axes, all periodic. `what` begins the message.
void check_periodic(const grid::CellGrid& grid, int dimension, const std::string& what);

/// Throws UserError unless the grid has `dimension` axes, all periodic, the time step is positive and the viscosity not
/// negative. `equation`: for the message.
void check_step(const grid::CellGrid& grid, int dimension, double step, double viscosity, const std::string& equation);

/// Samples of `fields` fields in a state, by its global size; `whole`: this rank holds its part of each of them.
struct BatchSize {
  BatchSize(Vec u, const grid::CellGrid& grid, std::int64_t fields);
  /// Throws UserError unless whole.
  void require_whole(const grid::CellGrid& grid, std::int64_t fields) const;

  std::int64_t length;
  std::int64_t total;
  std::int64_t samples;
  bool whole;
};

/// One Batch for each number of samples, made when a state with that many comes for the first time.
template <class Batch>
class Batches {
 public:
  explicit Batches(std::shared_ptr<const grid::CellGrid> grid) : grid_(std::move(grid)) {}

  /// Throws UserError on all ranks when u does not hold whole samples. Collective.
  std::shared_ptr<Batch> of(Vec u) {
    const BatchSize size(u, *grid_, Batch::fields);
    const auto known = batches_.find(size.samples);
    if (known != batches_.end()) {
      size.require_whole(*grid_, Batch::fields);
      return known->second;
    }
    // A new number of samples: all ranks come here together.
    core::agree(grid_->comm(), [&] { size.require_whole(*grid_, Batch::fields); });
    return batches_[size.samples] = std::make_shared<Batch>(grid_, size.samples);
  }

 private:
  std::shared_ptr<const grid::CellGrid> grid_;
  std::map<std::int64_t, std::shared_ptr<Batch>> batches_;
};

/// The matrix of one sample of several fields, MATAIJ: this rank's rows are its part of the sample, [fields, local
/// cells]. Places of rows and columns are those of ghosted cells, [fields, ghosted cells].
class SampleRows {
 public:
  /// Collective.
  SampleRows(const std::shared_ptr<const grid::CellGrid>& grid, int fields);

  /// Empty, with room for `most` entries in each row. Collective.
  petsc::MatHandle create(PetscInt most) const;
  /// Collects entries of the row at `place`.
  void begin_row(std::int64_t place);
  void add(std::int64_t place, double value) {
    columns_.push_back(numbers_[static_cast<std::size_t>(place)]);
    values_.push_back(value);
  }
  /// matrix += the row.
  void end_row(Mat matrix);

 private:
  MPI_Comm comm_;
  PetscInt rows_;
  PetscInt row_ = 0;
  std::vector<PetscInt> numbers_;
  std::vector<PetscInt> columns_;
  std::vector<PetscScalar> values_;
};

void assemble(Mat matrix);

}  // namespace espalier::implicit
