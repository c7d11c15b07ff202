#include "espalier/implicit/residual.hpp"

#include <exception>
#include <string>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/model/linear_operator.hpp"
#include "espalier/petsc/object_state.hpp"

namespace espalier::implicit {

namespace {

petsc::ObjectState state_of(Vec vec) { return petsc::state_of(reinterpret_cast<PetscObject>(vec)); }

std::shared_ptr<model::Linearization> frozen_form(model::Term& f, model::Term* picard, double t, Vec x) {
  return picard != nullptr ? picard->linearize(t, x) : f.linearize_frozen(t, x);
}

/// F = f(x) + sign y, of which F_x is that of f.
class PlainProducts : public ResidualLinearization {
 public:
  PlainProducts(std::shared_ptr<model::Linearization> f, double sign) : f_(std::move(f)), sign_(sign) {}

  void jvp(Vec v, Vec y) override { f_->jvp(v, y); }
  void vjp(Vec w, Vec x_bar) override { f_->vjp(w, x_bar); }
  void accumulate(double alpha) override { f_->accumulate(alpha); }
  // y_bar = sign w.
  void vjp_data(Vec w, Vec y_bar) override {
    ESPALIER_CALL(VecCopy(w, y_bar));
    ESPALIER_CALL(VecScale(y_bar, sign_));
  }
  std::int64_t matrices() const override { return f_->matrices(); }
  bool matrices_are_exact() const override { return f_->matrices_are_exact(); }
  petsc::MatHandle create_matrix() const override { return f_->create_matrix(); }
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override { f_->add_to_matrix(k, scale, matrix); }

 private:
  std::shared_ptr<model::Linearization> f_;
  double sign_;
};

}  // namespace

long Residual::version() {
  long version = 0;
  for (const auto* parameters : parameters()) version += parameters->version();
  return version;
}

/// Products of a step. Those with f at y are made only if theta < 1 and somebody asks; networks forget what
/// accumulate() needs at the next vjp() of another point, so that each accumulate() follows a vjp() of its own point.
class ThetaStep::Products : public ResidualLinearization {
 public:
  Products(ThetaStep& step, Vec like, Vec y, std::shared_ptr<model::Linearization> at_x)
      : term_(step.term_), t_(step.time()), theta_(step.theta_), h_(step.step_), y_(y), at_x_(std::move(at_x)) {
    if (theta_ == 1) return;
    ESPALIER_CALL(VecDuplicate(like, w_.out()));
    ESPALIER_CALL(VecDuplicate(like, data_.out()));
  }

  // F_x v = v - h theta J(x) v.
  void jvp(Vec v, Vec f_tan) override {
    at_x_->jvp(v, f_tan);
    ESPALIER_CALL(VecAYPX(f_tan, -h_ * theta_, v));
  }

  // F_x^T w = w - h theta J(x)^T w.
  void vjp(Vec w, Vec x_bar) override {
    last_was_at_x_ = true;
    has_data_ = false;
    if (theta_ < 1) {
      ESPALIER_CALL(VecCopy(w, w_.get()));
      state_ = state_of(w);
    }
    at_x_->vjp(w, x_bar);
    ESPALIER_CALL(VecAYPX(x_bar, -h_ * theta_, w));
  }

  // F_theta^T w = -h (theta f_theta(x)^T w + (1 - theta) f_theta(y)^T w).
  void accumulate(double alpha) override {
    if (!std::exchange(last_was_at_x_, theta_ == 1)) at_x_->vjp(w_.get(), data_.get());
    at_x_->accumulate(-alpha * h_ * theta_);
    if (theta_ == 1) return;
    has_data_ = true;
    at_y().vjp(w_.get(), data_.get());
    at_y().accumulate(-alpha * h_ * (1 - theta_));
  }

  // F_y^T w = -w - h (1 - theta) J(y)^T w.
  void vjp_data(Vec w, Vec y_bar) override {
    if (theta_ == 1) {
      ESPALIER_CALL(VecCopy(w, y_bar));
      ESPALIER_CALL(VecScale(y_bar, -1.0));
      return;
    }
    if (has_data_ && state_of(w) == state_) {
      ESPALIER_CALL(VecCopy(data_.get(), y_bar));
    } else {
      last_was_at_x_ = false;
      at_y().vjp(w, y_bar);
    }
    ESPALIER_CALL(VecAXPBY(y_bar, -1.0, -h_ * (1 - theta_), w));
  }

  std::int64_t matrices() const override { return at_x_->matrices(); }
  bool matrices_are_exact() const override { return at_x_->matrices_are_exact(); }
  petsc::MatHandle create_matrix() const override { return at_x_->create_matrix(); }
  // F_x = I - h theta J(x).
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override {
    at_x_->add_to_matrix(k, -scale * h_ * theta_, matrix);
    ESPALIER_CALL(MatShift(matrix, scale));
  }

