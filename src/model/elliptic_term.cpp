#include "espalier/model/elliptic_term.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

using petsc::Access;
using petsc::TensorView;

at::Tensor zeros_of(std::int64_t samples, const grid::CellGrid& grid) {
  return at::zeros({samples, grid.local_cells()}, at::kDouble);
}

const double* data_of(const at::Tensor& tensor) { return tensor.data_ptr<double>(); }

}  // namespace

EllipticTerm::EllipticTerm(std::shared_ptr<const grid::CellGrid> grid, std::int64_t samples, Rows rows)
    : grid_(std::move(grid)),
      halo_(grid_, samples),
      rows_(rows),
      coefficients_(std::vector<at::Tensor>{zeros_of(samples, *grid_), zeros_of(samples, *grid_)}),
      ghosted_diffusivity_(static_cast<std::size_t>(halo_.length())),
      diagonal_(static_cast<std::size_t>(rows == Rows::divided ? samples * grid_->local_cells() : 0)),
      ghosted_(ghosted_diffusivity_.size()),
      ghosted_w_(ghosted_diffusivity_.size()) {
  for (int d = 0; d < grid_->dimension(); ++d)
    for (const grid::Boundary& end : {grid_->axis(d).low, grid_->axis(d).high}) {
      ESPALIER_REQUIRE(end.type != grid::BoundaryType::dirichlet_point,
                       "diffusion with reaction is for cells, not for grids of points: give it the boundary dirichlet");
      ESPALIER_REQUIRE(end.type != grid::BoundaryType::neumann || end.value == 0,
                       "diffusion with reaction takes Neumann boundaries without flux only: give them the value 0");
    }
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, static_cast<PetscInt>(halo_.length()), like_ghosted_.out()));
}

double EllipticTerm::inverse_area(int d) const { return 1 / (grid_->spacing(d) * grid_->spacing(d)); }

template <class Body>
void EllipticTerm::for_faces(int d, bool high, const Body& body) const {
  for (std::int64_t s = 0; s < samples(); ++s) for_faces_of(s, d, high, body);
}

template <class Body>
void EllipticTerm::for_faces_of(std::int64_t sample, int d, bool high, const Body& body) const {
  const auto axis = static_cast<std::size_t>(d);
  const auto& extent = grid_->extent();
  const auto& strides = halo_.strides();
  const std::int64_t outward = high ? strides[axis] : -strides[axis];
  const PetscInt end = high ? extent[axis] - 1 : 0;
  const bool boundary = high ? grid_->at_high_boundary(d) : grid_->at_low_boundary(d);
  const auto type = (high ? grid_->axis(d).high : grid_->axis(d).low).type;
  const double at_end = !boundary ? 1 : type == grid::BoundaryType::dirichlet ? 2 : 0;
  std::int64_t cell = sample * grid_->local_cells();
  for (PetscInt k = 0; k < extent[2]; ++k)
    for (PetscInt j = 0; j < extent[1]; ++j) {
      const std::int64_t row = sample * halo_.ghosted_cells() + halo_.first() + k * strides[2] + j * strides[1];
      const bool whole_row = (axis == 1 && j == end) || (axis == 2 && k == end);
      for (PetscInt i = 0; i < extent[0]; ++i, ++cell)
        body(cell, row + i, row + i + outward, whole_row || (axis == 0 && i == end) ? at_end : 1);
    }
}

void EllipticTerm::set_coefficients(const at::Tensor& diffusivity, const at::Tensor& reaction) {
  coefficients_.tensors()[0].copy_(diffusivity);
  coefficients_.tensors()[1].copy_(reaction);
  coefficients_.mark_changed();
  core::agree(grid_->comm(), [&] { check_coefficients(); });
  halo_.fill(this->diffusivity(), grid::Beyond::nearest, ghosted_diffusivity_.data());
  if (rows_ == Rows::divided) diagonal(ghosted_diffusivity_.data(), this->reaction(), diagonal_.data());
}

void EllipticTerm::check_coefficients() const {
  const std::int64_t cells = grid_->local_cells();
  for (std::int64_t i = 0; i < samples() * cells; ++i) {
    const double d = diffusivity()[i];
    const double r = reaction()[i];
    if (d > 0 && std::isfinite(d) && std::isfinite(r)) continue;
    int rank = 0;
    MPI_Comm_rank(grid_->comm(), &rank);
    throw NumericalError("the diffusivity and the reaction rate of cell " + std::to_string(i % cells) + " on rank " +
                             std::to_string(rank) + " in sample " + std::to_string(i / cells) + " are " +
                             std::to_string(d) + " and " + std::to_string(r) +
                             "; they must be finite, the diffusivity positive: take smaller steps, or a smaller "
                             "learning rate",
                         __FILE__, __LINE__);
  }
}

// f_i = R_i c_i + sum over faces of (D_i + D_j) / 2 (c_i - c_j) / h^2
void EllipticTerm::multiply(const double* d, const double* r, const double* c, double* f) const {
  for_faces(0, false, [&](std::int64_t i, std::int64_t g, std::int64_t, double) { f[i] = r[i] * c[g]; });
  for (int axis = 0; axis < grid_->dimension(); ++axis)
    for (const bool high : {false, true})
      for_faces(axis, high,
                [&, half = 0.5 * inverse_area(axis)](std::int64_t i, std::int64_t g, std::int64_t n, double) {
                  f[i] += half * (d[g] + d[n]) * (c[g] - c[n]);
                });
}

