#include "espalier/model/linear_term.hpp"

#include <ATen/ATen.h>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/model/shift.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

// Adaptive steps ask for many shifts; the oldest factorisations go first.
constexpr std::size_t factor_capacity = 8;

using IndexSetHandle = petsc::Handle<IS, ISDestroy>;

}  // namespace

const std::vector<std::string>& linear_solver_names() {
  static const std::vector<std::string> names = {"lu_dense", "lu_sparse", "krylov", "lu_inverse"};
  return names;
}

struct LinearTerm::Factor {
  double shift;
  petsc::MatHandle mat;         // LU, or the inverse
  petsc::MatHandle transposed;  // of the inverse: a product with it is a fifth faster than a transposed product
};

class LinearTerm::Product : public Linearization {
 public:
  explicit Product(LinearTerm& term) : term_(&term) {}
  void jvp(Vec v, Vec y) override { term_->multiply(v, y, false); }
  void vjp(Vec w, Vec u_bar) override { term_->multiply(w, u_bar, true); }

 private:
  LinearTerm* term_;
};

LinearTerm::LinearTerm(Mat matrix, LinearSolver solver) : matrix_(petsc::MatHandle::share(matrix)), solver_(solver) {
  PetscInt columns = 0;
  ESPALIER_CALL(MatGetSize(matrix, &dof_, &columns));
  ESPALIER_REQUIRE(dof_ == columns, "a linear term needs a square matrix");
  int size = 1;
  MPI_Comm_size(PetscObjectComm(reinterpret_cast<PetscObject>(matrix)), &size);
  ESPALIER_REQUIRE(size == 1, "a linear term for a batch needs a matrix on PETSC_COMM_SELF");
}

LinearTerm::~LinearTerm() = default;

void LinearTerm::apply(double /*t*/, Vec u, Vec y) { multiply(u, y, false); }

std::shared_ptr<Linearization> LinearTerm::linearize(double /*t*/, Vec /*u*/) {
  return std::make_shared<Product>(*this);
}

void LinearTerm::mark_changed() {
  factors_.clear();
  transpose_.reset();
}

void LinearTerm::replace_matrix(petsc::MatHandle matrix) {
  matrix_ = std::move(matrix);
  mark_changed();
}

Mat LinearTerm::matrix() {
  refresh();
  return matrix_.get();
}

// A dense matrix [dof x samples] for a DenseView of `array`; has no memory of its own.
Mat LinearTerm::batch_matrix(petsc::MatHandle& storage, PetscInt samples, const PetscScalar* array) const {
  PetscInt columns = -1;
  if (!storage.empty()) ESPALIER_CALL(MatGetSize(storage.get(), nullptr, &columns));
  if (columns != samples)
    ESPALIER_CALL(MatCreateSeqDense(PETSC_COMM_SELF, dof_, samples, const_cast<PetscScalar*>(array), storage.out()));
  return storage.get();
}

namespace {

/// The host array of a Vec while the object lives.
class HostArray {
 public:
  HostArray(Vec vec, std::int64_t length, petsc::Access access) : view_(vec, {length}, access) {
    ESPALIER_REQUIRE(view_.tensor().is_cpu(), "LinearTerm works on host vectors; use -vec_type standard");
  }
  PetscScalar* data() const { return view_.tensor().data_ptr<double>(); }

 private:
  petsc::TensorView view_;
};

/// Puts an array under a dense matrix while the object lives.
class DenseView {
 public:
  DenseView(Mat mat, const PetscScalar* array) : mat_(mat) { ESPALIER_CALL(MatDensePlaceArray(mat, array)); }
  ~DenseView() { (void)MatDenseResetArray(mat_); }
  DenseView(const DenseView&) = delete;
  DenseView& operator=(const DenseView&) = delete;

 private:
  Mat mat_;
};

}  // namespace

PetscInt LinearTerm::samples_of(Vec u) const {
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(u, &length));
  ESPALIER_REQUIRE(length % dof_ == 0, "the local state of " + std::to_string(length) +
                                           " entries is no multiple of the linear operator's size " +
                                           std::to_string(dof_));
  return length / dof_;
}

void LinearTerm::check_result(Vec argument, Vec result) const {
  ESPALIER_REQUIRE(samples_of(argument) == samples_of(result),
                   "a linear term's argument and result have different numbers of samples on this rank");
}

void LinearTerm::multiply(Vec u, Vec y, bool transpose) {
  const PetscInt samples = samples_of(u);
  check_result(u, y);
  refresh();
  if (samples == 0) return;
  if (transpose && transpose_.empty()) ESPALIER_CALL(MatTranspose(matrix_.get(), MAT_INITIAL_MATRIX, transpose_.out()));
  const HostArray input(u, samples * dof_, petsc::Access::read);
  const HostArray output(y, samples * dof_, petsc::Access::write);
  Mat left = batch_matrix(left_, samples, input.data());
  Mat right = batch_matrix(right_, samples, output.data());
  const DenseView left_view(left, input.data());
  const DenseView right_view(right, output.data());
  Mat a = transpose ? transpose_.get() : matrix_.get();
  ESPALIER_CALL(MatMatMult(a, left, MAT_REUSE_MATRIX, PETSC_DETERMINE, &right));
}