 private:
  model::Linearization& at_y() {
    if (!at_y_) at_y_ = term_->linearize(t_, y_);
    return *at_y_;
  }

  std::shared_ptr<model::Term> term_;
  double t_;
  double theta_;
  double h_;
  Vec y_;
  std::shared_ptr<model::Linearization> at_x_;
  std::shared_ptr<model::Linearization> at_y_;
  petsc::VecHandle w_;     // of the last vjp()
  petsc::VecHandle data_;  // J(y)^T w, once has_data_
  petsc::ObjectState state_;
  bool has_data_ = false;
  bool last_was_at_x_ = false;
};

ThetaStep::ThetaStep(std::shared_ptr<model::Term> f, double theta, double h, std::shared_ptr<model::Term> picard)
    : term_(std::move(f)), picard_(std::move(picard)), theta_(theta), step_(h) {
  ESPALIER_ASSERT(term_ != nullptr, "a step needs a term");
  ESPALIER_REQUIRE(theta > 0 && theta <= 1, "the theta method needs 0 < theta <= 1: theta = " + std::to_string(theta) +
                                                " takes no solve; use 1 for backward Euler, 0.5 for Crank-Nicolson");
  ESPALIER_REQUIRE(h > 0, "the theta method needs a positive step size");
}

// f = x - y - h ((1 - theta) f(t, y) + theta f(t + h, x)). A rank on which the first evaluation fails still takes part
// in the second.
void ThetaStep::apply(Vec x, Vec y, Vec f) {
  std::exception_ptr failure;
  try {
    term_->apply(time() + step_, x, f);
  } catch (...) {
    failure = std::current_exception();
  }
  if (theta_ < 1) {
    if (work_.empty()) ESPALIER_CALL(VecDuplicate(f, work_.out()));
    term_->apply(time(), y, work_.get());
  }
  if (failure) std::rethrow_exception(failure);
  ESPALIER_CALL(VecAXPBYPCZ(f, 1.0, -1.0, -step_ * theta_, x, y));
  if (theta_ < 1) ESPALIER_CALL(VecAXPY(f, -step_ * (1 - theta_), work_.get()));
}

std::shared_ptr<ResidualLinearization> ThetaStep::linearize(Vec x, Vec y) {
  return std::make_shared<Products>(*this, x, y, term_->linearize(time() + step_, x));
}

std::shared_ptr<ResidualLinearization> ThetaStep::linearize_picard(Vec x, Vec y) {
  auto frozen = frozen_form(*term_, picard_.get(), time() + step_, x);
  if (!frozen) return nullptr;
  return std::make_shared<Products>(*this, x, y, std::move(frozen));
}

bool ThetaStep::has_constant_operator() const {
  return dynamic_cast<const model::LinearOperator*>(term_.get()) != nullptr;
}

SteadyState::SteadyState(std::shared_ptr<model::Term> f, std::shared_ptr<model::Term> picard)
    : term_(std::move(f)), picard_(std::move(picard)) {
  ESPALIER_ASSERT(term_ != nullptr, "a steady state needs a term");
}

// f = f(x) + y.
void SteadyState::apply(Vec x, Vec y, Vec f) {
  term_->apply(time(), x, f);
  ESPALIER_CALL(VecAXPY(f, 1.0, y));
}

std::shared_ptr<ResidualLinearization> SteadyState::linearize(Vec x, Vec /*y*/) {
  return std::make_shared<PlainProducts>(term_->linearize(time(), x), 1.0);
}

std::shared_ptr<ResidualLinearization> SteadyState::linearize_picard(Vec x, Vec /*y*/) {
  auto frozen = frozen_form(*term_, picard_.get(), time(), x);
  if (!frozen) return nullptr;
  return std::make_shared<PlainProducts>(std::move(frozen), 1.0);
}

LinearSystem::LinearSystem(std::shared_ptr<model::Term> f) : term_(std::move(f)) {
  ESPALIER_ASSERT(term_ != nullptr, "a linear system needs a term");
}

// f = f(x) - b.
void LinearSystem::apply(Vec x, Vec b, Vec f) {
  term_->apply(time(), x, f);
  ESPALIER_CALL(VecAXPY(f, -1.0, b));
}

std::shared_ptr<ResidualLinearization> LinearSystem::linearize(Vec x, Vec /*b*/) {
  return std::make_shared<PlainProducts>(term_->linearize(time(), x), -1.0);
}

}  // namespace espalier::implicit