// R_i + sum over faces of (D_i + D_j) / 2 (1 - dc_j/dc_i) / h^2
void EllipticTerm::diagonal(const double* d, const double* r, double* result) const {
  std::copy_n(r, samples() * grid_->local_cells(), result);
  for (int axis = 0; axis < grid_->dimension(); ++axis)
    for (const bool high : {false, true})
      for_faces(axis, high,
                [&, half = 0.5 * inverse_area(axis)](std::int64_t i, std::int64_t g, std::int64_t n, double factor) {
                  result[i] += half * (d[g] + d[n]) * factor;
                });
}

void EllipticTerm::divide(double* f) const {
  for (std::size_t i = 0; i < diagonal_.size(); ++i) f[i] /= diagonal_[i];
}

void EllipticTerm::apply(double /*t*/, Vec c, Vec f) {
  const at::IntArrayRef shape = coefficients_.tensors()[0].sizes();
  const TensorView argument(c, shape, Access::read);
  const TensorView result(f, shape, Access::write);
  halo_.fill(data_of(argument.tensor()), grid::Beyond::values, ghosted_.data());
  multiply(ghosted_diffusivity_.data(), reaction(), ghosted_.data(), result.tensor().data_ptr<double>());
  divide(result.tensor().data_ptr<double>());
}

/// Products at one c, whose ghosted values are kept for accumulate().
class EllipticTerm::Product : public Linearization {
 public:
  Product(EllipticTerm& term, std::shared_ptr<petsc::VecHandle> c)
      : term_(&term), c_(std::move(c)), version_(term.coefficients_.version()) {}

  // A v, or diag^-1 A v.
  void jvp(Vec v, Vec y) override {
    multiply(v, y);
    if (term_->rows_ == Rows::plain) return;
    const TensorView result(y, shape(), Access::read_write);
    term_->divide(result.tensor().data_ptr<double>());
  }

  // A w, or A diag^-1 w: A is symmetric.
  void vjp(Vec w, Vec c_bar) override {
    if (w_.empty()) ESPALIER_CALL(VecDuplicate(w, w_.out()));
    ESPALIER_CALL(VecCopy(w, w_.get()));
    if (term_->rows_ == Rows::divided) {
      const TensorView scaled(w_.get(), shape(), Access::read_write);
      term_->divide(scaled.tensor().data_ptr<double>());
    }
    multiply(w_.get(), c_bar);
  }

  void accumulate(double alpha) override;
  std::int64_t matrices() const override { return term_->rows_ == Rows::plain ? term_->samples() : 0; }
  long matrices_version() const override { return version_; }
  petsc::MatHandle create_matrix() const override {
    petsc::MatHandle matrix;
    ESPALIER_CALL(DMCreateMatrix(term_->grid_->dm(), matrix.out()));
    return matrix;
  }
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override;

 private:
  at::IntArrayRef shape() const { return term_->coefficients_.tensors()[0].sizes(); }

  void multiply(Vec v, Vec y) {
    ESPALIER_ASSERT(version_ == term_->coefficients_.version(), "a product with coefficients that are gone");
    const TensorView argument(v, shape(), Access::read);
    const TensorView result(y, shape(), Access::write);
    term_->halo_.fill(data_of(argument.tensor()), grid::Beyond::tangents, term_->ghosted_.data());
    term_->multiply(term_->ghosted_diffusivity_.data(), term_->reaction(), term_->ghosted_.data(),
                    result.tensor().data_ptr<double>());
  }
  void accumulate_diagonal(double alpha, const double* c, const double* w, double* d_bar, double* r_bar);

  EllipticTerm* term_;
  std::shared_ptr<petsc::VecHandle> c_;  // ghosted
  petsc::VecHandle w_;                   // of the last vjp, divided like the rows
  long version_;
};

// <w, f> = sum over cells of w R c + sum over faces of (D_i + D_j) / 2 (w_i - w_j) (c_i - c_j) / h^2, so that
// R_bar = w c and D_bar of a cell is half of (w_i - w_j) (c_i - c_j) / h^2 summed over its faces; on a boundary face,
// whose D is that of the cell alone, w_j = -w_i (Dirichlet) makes it whole.
void EllipticTerm::Product::accumulate(double alpha) {
  ESPALIER_ASSERT(!w_.empty(), "accumulate() needs the cotangent of a vjp()");
  EllipticTerm& term = *term_;
  const TensorView w(w_.get(), shape(), Access::read);
  const TensorView ghosted_c(c_->get(), {term.halo_.length()}, Access::read);
  const double* c = data_of(ghosted_c.tensor());
  double* d_bar = term.coefficients_.gradients()[0].data_ptr<double>();
  double* r_bar = term.coefficients_.gradients()[1].data_ptr<double>();
  double* g_w = term.ghosted_w_.data();
  term.halo_.fill(data_of(w.tensor()), grid::Beyond::tangents, g_w);
  term.for_faces(0, false,
                 [&](std::int64_t i, std::int64_t g, std::int64_t, double) { r_bar[i] += alpha * g_w[g] * c[g]; });
  for (int axis = 0; axis < term.grid_->dimension(); ++axis)
    for (const bool high : {false, true})
      term.for_faces(
          axis, high,
          [&, half = 0.5 * alpha * term.inverse_area(axis)](std::int64_t i, std::int64_t g, std::int64_t n, double) {
            d_bar[i] += half * (g_w[g] - g_w[n]) * (c[g] - c[n]);
          });
  if (term.rows_ == Rows::divided) accumulate_diagonal(alpha, c, data_of(w.tensor()), d_bar, r_bar);
}

