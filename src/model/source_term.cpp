#include "espalier/model/source_term.hpp"

#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "espalier/core/error.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class FeedFunction : public torch::autograd::Function<FeedFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, SourceTerm* term) {
    context->saved_data["term"] = reinterpret_cast<std::int64_t>(term);
    term->field().copy_(x.detach().reshape({-1}));
    term->field_gradient().zero_();
    return x.clone();
  }

  // The integration's backward pass came before this one: the cotangent of s is complete.
  static variable_list backward(AutogradContext* context, const variable_list& cotangents) {
    auto* term = reinterpret_cast<SourceTerm*>(context->saved_data["term"].toInt());
    return {cotangents[0] + term->field_gradient().view_as(cotangents[0]), at::Tensor()};
  }
};

}  // namespace

class SourceTerm::Product : public Linearization {
 public:
  explicit Product(SourceTerm& term) : term_(&term) {}
  ~Product() override {
    if (term_->cotangent_owner_ == this) term_->cotangent_owner_ = nullptr;
  }

  void jvp(Vec /*v*/, Vec y) override { ESPALIER_CALL(VecZeroEntries(y)); }

  void vjp(Vec w, Vec u_bar) override {
    const petsc::TensorView view(w, {term_->field_.numel()}, petsc::Access::read);
    term_->cotangent_.copy_(view.tensor());
    term_->cotangent_owner_ = this;
    ESPALIER_CALL(VecZeroEntries(u_bar));
  }

  // beta_bar += c <s, w>;  s_bar += c beta w.
  void accumulate(double weight) override {
    ESPALIER_ASSERT(term_->cotangent_owner_ == this, "accumulate() needs the cotangent of its own vjp()");
    const torch::NoGradGuard no_grad;
    term_->parameters_.gradient().add_(weight * term_->field_.dot(term_->cotangent_));
    term_->field_gradient_.add_(term_->cotangent_, weight * term_->beta());
  }

 private:
  SourceTerm* term_;
};

SourceTerm::SourceTerm(std::int64_t local_entries)
    : field_(torch::zeros({local_entries}, torch::kDouble)),
      field_gradient_(torch::zeros_like(field_)),
      cotangent_(torch::zeros_like(field_)) {
  parameters_ = nn::FlatParameters({torch::zeros({1}, torch::kDouble).requires_grad_(true)});
}

double SourceTerm::beta() const { return *parameters_.values().data_ptr<double>(); }

void SourceTerm::apply(double /*t*/, Vec /*u*/, Vec y) {
  const petsc::TensorView view(y, {field_.numel()}, petsc::Access::write);
  at::Tensor result = view.tensor();
  at::mul_out(result, field_, at::scalar_tensor(beta(), field_.options()));
}

std::shared_ptr<Linearization> SourceTerm::linearize(double /*t*/, Vec /*u*/) {
  return std::make_shared<Product>(*this);
}

at::Tensor SourceTerm::feed(const at::Tensor& x) {
  ESPALIER_REQUIRE(x.numel() == field_.numel(), "a source field of " + std::to_string(field_.numel()) +
                                                    " entries cannot be fed with " + std::to_string(x.numel()));
  return FeedFunction::apply(x, this);
}

}  // namespace espalier::model
