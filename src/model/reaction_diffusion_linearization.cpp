// Products with the derivatives of ReactionDiffusionTerm, and its matrices.
#include <petscdmda.h>

#include "espalier/petsc/matrix_fields.hpp"
#include "reaction_diffusion_implementation.hpp"

namespace espalier::model {

namespace {

/// du_ghost/du_in at one end of an axis.
double reflection_of(const grid::Boundary& end) {
  switch (end.type) {
    case grid::BoundaryType::dirichlet:
      return -1;
    case grid::BoundaryType::neumann:
      return 1;
    default:
      return 0;
  }
}

/// The columns of a sample's matrix: ranks one after another, on each of them field after field.
class Columns {
 public:
  Columns(const grid::CellGrid& grid, std::size_t fields) : fields_(static_cast<PetscInt>(fields)) {
    ESPALIER_CALL(DMCreateGlobalVector(grid.dm(), model_.out()));
    ESPALIER_CALL(VecGetLayout(model_.get(), &layout_));
    ESPALIER_CALL(PetscLayoutGetRanges(layout_, &starts_));
    ESPALIER_CALL(DMGetLocalToGlobalMapping(grid.dm(), &mapping_));
    ESPALIER_CALL(ISLocalToGlobalMappingGetIndices(mapping_, &numbers_));
  }
  ~Columns() { (void)ISLocalToGlobalMappingRestoreIndices(mapping_, &numbers_); }
  Columns(const Columns&) = delete;
  Columns& operator=(const Columns&) = delete;

  /// Field `field` of a ghosted cell; negative beyond a boundary that is not periodic.
  PetscInt of(std::size_t field, std::int64_t ghosted_cell) const {
    const PetscInt number = numbers_[ghosted_cell];
    if (number < 0) return -1;
    PetscMPIInt owner = 0;
    ESPALIER_CALL(PetscLayoutFindOwner(layout_, number, &owner));
    const PetscInt start = starts_[owner];
    const PetscInt cells = starts_[owner + 1] - start;
    return fields_ * start + static_cast<PetscInt>(field) * cells + number - start;
  }

 private:
  PetscInt fields_;
  petsc::VecHandle model_;
  PetscLayout layout_ = nullptr;
  const PetscInt* starts_ = nullptr;
  ISLocalToGlobalMapping mapping_ = nullptr;
  const PetscInt* numbers_ = nullptr;
};

}  // namespace

ReactionDiffusionTerm::Entries::Entries(const grid::CellGrid& grid, const Stencil& stencil)
    : diagonal(stencil.fields * static_cast<std::size_t>(stencil.cells), 0.0) {
  const Columns column(grid, stencil.fields);
  const auto ghosted = [&](std::int64_t cell) {
    return stencil.origin + cell % stencil.extent[0] +
           cell / stencil.extent[0] % stencil.extent[1] * stencil.strides[1] +
           cell / stencil.extent[0] / stencil.extent[1] * stencil.strides[2];
  };
  const auto add = [&](PetscInt row, PetscInt col) {
    rows.push_back(row);
    columns.push_back(col);
  };
  // Neighbours: D_i / h^2, and -D_i / h^2 on the diagonal; beyond a boundary u_ghost = reflection u_in + constant.
  for (std::size_t i = 0; i < stencil.fields; ++i)
    for (std::int64_t cell = 0; stencil.diffusivities[i] > 0 && cell < stencil.cells; ++cell) {
      double& centre = diagonal[i * static_cast<std::size_t>(stencil.cells) + static_cast<std::size_t>(cell)];
      const std::int64_t place = ghosted(cell);
      const PetscInt row = column.of(i, place);
      for (std::size_t d = 0; d < stencil.dimension; ++d)
        for (const bool high : {false, true}) {
          const double weight = stencil.diffusivities[i] * stencil.inverse_area[d];
          const PetscInt neighbour = column.of(i, place + (high ? stencil.strides[d] : -stencil.strides[d]));
          const grid::Axis& axis = grid.axis(static_cast<int>(d));
          centre -= weight;
          if (neighbour >= 0) {
            add(row, neighbour);
            neighbours.push_back(weight);
          } else {
            centre += weight * reflection_of(high ? axis.high : axis.low);
          }
        }
    }
  const auto add_pair = [&](std::size_t i, std::size_t j) {
    for (std::int64_t cell = 0; cell < stencil.cells; ++cell)
      add(column.of(i, ghosted(cell)), column.of(j, ghosted(cell)));
  };
  for (std::size_t i = 0; i < stencil.fields; ++i) add_pair(i, i);
  for (std::size_t i = 0; i < stencil.fields; ++i)
    for (std::size_t j = 0; j < stencil.fields; ++j)
      if (i != j && stencil.pair(i, j) >= 0) add_pair(i, j);
  values.resize(rows.size());
}

petsc::MatHandle ReactionDiffusionTerm::Entries::create_matrix(const grid::CellGrid& grid,
                                                               const std::vector<std::string>& names) const {
  petsc::MatHandle matrix;
  const auto local = static_cast<PetscInt>(diagonal.size());
  ESPALIER_CALL(MatCreate(grid.comm(), matrix.out()));
  ESPALIER_CALL(MatSetSizes(matrix.get(), local, local, PETSC_DETERMINE, PETSC_DETERMINE));
  ESPALIER_CALL(MatSetType(matrix.get(), MATAIJ));
  // It reorders what it is given.
  std::vector<PetscInt> i = rows;
  std::vector<PetscInt> j = columns;
  ESPALIER_CALL(MatSetPreallocationCOO(matrix.get(), static_cast<PetscCount>(i.size()), i.data(), j.data()));
  const std::vector<double> zeros(values.size(), 0.0);
  ESPALIER_CALL(MatSetValuesCOO(matrix.get(), zeros.data(), INSERT_VALUES));
  petsc::set_fields(matrix.get(), names);
  return matrix;
}

void ReactionDiffusionTerm::Entries::evaluate(const Stencil& stencil, double shift, double scale, const double* r) {
  const std::int64_t cells = stencil.cells;
  double* value = values.data();
  if (scale != scaled_)
    for (std::size_t n = 0; n < neighbours.size(); ++n) value[n] = scale * neighbours[n];
  scaled_ = scale;
  value += neighbours.size();
  for (std::size_t i = 0; i < stencil.fields; ++i, value += cells) {
    const double* diffusion = diagonal.data() + stencil.row(i);
    const std::int64_t pair = stencil.pair(i, i);
    for (std::int64_t c = 0; c < cells; ++c)
      value[c] = shift + scale * (diffusion[c] + (pair >= 0 ? r[pair * cells + c] : 0));
  }
  for (std::size_t i = 0; i < stencil.fields; ++i)
    for (std::size_t j = 0; j < stencil.fields; ++j) {
      const std::int64_t pair = stencil.pair(i, j);
      if (i == j || pair < 0) continue;
      for (std::int64_t c = 0; c < cells; ++c) value[c] = scale * r[pair * cells + c];
      value += cells;
    }
}

ReactionDiffusionTerm::Entries& ReactionDiffusionTerm::entries() {
  if (!entries_) entries_ = std::make_unique<Entries>(*grid_, *stencil_);
  return *entries_;
}

namespace {

/// dR_i/du_j of the samples, or those that all of them share.
class SampleDerivatives {
 public:
  SampleDerivatives(const petsc::VecHandle* own, const std::vector<double>& shared, std::int64_t length)
      : shared_(shared.data()), length_(length) {
    if (own != nullptr) own_ = std::make_unique<ReadArray>(own->get());
  }
  const double* of(std::int64_t sample) const { return own_ ? own_->data() + sample * length_ : shared_; }

