// Decay at a trained rate: the implicit part of graph diffusion.
#pragma once

#include "espalier/model/linear_operator.hpp"
#include "espalier/petsc/vec_pool.hpp"

namespace espalier::model {

/// f(u) = -alpha u with alpha = 1 / (1 + exp(-a)) and a trained (Chamberlain et al. 2021, GRAND). Works on every rank's
/// part by itself; the gradient of a is that of the rank's part.
class DecayTerm : public LinearOperator {
 public:
  /// a at the start: 0, that is alpha = 1/2. `direct`: solves are divisions; if not, the integrator's KSP is used.
  explicit DecayTerm(bool direct = true);

  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;
  std::vector<nn::FlatParameters*> parameters() override { return {&parameters_}; }
  bool solves_directly() const override { return direct_; }
  /// X = B / (shift + alpha).
  void solve(double shift, Vec b, Vec x, bool transpose) override;

  double rate() const;  ///< alpha

 private:
  class Product;

  bool direct_;
  nn::FlatParameters parameters_;  // a
  petsc::VecPool points_;
};

}  // namespace espalier::model
