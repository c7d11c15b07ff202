#include "espalier/grid/cell_grid.hpp"

#include <ATen/ATen.h>
#include <petscdmda.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"

namespace espalier::grid {

namespace {

constexpr const char* axis_names[] = {"x", "y", "z"};

bool periodic(const Axis& axis) { return axis.low.type == BoundaryType::periodic; }

void check_axis(const Axis& axis, const char* name, PetscInt stencil_width) {
  const std::string start = std::string("axis ") + name + " of the grid ";
  ESPALIER_REQUIRE(axis.cells >= 2 * stencil_width + 1,
                   start + "has " + std::to_string(axis.cells) + " cells; a stencil of width " +
                       std::to_string(stencil_width) + " needs " + std::to_string(2 * stencil_width + 1) + " or more");
  ESPALIER_REQUIRE(std::isfinite(axis.lower) && std::isfinite(axis.upper) && axis.lower < axis.upper,
                   start + "must end above its beginning");
  ESPALIER_REQUIRE(periodic(axis) == (axis.high.type == BoundaryType::periodic),
                   start + "is periodic at one end only: make both ends periodic, or neither");
  ESPALIER_REQUIRE(std::isfinite(axis.low.value) && std::isfinite(axis.high.value),
                   start + "has a boundary value that is not finite");
}

DMBoundaryType dm_boundary(const Axis& axis) { return periodic(axis) ? DM_BOUNDARY_PERIODIC : DM_BOUNDARY_GHOSTED; }

int size_of(MPI_Comm comm) {
  int size = 1;
  MPI_Comm_size(comm, &size);
  return size;
}

int rank_in(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

void check_shape(const at::Tensor& field, std::int64_t cells, const char* what) {
  ESPALIER_REQUIRE(field.defined() && field.dim() == 2 && field.size(1) == cells,
                   std::string("fields on ") + what + " have the shape [k, " + std::to_string(cells) + "]");
}

}  // namespace

const std::vector<std::string>& boundary_names() {
  static const std::vector<std::string> names = {"periodic", "dirichlet", "neumann", "dirichlet_point"};
  return names;
}

BoundaryType boundary_type(const std::string& name) {
  const auto& names = boundary_names();
  const auto found = std::find(names.begin(), names.end(), name);
  ESPALIER_REQUIRE(found != names.end(),
                   "there is no boundary type \"" + name + "\": choose one of " + core::join(names));
  return static_cast<BoundaryType>(found - names.begin());
}

Axis point_axis(PetscInt points, double lower, double upper, double value) {
  const double half = 0.5 * (upper - lower) / static_cast<double>(points + 1);
  const Boundary end{BoundaryType::dirichlet_point, value};
  return {points, lower + half, upper - half, end, end};
}

CellGrid::CellGrid(MPI_Comm comm, std::vector<Axis> axes, PetscInt stencil_width, PetscInt alignment)
    : axes_(std::move(axes)), stencil_width_(stencil_width), alignment_(alignment) {
  ESPALIER_REQUIRE(!axes_.empty() && axes_.size() <= 3, "a grid has 1, 2 or 3 axes");
  ESPALIER_REQUIRE(stencil_width == 1 || stencil_width == 2, "a grid's stencil has width 1 or 2");
  ESPALIER_REQUIRE(alignment >= 1, "parts of a grid are aligned to one cell or more");
  for (int d = 0; d < dimension(); ++d) {
    check_axis(axis(d), axis_names[d], stencil_width);
    ESPALIER_REQUIRE(axis(d).cells % alignment == 0,
                     std::string("axis ") + axis_names[d] + " of the grid has " + std::to_string(axis(d).cells) +
                         " cells, but must have a multiple of " + std::to_string(alignment) +
                         ", to which the parts of the ranks are aligned");
  }
  ESPALIER_CALL(DMDACreate(comm, dm_.out()));
  parts_ = choose_parts();
  share_out();
  create_dm();
  ESPALIER_CALL(
      DMDAGetCorners(dm_.get(), &corner_[0], &corner_[1], &corner_[2], &extent_[0], &extent_[1], &extent_[2]));
  natural_ = at::empty({local_cells()}, at::kLong);
  auto* natural = natural_.data_ptr<std::int64_t>();
  const std::int64_t columns = axis(0).cells;
  const std::int64_t rows = dimension() > 1 ? axis(1).cells : 1;
  for (PetscInt k = 0; k < extent_[2]; ++k)
    for (PetscInt j = 0; j < extent_[1]; ++j)
      for (PetscInt i = 0; i < extent_[0]; ++i)
        *natural++ = ((corner_[2] + k) * rows + corner_[1] + j) * columns + corner_[0] + i;
  connect_rank_0();
}

// The factors p_x p_y p_z = ranks with the least surface between parts, sum_d (p_d - 1) prod_(e != d) n_e, among those
// that leave every part stencil_width cells along each axis. (PETSc's own choice may fail where there is another.)
std::array<PetscInt, 3> CellGrid::choose_parts() const {
  const PetscInt ranks = size_of(comm());
  std::array<PetscInt, 3> cells = {1, 1, 1};
  for (int d = 0; d < dimension(); ++d) cells[static_cast<std::size_t>(d)] = axis(d).cells;
  const auto fits = [&](std::size_t d, PetscInt parts) {
    return parts == 1 || (d < axes_.size() && cells[d] / alignment_ / parts * alignment_ >= stencil_width_);
  };
  std::array<PetscInt, 3> best = {0, 0, 0};
  double least = 0;
  for (PetscInt z = 1; z <= ranks; ++z)
    for (PetscInt y = 1; ranks % z == 0 && y <= ranks / z; ++y) {
      if (ranks / z % y != 0) continue;
      const PetscInt x = ranks / z / y;
      if (!fits(0, x) || !fits(1, y) || !fits(2, z)) continue;
      const auto n = [&](std::size_t d) { return static_cast<double>(cells[d]); };
      const double surface = (static_cast<double>(x) - 1) * n(1) * n(2) + (static_cast<double>(y) - 1) * n(0) * n(2) +
                             (static_cast<double>(z) - 1) * n(0) * n(1);
      if (best[0] == 0 || surface < least) {
        best = {x, y, z};
        least = surface;
      }
    }
  ESPALIER_REQUIRE(best[0] > 0, "the grid cannot give each of " + std::to_string(ranks) + " ranks " +
                                    std::to_string(std::max(stencil_width_, alignment_)) +
                                    " cells along every axis: take fewer ranks or more cells");
  return best;
}

// As DMDA does it, in units of the alignment: the first parts get one more.
void CellGrid::share_out() {
  PetscInt rank = rank_in(comm());
  for (std::size_t d = 0; d < 3; ++d) {
    part_[d] = rank % parts_[d];
    rank /= parts_[d];
    if (static_cast<int>(d) >= dimension()) continue;
    const PetscInt units = axes_[d].cells / alignment_;
    for (PetscInt p = 0; p < parts_[d]; ++p)
      shares_[d].push_back(alignment_ * (units / parts_[d] + (p < units % parts_[d] ? 1 : 0)));
  }
}

int CellGrid::neighbour(int d, bool high) const {
  if (high ? at_high_boundary(d) : at_low_boundary(d)) return MPI_PROC_NULL;
  const auto axis = static_cast<std::size_t>(d);
  auto part = part_;
  part[axis] = (part[axis] + (high ? 1 : parts_[axis] - 1)) % parts_[axis];
  return static_cast<int>((part[2] * parts_[1] + part[1]) * parts_[0] + part[0]);
}

void CellGrid::create_dm() {
  const auto cells = [&](int d) { return d < dimension() ? axis(d).cells : 1; };
  const auto boundary = [&](int d) { return d < dimension() ? dm_boundary(axis(d)) : DM_BOUNDARY_NONE; };
  DM dm = dm_.get();
  ESPALIER_CALL(DMSetDimension(dm, dimension()));
  ESPALIER_CALL(DMDASetSizes(dm, cells(0), cells(1), cells(2)));
  ESPALIER_CALL(DMDASetNumProcs(dm, parts_[0], parts_[1], parts_[2]));
  ESPALIER_CALL(DMDASetBoundaryType(dm, boundary(0), boundary(1), boundary(2)));
  const auto shares = [&](int d) { return d < dimension() ? shares_[static_cast<std::size_t>(d)].data() : nullptr; };
  ESPALIER_CALL(DMDASetOwnershipRanges(dm, shares(0), shares(1), shares(2)));
  ESPALIER_CALL(DMDASetDof(dm, 1));
  ESPALIER_CALL(DMDASetStencilType(dm, DMDA_STENCIL_STAR));
  ESPALIER_CALL(DMDASetStencilWidth(dm, stencil_width_));
  ESPALIER_CALL(DMSetMatType(dm, MATAIJ));
  ESPALIER_CALL(DMSetUp(dm));
}

// Rank 0 knows from the shares of the ranks along each axis who owns which cell.
void CellGrid::connect_rank_0() {
  ESPALIER_CALL(PetscSFCreate(comm(), to_rank_0_.out()));
  std::vector<PetscSFNode> owners;
  if (rank_in(comm()) == 0) {
    // For each index along an axis: the part, the index in it, and the part's length.
    struct Place {
      PetscInt part, index, length;
    };
    std::array<std::vector<Place>, 3> places;
    for (std::size_t d = 0; d < 3; ++d)
      for (PetscInt part = 0; part < parts_[d]; ++part) {
        const PetscInt length = static_cast<int>(d) < dimension() ? shares_[d][static_cast<std::size_t>(part)] : 1;
        for (PetscInt i = 0; i < length; ++i) places[d].push_back({part, i, length});
      }
    for (const auto& z : places[2])
      for (const auto& y : places[1])
        for (const auto& x : places[0])
          owners.push_back({(z.part * parts_[1] + y.part) * parts_[0] + x.part,
                            (z.index * y.length + y.index) * x.length + x.index});
  }
  ESPALIER_CALL(PetscSFSetGraph(to_rank_0_.get(), static_cast<PetscInt>(local_cells()),
                                static_cast<PetscInt>(owners.size()), nullptr, PETSC_COPY_VALUES, owners.data(),
                                PETSC_COPY_VALUES));
}

MPI_Comm CellGrid::comm() const { return PetscObjectComm(reinterpret_cast<PetscObject>(dm_.get())); }

double CellGrid::spacing(int d) const { return (axis(d).upper - axis(d).lower) / static_cast<double>(axis(d).cells); }

std::int64_t CellGrid::global_cells() const {
  std::int64_t product = 1;
  for (const Axis& axis : axes_) product *= axis.cells;
  return product;
}

std::array<PetscInt, 3> CellGrid::ghosted_extent() const {
  auto extent = extent_;
  for (std::size_t d = 0; d < axes_.size(); ++d) extent[d] += 2 * stencil_width_;
  return extent;
}

bool CellGrid::at_low_boundary(int d) const { return !periodic(axis(d)) && corner_[static_cast<std::size_t>(d)] == 0; }

bool CellGrid::at_high_boundary(int d) const {
  const auto n = static_cast<std::size_t>(d);
  return !periodic(axis(d)) && corner_[n] + extent_[n] == axis(d).cells;
}

// x_i = lower + (i + 1/2) h
at::Tensor CellGrid::centres() const {
  at::Tensor centres = at::empty({local_cells(), dimension()}, at::kDouble);
  auto* entry = centres.data_ptr<double>();
  std::array<PetscInt, 3> cell{};
  for (cell[2] = corner_[2]; cell[2] < corner_[2] + extent_[2]; ++cell[2])
    for (cell[1] = corner_[1]; cell[1] < corner_[1] + extent_[1]; ++cell[1])
      for (cell[0] = corner_[0]; cell[0] < corner_[0] + extent_[0]; ++cell[0])
        for (int d = 0; d < dimension(); ++d)
          *entry++ = axis(d).lower + (static_cast<double>(cell[static_cast<std::size_t>(d)]) + 0.5) * spacing(d);
  return centres;
}

at::Tensor CellGrid::part_of(const at::Tensor& natural) const {
  check_shape(natural, global_cells(), "the whole grid");
  return natural.index_select(1, natural_);
}

at::Tensor CellGrid::scatter_natural(const at::Tensor& natural) const {
  const bool root = rank_in(comm()) == 0;
  core::agree(comm(), [&] {
    if (root) check_shape(natural, global_cells(), "the whole grid");
  });
  std::int64_t fields = root ? natural.size(0) : 0;
  MPI_Bcast(&fields, 1, MPI_INT64_T, 0, comm());
  const at::Tensor whole = root ? natural.to(at::kCPU, at::kDouble).contiguous() : at::empty({fields, 0}, at::kDouble);
  at::Tensor local = at::empty({fields, local_cells()}, at::kDouble);
  for (std::int64_t k = 0; k < fields; ++k) {
    const double* from = whole.data_ptr<double>() + k * whole.size(1);
    double* to = local.data_ptr<double>() + k * local_cells();
    ESPALIER_CALL(PetscSFReduceBegin(to_rank_0_.get(), MPI_DOUBLE, from, to, MPI_REPLACE));
    ESPALIER_CALL(PetscSFReduceEnd(to_rank_0_.get(), MPI_DOUBLE, from, to, MPI_REPLACE));
  }
  return local;
}

at::Tensor CellGrid::gather_natural(const at::Tensor& local) const {
  core::agree(comm(), [&] { check_shape(local, local_cells(), "this rank's part of the grid"); });
  const at::Tensor part = local.to(at::kCPU, at::kDouble).contiguous();
  at::Tensor whole = at::empty({part.size(0), rank_in(comm()) == 0 ? global_cells() : 0}, at::kDouble);
  for (std::int64_t k = 0; k < part.size(0); ++k) {
    const double* from = part.data_ptr<double>() + k * local_cells();
    double* to = whole.data_ptr<double>() + k * whole.size(1);
    ESPALIER_CALL(PetscSFBcastBegin(to_rank_0_.get(), MPI_DOUBLE, from, to, MPI_REPLACE));
    ESPALIER_CALL(PetscSFBcastEnd(to_rank_0_.get(), MPI_DOUBLE, from, to, MPI_REPLACE));
  }
  return whole;
}

}  // namespace espalier::grid
