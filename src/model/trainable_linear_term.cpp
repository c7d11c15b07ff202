#include "espalier/model/trainable_linear_term.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "espalier/core/error.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

at::Tensor empty_buffer() { return at::empty({0}, at::TensorOptions().dtype(at::kDouble)); }

// The entries of a matrix, column by column: as a tensor [column, row].
at::Tensor entries_of(Mat matrix) {
  petsc::MatHandle dense;
  ESPALIER_CALL(MatConvert(matrix, MATSEQDENSE, MAT_INITIAL_MATRIX, dense.out()));
  PetscInt rows = 0;
  PetscInt columns = 0;
  const PetscScalar* entries = nullptr;
  ESPALIER_CALL(MatGetSize(matrix, &rows, &columns));
  const at::Tensor copy = at::empty({columns, rows}, at::TensorOptions().dtype(at::kDouble));
  ESPALIER_CALL(MatDenseGetArrayRead(dense.get(), &entries));
  std::copy(entries, entries + copy.numel(), copy.data_ptr<double>());
  ESPALIER_CALL(MatDenseRestoreArrayRead(dense.get(), &entries));
  return copy;
}

}  // namespace

/// A at one state. Keeps copies of the state and of the last cotangent: the caller's vectors change before the
/// products with the derivative in theta are asked for, and a Krylov solve of the adjoint multiplies in between.
class TrainableLinearTerm::Product : public Linearization {
 public:
  Product(TrainableLinearTerm& term, Vec u)
      : term_(&term), shape_({term.samples_of(u), term.dof()}), u_(term.copies_.copy(u)) {}

  void jvp(Vec v, Vec y) override { term_->multiply(v, y, false); }
  void vjp(Vec w, Vec u_bar) override {
    term_->multiply(w, u_bar, true);
    w_.reset();  // its memory takes the new copy
    w_ = term_->copies_.copy(w);
  }
  void accumulate(double alpha) override {
    ESPALIER_ASSERT(w_ != nullptr && term_->samples_of(w_->get()) == shape_.front(),
                    "accumulate() needs a product with a cotangent of the state's shape");
    if (shape_.front() == 0) return;
    const petsc::TensorView u(u_->get(), shape_, petsc::Access::read);
    const petsc::TensorView w(w_->get(), shape_, petsc::Access::read);
    term_->accumulate(alpha, u.tensor(), w.tensor());
  }

 private:
  TrainableLinearTerm* term_;
  std::vector<std::int64_t> shape_;
  std::shared_ptr<petsc::VecHandle> u_;
  std::shared_ptr<petsc::VecHandle> w_;  // empty before the first product
};

TrainableLinearTerm::TrainableLinearTerm(Mat initial, const at::Tensor& theta, LinearSolver solver)
    : LinearTerm(initial, solver), parameters_({theta.clone().requires_grad_(true)}) {}

TrainableLinearTerm::~TrainableLinearTerm() = default;

std::shared_ptr<Linearization> TrainableLinearTerm::linearize(double /*t*/, Vec u) {
  return std::make_shared<Product>(*this, u);
}

void TrainableLinearTerm::refresh() {
  if (version_ == parameters_.version()) return;
  replace_matrix(assemble());
  buffer_ = parameters_.values();
  version_ = parameters_.version();
}

DenseLinearTerm::DenseLinearTerm(Mat initial, LinearSolver solver)
    : TrainableLinearTerm(initial, entries_of(initial), solver) {}

petsc::MatHandle DenseLinearTerm::assemble() {
  petsc::MatHandle a;
  auto* entries = parameters_.values().data_ptr<double>();
  ESPALIER_CALL(MatCreateSeqDense(PETSC_COMM_SELF, dof(), dof(), entries, a.out()));
  return a;
}

// A_bar += alpha W U^T with states as columns; here they are rows and A_bar is stored transposed.
void DenseLinearTerm::accumulate(double alpha, const at::Tensor& u, const at::Tensor& w) {
  at::Tensor a_bar_transposed = parameters_.gradients().front();
  a_bar_transposed.addmm_(u.t(), w, 1, alpha);
}

StencilLinearTerm::StencilLinearTerm(PetscInt points, const std::vector<double>& coefficients, LinearSolver solver)
    : TrainableLinearTerm(grid::periodic_stencil(points, coefficients).get(), at::tensor(coefficients, at::kDouble),
                          solver),
      ring_(empty_buffer()),
      padded_(empty_buffer()) {
  ESPALIER_REQUIRE(
      coefficients.size() <= static_cast<std::size_t>(points),
      "a trained stencil of " + std::to_string(coefficients.size()) + " coefficients needs as many points");
}

petsc::MatHandle StencilLinearTerm::assemble() {
  const at::Tensor& c = parameters_.values();
  return grid::periodic_stencil(dof(), {c.data_ptr<double>(), c.data_ptr<double>() + c.numel()});
}

// c_bar_k += alpha sum_s sum_i w_(s, i) u_(s, i + k - r): one dot product of the whole batch per coefficient, with u
// continued periodically and w by zeros, so that one sample's end meets nothing of the next sample.
void StencilLinearTerm::accumulate(double alpha, const at::Tensor& u, const at::Tensor& w) {
  const std::int64_t points = dof();
  const std::int64_t r = parameters_.count() / 2;
  ring_.resize_({u.size(0), points + 2 * r});
  ring_.narrow(1, r, points).copy_(u);
  ring_.narrow(1, 0, r).copy_(u.narrow(1, points - r, r));
  ring_.narrow(1, points + r, r).copy_(u.narrow(1, 0, r));
  padded_.resize_(ring_.sizes());
  padded_.narrow(1, 0, points).copy_(w);
  padded_.narrow(1, points, 2 * r).zero_();
  const std::int64_t length = ring_.numel() - 2 * r;
  const at::Tensor cotangent = padded_.view({-1}).narrow(0, 0, length);
  auto* c_bar = parameters_.gradient().data_ptr<double>();
  for (std::int64_t k = 0; k <= 2 * r; ++k)
    c_bar[k] += alpha * cotangent.dot(ring_.view({-1}).narrow(0, k, length)).item<double>();
}

}  // namespace espalier::model
