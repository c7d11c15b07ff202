// Products with the derivatives of FiniteVolumeTerm, and its matrices.
#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "finite_volume_implementation.hpp"

namespace espalier::model {

namespace {

/// What one axis adds to a row of cells: derivatives by_u[m] of the faces on the lower side, the faces on the upper
/// side `face_stride` further, neighbours along the axis at `stride`.
struct AxisRow {
  std::int64_t count;
  std::int64_t stride;
  std::int64_t face_stride;
  std::array<const double*, 4> by_u;
};

// y_i (+)= a_(i-1/2) v_(i-1) + (b_(i-1/2) - a_(i+1/2)) v_i - b_(i+1/2) v_(i+1), with a, b by left and right state, or
// the transpose a_(i+1/2) (v_(i+1) - v_i) + b_(i-1/2) (v_i - v_(i-1)).
template <bool transposed, bool add>
void multiply_two(const AxisRow& row, const double* __restrict__ v, double* __restrict__ y) {
  const std::int64_t s = row.stride;
  const double* __restrict__ a = row.by_u[0];
  const double* __restrict__ b = row.by_u[1];
  const double* __restrict__ a_up = a + row.face_stride;
  const double* __restrict__ b_up = b + row.face_stride;
  for (std::int64_t i = 0; i < row.count; ++i) {
    const double sum = transposed ? a_up[i] * (v[i + s] - v[i]) + b[i] * (v[i] - v[i - s])
                                  : a[i] * v[i - s] + (b[i] - a_up[i]) * v[i] - b_up[i] * v[i + s];
    y[i] = add ? y[i] + sum : sum;
  }
}

// The same with a, b, c, d by the states left-left, left, right, right-right; in the transpose cell i is left-left of
// the face i + 3/2 and right-right of i - 3/2.
template <bool transposed, bool add>
void multiply_four(const AxisRow& row, const double* __restrict__ v, double* __restrict__ y) {
  const std::int64_t s = row.stride;
  const std::int64_t f = row.face_stride;
  const auto [a, b, c, d] = row.by_u;
  for (std::int64_t i = 0; i < row.count; ++i) {
    const double sum = transposed ? a[i + 2 * f] * (v[i + 2 * s] - v[i + s]) + b[i + f] * (v[i + s] - v[i]) +
                                        c[i] * (v[i] - v[i - s]) + d[i - f] * (v[i - s] - v[i - 2 * s])
                                  : a[i] * v[i - 2 * s] + (b[i] - a[i + f]) * v[i - s] + (c[i] - b[i + f]) * v[i] +
                                        (d[i] - c[i + f]) * v[i + s] - d[i + f] * v[i + 2 * s];
    y[i] = add ? y[i] + sum : sum;
  }
}

template <bool transposed>
void multiply_row(const AxisRow& row, int states, bool add, const double* v, double* y) {
  if (states == 2)
    add ? multiply_two<transposed, true>(row, v, y) : multiply_two<transposed, false>(row, v, y);
  else
    add ? multiply_four<transposed, true>(row, v, y) : multiply_four<transposed, false>(row, v, y);
}

}  // namespace

/// (dPhi/du) / h of a sample's faces.
class FiniteVolumeTerm::Product::Derivatives {
 public:
  explicit Derivatives(const Product& product) : shared_(product.coefficients_->derivatives.data()) {
    if (!product.derivatives_) return;
    own_.emplace(product.derivatives_->get());
    length_ = product.term_->discretisation_->total;
  }
  const double* of(std::int64_t sample) const { return own_ ? own_->data() + sample * length_ : shared_; }