 private:
  std::unique_ptr<ReadArray> own_;
  const double* shared_;
  std::int64_t length_;
};

// y += r u
void add_product(std::int64_t n, const double* __restrict__ r, const double* __restrict__ u, double* __restrict__ y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += r[i] * u[i];
}

}  // namespace

// y_i = D_i Laplace v_i + sum over j of dR_i/du_j v_j. The Laplacian is symmetric, its boundaries among it: its
// transpose takes the same ghosts.
template <bool transposed>
void ReactionDiffusionTerm::Product::multiply(Vec v, Vec y) const {
  const Stencil& stencil = *term_->stencil_;
  const std::int64_t sample = term_->fields() * stencil.cells;
  const SampleDerivatives derivatives(derivatives_.get(), stencil.constant, stencil.pair_count * stencil.cells);
  const ReadArray argument(v);
  const double* ghosted = batch_->fill(argument.data(), grid::Beyond::tangents);
  const WriteArray result(y);
  for (std::int64_t s = 0; s < batch_->samples; ++s)
    stencil.for_blocks([&](const CellBlock& block) {
      const double* r = derivatives.of(s) + block.first;
      const double* in = argument.data() + s * sample + block.first;
      for (std::size_t i = 0; i < stencil.fields; ++i) {
        double* out = result.data() + s * sample + stencil.row(i) + block.first;
        stencil.multiply(i, block, stencil.ghosted_field(ghosted, s, i), out);
        for (std::size_t j = 0; j < stencil.fields; ++j) {
          const std::int64_t pair = transposed ? stencil.pair(j, i) : stencil.pair(i, j);
          if (pair >= 0) add_product(block.cells, r + pair * stencil.cells, in + stencil.row(j), out);
        }
      }
    });
}

void ReactionDiffusionTerm::Product::jvp(Vec v, Vec y) {
  ESPALIER_ASSERT(term_->batch_of(v) == batch_ && term_->batch_of(y) == batch_,
                  "a tangent has another number of samples than the state");
  multiply<false>(v, y);
}

void ReactionDiffusionTerm::Product::vjp(Vec w, Vec u_bar) {
  ESPALIER_ASSERT(term_->batch_of(w) == batch_ && term_->batch_of(u_bar) == batch_,
                  "a cotangent has another number of samples than the state");
  multiply<true>(w, u_bar);
}

petsc::MatHandle ReactionDiffusionTerm::Product::create_matrix() const {
  return term_->entries().create_matrix(*term_->grid_, term_->names());
}

void ReactionDiffusionTerm::Product::set_values(std::int64_t k, double shift, double scale, Mat matrix,
                                                InsertMode mode) const {
  const Stencil& stencil = *term_->stencil_;
  const SampleDerivatives derivatives(derivatives_.get(), stencil.constant, stencil.pair_count * stencil.cells);
  Entries& entries = term_->entries();
  entries.evaluate(stencil, shift, scale, derivatives.of(k));
  ESPALIER_CALL(MatSetValuesCOO(matrix, entries.values.data(), mode));
}

void ReactionDiffusionTerm::Product::add_to_matrix(std::int64_t k, double scale, Mat matrix) const {
  set_values(k, 0, scale, matrix, ADD_VALUES);
}

void ReactionDiffusionTerm::Product::write_matrix(std::int64_t k, double shift, double scale, Mat matrix) const {
  set_values(k, shift, scale, matrix, INSERT_VALUES);
}

}  // namespace espalier::model