void LinearTerm::solve(double shift, Vec b, Vec x, bool transpose) {
  const core::EventScope event(core::Event::linear_solve);
  const PetscInt samples = samples_of(b);
  check_result(b, x);
  refresh();
  const Factor& factor = find_factor(shift);
  if (samples == 0) return;
  const HostArray input(b, samples * dof_, petsc::Access::read);
  const HostArray output(x, samples * dof_, petsc::Access::write);
  Mat left = batch_matrix(left_, samples, input.data());
  // A product remembers its kind in the result: not the result of multiply().
  Mat right = batch_matrix(solution_, samples, output.data());
  const DenseView left_view(left, input.data());
  const DenseView right_view(right, output.data());
  if (solver_ == LinearSolver::lu_inverse) {
    // X = M B with M = (shift I - A)^-1, or X = M^T B.
    Mat m = transpose ? factor.transposed.get() : factor.mat.get();
    ESPALIER_CALL(MatMatMult(m, left, MAT_REUSE_MATRIX, PETSC_DETERMINE, &right));
  } else if (transpose) {
    ESPALIER_CALL(MatMatSolveTranspose(factor.mat.get(), left, right));
  } else {
    ESPALIER_CALL(MatMatSolve(factor.mat.get(), left, right));
  }
}

const LinearTerm::Factor& LinearTerm::find_factor(double shift) {
  const double rounded = rounded_shift(shift);
  for (const auto& known : factors_)
    if (known.shift == rounded) return known;
  if (factors_.size() == factor_capacity) factors_.pop_front();
  Factor factor{rounded, factorise(rounded), {}};
  if (solver_ == LinearSolver::lu_inverse)
    ESPALIER_CALL(MatTranspose(factor.mat.get(), MAT_INITIAL_MATRIX, factor.transposed.out()));
  factors_.push_back(std::move(factor));
  ++factorisations_;
  return factors_.back();
}

// LU of shift I - A.
petsc::MatHandle LinearTerm::factorise(double shift) const {
  ESPALIER_ASSERT(solver_ != LinearSolver::krylov, "a Krylov linear term has no factorisation");
  const bool dense = solver_ != LinearSolver::lu_sparse;
  petsc::MatHandle shifted;
  ESPALIER_CALL(MatConvert(matrix_.get(), dense ? MATSEQDENSE : MATSAME, MAT_INITIAL_MATRIX, shifted.out()));
  ESPALIER_CALL(MatScale(shifted.get(), -1.0));
  ESPALIER_CALL(MatShift(shifted.get(), shift));
  petsc::MatHandle lu;
  ESPALIER_CALL(MatGetFactor(shifted.get(), MATSOLVERPETSC, MAT_FACTOR_LU, lu.out()));
  MatFactorInfo info;
  ESPALIER_CALL(MatFactorInfoInitialize(&info));
  IndexSetHandle rows;
  IndexSetHandle columns;
  if (!dense) ESPALIER_CALL(MatGetOrdering(shifted.get(), MATORDERINGND, rows.out(), columns.out()));
  ESPALIER_CALL(MatLUFactorSymbolic(lu.get(), shifted.get(), rows.get(), columns.get(), &info));
  MatFactorError error = MAT_FACTOR_NOERROR;
  try {
    ESPALIER_CALL(MatLUFactorNumeric(lu.get(), shifted.get(), &info));
    ESPALIER_CALL(MatFactorGetError(lu.get(), &error));
  } catch (const PetscFailure& failure) {
    // Dense matrices say it this way.
    if (failure.code() != PETSC_ERR_MAT_LU_ZRPVT) throw;
    error = MAT_FACTOR_NUMERIC_ZEROPIVOT;
  }
  if (error != MAT_FACTOR_NOERROR)
    throw NumericalError("the matrix shift I - A of the implicit part is singular for shift " + std::to_string(shift) +
                             "; change the step size",
                         __FILE__, __LINE__);
  return solver_ == LinearSolver::lu_inverse ? invert(lu.get()) : std::move(lu);
}

// M with L U M = I.
petsc::MatHandle LinearTerm::invert(Mat lu) const {
  petsc::MatHandle identity;
  petsc::MatHandle inverse;
  ESPALIER_CALL(MatCreateSeqDense(PETSC_COMM_SELF, dof_, dof_, nullptr, identity.out()));
  ESPALIER_CALL(MatShift(identity.get(), 1.0));
  ESPALIER_CALL(MatDuplicate(identity.get(), MAT_DO_NOT_COPY_VALUES, inverse.out()));
  ESPALIER_CALL(MatMatSolve(lu, identity.get(), inverse.get()));
  return inverse;
}

}  // namespace espalier::model