 private:
  const double* shared_;
  std::optional<ReadArray> own_;
  std::int64_t length_ = 0;
};

template <bool transposed>
void FiniteVolumeTerm::Product::multiply(const double* v, double* y) const {
  const Discretisation& faces = *term_->discretisation_;
  const Derivatives derivatives(*this);
  for (std::int64_t sample = 0; sample < batch_->samples(); ++sample) {
    const double* by_u = derivatives.of(sample);
    const double* field = v + sample * batch_->halo.ghosted_cells() + batch_->halo.first();
    for (std::int64_t k = 0; k < faces.extent[2]; ++k)
      for (std::int64_t j = 0; j < faces.extent[1]; ++j, y += faces.extent[0])
        for (std::size_t d = 0; d < faces.dimension; ++d) {
          AxisRow row{faces.extent[0], faces.ghosted_stride[d], faces.stride[d][d], {}};
          for (int m = 0; m < faces.scheme.states; ++m)
            row.by_u[static_cast<std::size_t>(m)] = by_u + faces.derivatives(d, m) + faces.face(d, j, k);
          const double* cells = field + j * faces.ghosted_stride[1] + k * faces.ghosted_stride[2];
          multiply_row<transposed>(row, faces.scheme.states, d > 0, cells, y);
        }
  }
}

void FiniteVolumeTerm::Product::jvp(Vec v, Vec y) {
  ESPALIER_ASSERT(term_->batch_of(v) == batch_ && term_->batch_of(y) == batch_,
                  "a tangent has another number of samples than the state");
  const WriteArray work(batch_->work.get());
  const ReadArray tangent(v);
  batch_->halo.fill(tangent.data(), grid::Beyond::tangents, work.data());
  const WriteArray result(y);
  multiply<false>(work.data(), result.data());
}

void FiniteVolumeTerm::Product::vjp(Vec w, Vec u_bar) {
  ESPALIER_ASSERT(term_->batch_of(w) == batch_ && term_->batch_of(u_bar) == batch_,
                  "a cotangent has another number of samples than the state");
  if (u_ && !w_) w_ = batch_->ghosted_pool.take(batch_->work.get());
  const WriteArray ghosted(u_ ? w_->get() : batch_->work.get());
  const ReadArray cotangent(w);
  batch_->halo.fill(cotangent.data(), grid::Beyond::zero, ghosted.data());
  const WriteArray result(u_bar);
  multiply<true>(ghosted.data(), result.data());
}

// <w, f> = sum over faces and samples of Phi (w_right - w_left) / h, so that c_bar of a face's coefficient is
// dPhi/dc (w_right - w_left) / h; half of it belongs to each cell, beyond a boundary to the same cell again.
void FiniteVolumeTerm::Product::accumulate(double alpha) {
  if (!u_) return;
  ESPALIER_ASSERT(w_ != nullptr, "accumulate() needs the cotangent of a vjp()");
  at::Tensor& c_bar = term_->fields_->cotangent(coefficients_->t);
  const std::int64_t cells = term_->grid_->local_cells();
  const auto fields = static_cast<int>(term_->fields_->names().size());
  ESPALIER_ASSERT(c_bar.is_contiguous() && c_bar.scalar_type() == at::kDouble && c_bar.numel() == fields * cells,
                  "the cotangents of coefficient fields must be float64 and contiguous: [fields, local cells]");
  const auto slot = [&](std::size_t d) {
    return term_->slots_[d] < fields ? c_bar.data_ptr<double>() + term_->slots_[d] * cells : nullptr;
  };
  const std::size_t dimension = term_->discretisation_->dimension;
  for (std::size_t d = 0; d < dimension; ++d)
    if (slot(d) != nullptr || slot(dimension) != nullptr) accumulate_axis(d, alpha, slot(d), slot(dimension));
}

namespace {

// From one row of faces to the cells on both sides.
void spread(const FaceRow& faces, bool along_x, const std::array<double, 2>& reflection, double alpha, double* sums,
            const double* active, double* c_bar) {
  const auto add = [&](std::int64_t cell, std::int64_t count, double factor, const double* numbers) {
    for (std::int64_t i = 0; i < count; ++i)
      c_bar[cell + i] += factor * numbers[i] * (active != nullptr ? active[cell + i] : 1);
  };
  const double half = 0.5 * alpha;
  if (along_x) {
    if (reflection[0] != 0) sums[0] *= 2;
    if (reflection[1] != 0) sums[faces.count - 1] *= 2;
    add(faces.right, faces.count - 1, half, sums);
    add(faces.right, faces.count - 1, half, sums + 1);
    return;
  }
  if (faces.left >= 0) add(faces.left, faces.count, faces.right < 0 && reflection[1] != 0 ? alpha : half, sums);
  if (faces.right >= 0) add(faces.right, faces.count, faces.left < 0 && reflection[0] != 0 ? alpha : half, sums);
}

}  // namespace

void FiniteVolumeTerm::Product::accumulate_axis(std::size_t d, double alpha, double* v_bar, double* d_bar) {
  Discretisation& all = *term_->discretisation_;
  const ReadArray u(u_->get());
  const ReadArray w(w_->get());
  double* by_v = all.scratch_row(0);
  double* by_d = all.scratch_row(1);
  double* sum_v = all.scratch_row(2);
  double* sum_d = all.scratch_row(3);
  const double* active = coefficients_->active.empty() ? nullptr : coefficients_->active.data();
  for (const FaceRow& faces : all.rows[d]) {
    std::fill_n(sum_v, faces.count, 0.0);
    std::fill_n(sum_d, faces.count, 0.0);
    for (std::int64_t sample = 0; sample < batch_->samples(); ++sample) {
      const std::int64_t start = sample * batch_->halo.ghosted_cells();
      all.scheme.by_coefficient(all.row(*coefficients_, d, faces, u.data() + start), by_v, by_d);
      const double* left = w.data() + start + faces.cells[1];
      const double* right = w.data() + start + faces.cells[2];
      for (std::int64_t i = 0; i < faces.count; ++i) {
        sum_v[i] += by_v[i] * (right[i] - left[i]);
        sum_d[i] += by_d[i] * (right[i] - left[i]);
      }
    }
    if (v_bar != nullptr) spread(faces, d == 0, all.reflection[d], alpha, sum_v, nullptr, v_bar);
    if (d_bar != nullptr) spread(faces, d == 0, all.reflection[d], alpha, sum_d, active, d_bar);
  }
}

std::int64_t FiniteVolumeTerm::Product::matrices() const {
  return term_->discretisation_->scheme.linear ? 1 : batch_->samples();
}

long FiniteVolumeTerm::Product::matrices_version() const {
  return term_->discretisation_->scheme.linear ? coefficients_->reading : -1;
}

petsc::MatHandle FiniteVolumeTerm::Product::create_matrix() const {
  petsc::MatHandle matrix;
  ESPALIER_CALL(DMCreateMatrix(term_->grid_->dm(), matrix.out()));
  return matrix;
}

void FiniteVolumeTerm::Product::add_to_matrix(std::int64_t k, double scale, Mat matrix) const {
  const Discretisation& faces = *term_->discretisation_;
  const Derivatives derivatives(*this);
  const double* by_u = derivatives.of(k);
  const int states = faces.scheme.states;
  for (std::int64_t cell = 0; cell < term_->grid_->local_cells(); ++cell) {
    const std::int64_t i = cell % faces.extent[0];
    const std::int64_t j = cell / faces.extent[0] % faces.extent[1];
    const std::int64_t l = cell / faces.extent[0] / faces.extent[1];
    const auto row =
        static_cast<PetscInt>(batch_->halo.first() + i + j * faces.ghosted_stride[1] + l * faces.ghosted_stride[2]);
    std::array<PetscInt, 24> columns{};
    std::array<PetscScalar, 24> values{};
    PetscInt count = 0;
    for (std::size_t d = 0; d < faces.dimension; ++d)
      for (const int upper : {0, 1})
        for (int m = 0; m < states; ++m) {
          // Phi of the lower face enters, that of the upper one leaves; state m is this far from the cell.
          const int distance = m - states / 2 + upper;
          const auto n = static_cast<std::size_t>(count++);
          columns[n] = row + static_cast<PetscInt>(distance * faces.ghosted_stride[d]);
          values[n] = (upper == 0 ? scale : -scale) *
                      by_u[faces.derivatives(d, m) + faces.face(d, j, l) + i + upper * faces.stride[d][d]];
        }
    ESPALIER_CALL(MatSetValuesLocal(matrix, 1, &row, count, columns.data(), values.data(), ADD_VALUES));
  }
  ESPALIER_CALL(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
}

}  // namespace espalier::model
