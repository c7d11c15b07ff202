#include "espalier/implicit/linear_solve.hpp"

#include "espalier/implicit/solve_node.hpp"
#include "krylov.hpp"

namespace espalier::implicit {

namespace {

constexpr double forward_tolerance = 1e-10;
// By how much F(x) - F(0) and F_x x may differ: networks may be of single precision.
constexpr double affine_tolerance = 1e-4;

}  // namespace

LinearSolve::LinearSolve(std::shared_ptr<Residual> residual, Vec like, const std::string& prefix)
    : DifferentiableSolve(std::move(residual), like, prefix),
      solver_(std::make_unique<Krylov>(like, prefix, forward_tolerance, PCNONE)),
      zero_(make_vec()),
      right_(make_vec()),
      value_(make_vec()),
      product_(make_vec()) {
  ESPALIER_CALL(VecZeroEntries(zero_.get()));
}

LinearSolve::~LinearSolve() = default;

KSP LinearSolve::ksp() { return solver_->ksp(); }
long LinearSolve::ksp_iterations_forward() const { return solver_->iterations(); }
std::string LinearSolve::adjoint_preconditioner() const { return solver_->preconditioner(); }

// F_x x = -F(0, y).
void LinearSolve::forward(Vec y, Vec x, Record record) {
  failures().attempt(right_.get(), [&] { residual_->apply(zero_.get(), y, right_.get()); });
  ESPALIER_CALL(VecScale(right_.get(), -1.0));
  products_ = guarded_linearize(zero_.get(), y);
  solver_->set_operator(products_, failures(), residual_->has_constant_operator(), residual_->version(),
                        residual_->time());
  solver_->solve(right_.get(), x, false, failures());
  if (!checked_) check_affine(y, x);
  if (record == Record::yes) keep(x);
}

// F(x) = F(0) + F_x x, at the first solution: no tolerance of the solve enters.
void LinearSolve::check_affine(Vec y, Vec x) {
  PetscReal scale = 0;
  PetscReal difference = 0;
  failures().attempt(value_.get(), [&] { residual_->apply(x, y, value_.get()); });
  products_->jvp(x, product_.get());
  failures().agree(comm());
  ESPALIER_CALL(VecNorm(right_.get(), NORM_2, &scale));
  ESPALIER_CALL(VecAXPY(value_.get(), 1.0, right_.get()));
  ESPALIER_CALL(VecAXPY(value_.get(), -1.0, product_.get()));
  ESPALIER_CALL(VecNorm(value_.get(), NORM_2, &difference));
  ESPALIER_REQUIRE(difference <= affine_tolerance * scale,
                   "the equation of a linear solve is not linear in x: solve it by a RootSolve");
  checked_ = scale > 0;
}

at::Tensor linear_solve(LinearSolve& solver, const at::Tensor& b) { return solve_as_node(solver, b); }

}  // namespace espalier::implicit