// f = diag^-1 F: diag_bar = -w f / diag, in which w / diag is what vjp() kept; then through diag to D and R.
void EllipticTerm::Product::accumulate_diagonal(double alpha, const double* c, const double* w, double* d_bar,
                                                double* r_bar) {
  EllipticTerm& term = *term_;
  Field diagonal_bar(term.diagonal_.size());
  term.multiply(term.ghosted_diffusivity_.data(), term.reaction(), c, diagonal_bar.data());
  term.divide(diagonal_bar.data());
  for (std::size_t i = 0; i < diagonal_bar.size(); ++i) {
    diagonal_bar[i] *= -alpha * w[i];
    r_bar[i] += diagonal_bar[i];
  }
  double* b = term.ghosted_w_.data();
  term.halo_.fill(diagonal_bar.data(), grid::Beyond::nearest, b);
  for (int axis = 0; axis < term.grid_->dimension(); ++axis)
    for (const bool high : {false, true})
      term.for_faces(
          axis, high,
          [&, half = 0.5 * term.inverse_area(axis)](std::int64_t i, std::int64_t g, std::int64_t n, double factor) {
            d_bar[i] += half * (b[g] + b[n]) * factor;
          });
}

void EllipticTerm::Product::add_to_matrix(std::int64_t k, double scale, Mat matrix) const {
  const EllipticTerm& term = *term_;
  const std::int64_t start = k * term.halo_.ghosted_cells();
  const double* d = term.ghosted_diffusivity_.data();
  for (int axis = 0; axis < term.grid_->dimension(); ++axis)
    for (const bool high : {false, true})
      term.for_faces_of(
          k, axis, high,
          [&, half = 0.5 * term.inverse_area(axis)](std::int64_t i, std::int64_t g, std::int64_t n, double factor) {
            const double t = half * (d[g] + d[n]);
            const double reaction = axis == 0 && !high ? term.reaction()[i] : 0;
            const std::array<PetscInt, 2> columns = {static_cast<PetscInt>(g - start),
                                                     static_cast<PetscInt>(n - start)};
            const std::array<PetscScalar, 2> values = {scale * (t * factor + reaction), -scale * t};
            // No column beyond a boundary.
            const PetscInt count = factor == 1 ? 2 : 1;
            ESPALIER_CALL(
                MatSetValuesLocal(matrix, 1, columns.data(), count, columns.data(), values.data(), ADD_VALUES));
          });
  ESPALIER_CALL(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
}

std::shared_ptr<Linearization> EllipticTerm::linearize(double /*t*/, Vec c) {
  auto ghosted = pool_.take(like_ghosted_.get());
  const TensorView argument(c, coefficients_.tensors()[0].sizes(), Access::read);
  const TensorView result(ghosted->get(), {halo_.length()}, Access::write);
  halo_.fill(data_of(argument.tensor()), grid::Beyond::values, result.tensor().data_ptr<double>());
  return std::make_shared<Product>(*this, std::move(ghosted));
}

// f = F / diag: f_tan = (F_tan - f diag_tan) / diag.
void EllipticTerm::apply_tangent(Vec c, const at::Tensor& d_tan, const at::Tensor& r_tan, Vec f_tan) {
  const at::IntArrayRef shape = coefficients_.tensors()[0].sizes();
  const TensorView argument(c, shape, Access::read);
  const TensorView result(f_tan, shape, Access::write);
  const at::Tensor d = d_tan.contiguous();
  const at::Tensor r = r_tan.contiguous();
  auto* f = result.tensor().data_ptr<double>();
  halo_.fill(data_of(d), grid::Beyond::nearest, ghosted_w_.data());
  halo_.fill(data_of(argument.tensor()), grid::Beyond::values, ghosted_.data());
  multiply(ghosted_w_.data(), data_of(r), ghosted_.data(), f);
  if (rows_ == Rows::plain) return;
  Field value(diagonal_.size());
  Field diagonal_tan(diagonal_.size());
  multiply(ghosted_diffusivity_.data(), reaction(), ghosted_.data(), value.data());
  divide(value.data());
  diagonal(ghosted_w_.data(), data_of(r), diagonal_tan.data());
  for (std::size_t i = 0; i < value.size(); ++i) f[i] -= value[i] * diagonal_tan[i];
  divide(f);
}

}  // namespace espalier::model
