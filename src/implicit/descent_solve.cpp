#include "espalier/implicit/descent_solve.hpp"

#include <algorithm>
#include <cmath>

#include "espalier/implicit/solve_node.hpp"
#include "failures.hpp"

namespace espalier::implicit {

namespace {

double quotient(double a, double b) { return b != 0 ? a / b : 0; }

}  // namespace

DescentSolve::DescentSolve(std::shared_ptr<Residual> residual, Vec like, long iterations, const std::string& prefix)
    : DifferentiableSolve(std::move(residual), like, prefix) {
  set_iterations(iterations);
  for (auto* vec : {&zero_, &right_, &residual_vec_, &product_, &r_bar_, &q_bar_, &q_bar_sum_, &work_})
    *vec = make_vec();
  ESPALIER_CALL(VecZeroEntries(zero_.get()));
}

DescentSolve::~DescentSolve() = default;

void DescentSolve::set_iterations(long iterations) {
  ESPALIER_REQUIRE(iterations >= 1, "steepest descent needs at least one iteration");
  steps_ = iterations;
}

void DescentSolve::set_forward_effort(const Effort& effort) {
  ESPALIER_REQUIRE(effort.tolerance == 0, "unrolled solves take all their iterations: leave the tolerance out");
  if (effort.iterations > 0) set_iterations(effort.iterations);
}

// A x = b with b = -F(0, y).
void DescentSolve::forward(Vec y, Vec x, Record record) {
  vectors_.set(x, samples());
  failures().attempt(right_.get(), [&] { residual_->apply(zero_.get(), y, right_.get()); });
  ESPALIER_CALL(VecScale(right_.get(), -1.0));
  products_ = guarded_linearize(zero_.get(), y);
  descend(x, record);
  check_affine(y, x, right_.get(), *products_);
}

// alpha = (r.r) / (r.Ar);  x += alpha r;  r -= alpha A r.
void DescentSolve::descend(Vec x, Record record) {
  Vec r = residual_vec_.get();
  Vec q = product_.get();
  ESPALIER_CALL(VecZeroEntries(x));
  ESPALIER_CALL(VecCopy(right_.get(), r));
  for (long k = 0; k < steps_; ++k) {
    if (record == Record::yes) keep(r);
    products_->jvp(r, q);
    vectors_.dots({{r, r, rr_}, {r, q, rq_}});
    require_finite(rr_, k);
    require_finite(rq_, k);
    alpha_.resize(rr_.size());
    std::transform(rr_.begin(), rr_.end(), rq_.begin(), alpha_.begin(), quotient);
    vectors_.axpy(1, alpha_.data(), r, x);
    vectors_.axpy(-1, alpha_.data(), q, r);
    ++iterations_;
  }
  PetscReal norm = 0;
  ESPALIER_CALL(VecNorm(x, NORM_2, &norm));
  require_finite({norm}, steps_);
}

void DescentSolve::require_finite(const Numbers& numbers, long step) {
  if (std::all_of(numbers.begin(), numbers.end(), [](double number) { return std::isfinite(number); })) return;
  failures().agree(comm());
  throw NumericalError("steepest descent (" + std::to_string(steps_) + " steps) is not finite after step " +
                           std::to_string(step) +
                           ": look for values that are not finite in the data, the cotangents and the parameters",
                       __FILE__, __LINE__);
}

// Backwards through the steps; what they and b = -F(0, y) need of F at x = 0 comes together at the end.
void DescentSolve::backward(const KeptSolve& kept, Vec x_bar, Vec y_bar) {
  vectors_.set(x_bar, samples());
  for (Vec vec : {y_bar, r_bar_.get(), q_bar_sum_.get()}) ESPALIER_CALL(VecZeroEntries(vec));
  for (auto r = kept.x.rbegin(); r != kept.x.rend(); ++r) {
    const auto products = guarded_linearize((*r)->get(), kept.y->get());
    step_back((*r)->get(), *products, x_bar, y_bar);
  }
  finish_at_zero(kept, y_bar);
  failures().agree(comm());
  PetscReal norm = 0;
  ESPALIER_CALL(VecNorm(y_bar, NORM_2, &norm));
  require_finite({norm}, 0);
}

// Of a step with q = A r, alpha = (r.r) / (r.q), x' = x + alpha r, r' = r - alpha q, given r'_bar in r_bar:
//   alpha_bar = x_bar.r - r'_bar.q,  f = alpha_bar / (r.q),
//   q_bar = -alpha r'_bar - f alpha r,
//   r_bar = r'_bar + alpha x_bar + 2 f r - f alpha q + A^T q_bar,
//   y_bar, theta_bar += (F_y, F_theta at (r, y) less those at (0, y))^T q_bar.
void DescentSolve::step_back(Vec r, GuardedLinearization& products, Vec x_bar, Vec y_bar) {
  Vec q = product_.get();
  Vec r_bar = r_bar_.get();
  Vec q_bar = q_bar_.get();
  products.jvp(r, q);
  vectors_.dots({{r, r, rr_}, {r, q, rq_}, {x_bar, r, x_bar_r_}, {r_bar, q, r_bar_q_}});
  alpha_.resize(rr_.size());
  factor_.resize(rr_.size());
  for (std::size_t s = 0; s < rr_.size(); ++s) {
    alpha_[s] = quotient(rr_[s], rq_[s]);
    factor_[s] = quotient(x_bar_r_[s] - r_bar_q_[s], rq_[s]);
  }
  ESPALIER_CALL(VecZeroEntries(q_bar));
  vectors_.axpy(-1, alpha_.data(), r_bar, q_bar);
  vectors_.axpy(1, alpha_.data(), x_bar, r_bar);
  vectors_.axpy(2, factor_.data(), r, r_bar);
  for (std::size_t s = 0; s < rr_.size(); ++s) factor_[s] *= alpha_[s];
  vectors_.axpy(-1, factor_.data(), q, r_bar);
  vectors_.axpy(-1, factor_.data(), r, q_bar);
  products.vjp(q_bar, work_.get());
  products.accumulate(1.0);
  ESPALIER_CALL(VecAXPY(r_bar, 1.0, work_.get()));
  products.vjp_data(q_bar, work_.get());
  ESPALIER_CALL(VecAXPY(y_bar, 1.0, work_.get()));
  ESPALIER_CALL(VecAXPY(q_bar_sum_.get(), 1.0, q_bar));
}

// y_bar, theta_bar += (F_y, F_theta at (0, y))^T w, w = -(r_bar of the first step, which is b_bar, and all q_bar).
void DescentSolve::finish_at_zero(const KeptSolve& kept, Vec y_bar) {
  Vec w = q_bar_sum_.get();
  const auto products = guarded_linearize(zero_.get(), kept.y->get());
  ESPALIER_CALL(VecAXPBY(w, -1.0, -1.0, r_bar_.get()));
  products->vjp(w, work_.get());
  products->accumulate(1.0);
  products->vjp_data(w, work_.get());
  ESPALIER_CALL(VecAXPY(y_bar, 1.0, work_.get()));
}

at::Tensor descent_solve(DescentSolve& solver, const at::Tensor& y) { return solve_as_node(solver, y); }

}  // namespace espalier::implicit
