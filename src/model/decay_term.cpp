#include "espalier/model/decay_term.hpp"

#include <torch/types.h>

#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

// <x, y> of this rank's parts.
double local_dot(Vec x, Vec y) {
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(x, &length));
  const petsc::TensorView left(x, {length}, petsc::Access::read);
  const petsc::TensorView right(y, {length}, petsc::Access::read);
  return left.tensor().dot(right.tensor()).item<double>();
}

}  // namespace

class DecayTerm::Product : public Linearization {
 public:
  Product(DecayTerm& term, std::shared_ptr<petsc::VecHandle> u) : term_(&term), u_(std::move(u)) {}

  void jvp(Vec v, Vec y) override { multiply(v, y); }

  void vjp(Vec w, Vec u_bar) override {
    multiply(w, u_bar);
    // da_bar/dalpha_bar = alpha (1 - alpha);  df/dalpha = -u.
    const double alpha = term_->rate();
    a_bar_ = -alpha * (1 - alpha) * local_dot(u_->get(), w);
  }

  void accumulate(double weight) override { term_->parameters_.gradient().add_(weight * a_bar_); }

 private:
  void multiply(Vec v, Vec y) const {
    ESPALIER_CALL(VecCopy(v, y));
    ESPALIER_CALL(VecScale(y, -term_->rate()));
  }

  DecayTerm* term_;
  std::shared_ptr<petsc::VecHandle> u_;
  double a_bar_ = 0;
};

DecayTerm::DecayTerm(bool direct) : direct_(direct) {
  parameters_ = nn::FlatParameters({torch::zeros({1}, torch::kDouble).requires_grad_(true)});
}

// alpha = 1 / (1 + exp(-a))
double DecayTerm::rate() const { return 1 / (1 + std::exp(-*parameters_.values().data_ptr<double>())); }

void DecayTerm::apply(double /*t*/, Vec u, Vec y) {
  ESPALIER_CALL(VecCopy(u, y));
  ESPALIER_CALL(VecScale(y, -rate()));
}

std::shared_ptr<Linearization> DecayTerm::linearize(double /*t*/, Vec u) {
  return std::make_shared<Product>(*this, points_.copy(u));
}

void DecayTerm::solve(double shift, Vec b, Vec x, bool /*transpose*/) {
  const core::EventScope event(core::Event::linear_solve);
  const double diagonal = shift + rate();
  if (diagonal == 0)
    throw NumericalError("the decay's matrix (shift + alpha) I is singular for shift " + std::to_string(shift) +
                             "; change the step size",
                         __FILE__, __LINE__);
  ESPALIER_CALL(VecCopy(b, x));
  ESPALIER_CALL(VecScale(x, 1 / diagonal));
}

}  // namespace espalier::model
