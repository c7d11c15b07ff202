#include "espalier/grid/halo.hpp"

#include <petscdmda.h>

#include <algorithm>

#include "espalier/core/error.hpp"

namespace espalier::grid {

namespace {

/// A ghost cell that another cell of the grid fills: its place among the ghosted cells, and that cell.
struct Link {
  PetscInt place;
  PetscMPIInt owner;
  PetscInt owners_cells;
  PetscInt cell;  // among the owner's
};

/// The ghost cells along the axes; those beyond physical boundaries have no number and no link.
std::vector<Link> links_of(const CellGrid& grid) {
  ISLocalToGlobalMapping mapping = nullptr;
  const PetscInt* numbers = nullptr;
  petsc::VecHandle model;
  PetscLayout layout = nullptr;
  const PetscInt* starts = nullptr;
  ESPALIER_CALL(DMCreateGlobalVector(grid.dm(), model.out()));
  ESPALIER_CALL(VecGetLayout(model.get(), &layout));
  ESPALIER_CALL(PetscLayoutGetRanges(layout, &starts));
  ESPALIER_CALL(DMGetLocalToGlobalMapping(grid.dm(), &mapping));
  ESPALIER_CALL(ISLocalToGlobalMappingGetIndices(mapping, &numbers));
  const auto ghosted = grid.ghosted_extent();
  std::vector<Link> links;
  PetscInt place = 0;
  std::array<PetscInt, 3> cell{};
  for (cell[2] = 0; cell[2] < ghosted[2]; ++cell[2])
    for (cell[1] = 0; cell[1] < ghosted[1]; ++cell[1])
      for (cell[0] = 0; cell[0] < ghosted[0]; ++cell[0], ++place) {
        int outside = 0;
        for (std::size_t d = 0; static_cast<int>(d) < grid.dimension(); ++d) {
          const PetscInt i = cell[d] - grid.stencil_width();
          outside += i < 0 || i >= grid.extent()[d] ? 1 : 0;
        }
        if (outside != 1 || numbers[place] < 0) continue;
        PetscMPIInt owner = 0;
        ESPALIER_CALL(PetscLayoutFindOwner(layout, numbers[place], &owner));
        links.push_back({place, owner, starts[owner + 1] - starts[owner], numbers[place] - starts[owner]});
      }
  ESPALIER_CALL(ISLocalToGlobalMappingRestoreIndices(mapping, &numbers));
  return links;
}

}  // namespace

Halo::Halo(std::shared_ptr<const CellGrid> grid, std::int64_t samples) : grid_(std::move(grid)), samples_(samples) {
  ESPALIER_ASSERT(grid_ != nullptr && samples >= 0, "a halo needs a grid and a number of samples");
  const auto extent = grid_->ghosted_extent();
  for (std::size_t d = 0; d < 3; ++d) {
    strides_[d] = ghosted_cells_;
    ghosted_cells_ *= extent[d];
    if (static_cast<int>(d) < grid_->dimension()) first_ += grid_->stencil_width() * strides_[d];
  }
  connect();
}

// A rank's part of a batch is [samples, local cells]: cell c of an owner with n cells is entry s n + c in sample s.
void Halo::connect() {
  std::vector<PetscInt> places;
  std::vector<PetscSFNode> sources;
  const auto links = links_of(*grid_);
  for (std::int64_t s = 0; s < samples_; ++s)
    for (const Link& link : links) {
      places.push_back(static_cast<PetscInt>(s * ghosted_cells_) + link.place);
      sources.push_back({link.owner, static_cast<PetscInt>(s) * link.owners_cells + link.cell});
    }
  ESPALIER_CALL(PetscSFCreate(grid_->comm(), exchange_.out()));
  ESPALIER_CALL(PetscSFSetGraph(exchange_.get(), static_cast<PetscInt>(samples_ * grid_->local_cells()),
                                static_cast<PetscInt>(places.size()), places.data(), PETSC_COPY_VALUES, sources.data(),
                                PETSC_COPY_VALUES));
  ESPALIER_CALL(PetscSFSetUp(exchange_.get()));
}

void Halo::fill(const double* state, Beyond beyond, double* buffer) const {
  ESPALIER_CALL(PetscSFBcastBegin(exchange_.get(), MPI_DOUBLE, state, buffer, MPI_REPLACE));
  const auto& extent = grid_->extent();
  const double* row = state;
  for (std::int64_t s = 0; s < samples_; ++s)
    for (PetscInt k = 0; k < extent[2]; ++k)
      for (PetscInt j = 0; j < extent[1]; ++j, row += extent[0])
        std::copy_n(row, extent[0], buffer + s * ghosted_cells_ + first_ + k * strides_[2] + j * strides_[1]);
  ESPALIER_CALL(PetscSFBcastEnd(exchange_.get(), MPI_DOUBLE, state, buffer, MPI_REPLACE));
  for (int d = 0; d < grid_->dimension(); ++d)
    for (const bool high : {false, true})
      if (high ? grid_->at_high_boundary(d) : grid_->at_low_boundary(d))
        for (std::int64_t s = 0; s < samples_; ++s) fill_boundary(d, high, beyond, buffer + s * ghosted_cells_);
}

void Halo::fill_boundary(int d, bool high, Beyond beyond, double* field) const {
  const auto axis = static_cast<std::size_t>(d);
  const Boundary& boundary = high ? grid_->axis(d).high : grid_->axis(d).low;
  const bool point = boundary.type == BoundaryType::dirichlet_point;
  const bool dirichlet = point || boundary.type == BoundaryType::dirichlet;
  std::array<PetscInt, 3> count = grid_->extent();
  const std::int64_t outward = high ? strides_[axis] : -strides_[axis];
  double* last = field + first_ + (high ? (count[axis] - 1) * strides_[axis] : 0);
  count[axis] = 1;
  for (PetscInt layer = 1; layer <= grid_->stencil_width(); ++layer) {
    // Images are mirrored in the boundary face, or in the given point, which has none.
    const std::int64_t mirrored = layer - (point && layer > 1 ? 2 : 1);
    const std::int64_t inner = beyond == Beyond::nearest ? 0 : -mirrored * outward;
    // u_ghost = 2 g - u_in, or u_in + (2 layer - 1) h q
    double factor = beyond == Beyond::zero ? 0 : 1;
    double constant = 0;
    if (dirichlet && beyond != Beyond::nearest) factor = -factor;
    if (beyond == Beyond::values)
      constant =
          dirichlet ? 2 * boundary.value : static_cast<double>(2 * layer - 1) * grid_->spacing(d) * boundary.value;
    if (point && layer == 1 && beyond != Beyond::nearest) {
      factor = 0;
      constant /= 2;
    }
    for (PetscInt k = 0; k < count[2]; ++k)
      for (PetscInt j = 0; j < count[1]; ++j) {
        double* row = last + k * strides_[2] + j * strides_[1];
        for (PetscInt i = 0; i < count[0]; ++i) row[i + layer * outward] = factor * row[i + inner] + constant;
      }
  }
}

}  // namespace espalier::grid
