#include "espalier/implicit/linear_solve.hpp"

#include "espalier/implicit/sample_krylov.hpp"
#include "espalier/implicit/solve_node.hpp"
#include "krylov.hpp"

namespace espalier::implicit {

namespace {

constexpr double forward_tolerance = 1e-10;

}  // namespace

LinearSolve::LinearSolve(std::shared_ptr<Residual> residual, Vec like, const std::string& prefix)
    : DifferentiableSolve(std::move(residual), like, prefix),
      solver_(std::make_unique<Krylov>(like, prefix, forward_tolerance, PCNONE)),
      zero_(make_vec()),
      right_(make_vec()) {
  ESPALIER_CALL(VecZeroEntries(zero_.get()));
}

LinearSolve::~LinearSolve() = default;

KSP LinearSolve::ksp() { return solver_->ksp(); }
long LinearSolve::ksp_iterations_forward() const { return solver_->iterations(); }
std::string LinearSolve::adjoint_preconditioner() const { return solver_->preconditioner(); }
void LinearSolve::set_forward_effort(const Effort& effort) { solver_->set_effort(effort); }
void LinearSolve::set_forward_samples(PetscInt samples) { implicit::set_samples(ksp(), samples); }

// F_x x = -F(0, y).
void LinearSolve::forward(Vec y, Vec x, Record record) {
  failures().attempt(right_.get(), [&] { residual_->apply(zero_.get(), y, right_.get()); });
  ESPALIER_CALL(VecScale(right_.get(), -1.0));
  products_ = guarded_linearize(zero_.get(), y);
  solver_->set_operator(products_, failures(), residual_->has_constant_operator(), residual_->version(),
                        residual_->time());
  solver_->solve(right_.get(), x, false, failures());
  check_affine(y, x, right_.get(), *products_);
  if (record == Record::yes) keep(x);
}

at::Tensor linear_solve(LinearSolve& solver, const at::Tensor& b) { return solve_as_node(solver, b); }

}  // namespace espalier::implicit
