// A source that does not depend on the state: a field given before each run, times a trained number.
#pragma once

#include <torch/types.h>

#include "espalier/model/term.hpp"

namespace espalier::model {

/// f(t, u) = beta s, s a field of the state's shape and beta trained (the source beta x0 of GRAND, Chamberlain et al.
/// 2021). Works on every rank's part by itself.
class SourceTerm : public Term {
 public:
  /// s and beta at the start: 0.
  explicit SourceTerm(std::int64_t local_entries);

  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;
  std::vector<nn::FlatParameters*> parameters() override { return {&parameters_}; }

  double beta() const;
  /// s, [local entries], float64; fill it before a run. Adjoint runs add its cotangent to field_gradient().
  at::Tensor& field() { return field_; }
  at::Tensor& field_gradient() { return field_gradient_; }

  /// x itself as a node of torch's graph that makes s = x, for u0 = term.feed(x) and ts::integrate(integrator, u0,
  /// ...): the backward pass then adds the cotangent of s to that of u0, so that x gets both. x: any shape with the
  /// local entries. One backward pass per call, before the next one.
  at::Tensor feed(const at::Tensor& x);

 private:
  class Product;

  nn::FlatParameters parameters_;  // beta
  at::Tensor field_;
  at::Tensor field_gradient_;
  at::Tensor cotangent_;                      // w of the last product
  const Product* cotangent_owner_ = nullptr;  // whose it was
};

}  // namespace espalier::model
