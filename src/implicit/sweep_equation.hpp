// Equations for sweeps whose data are only where they begin.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/implicit/residual.hpp"

namespace espalier::implicit {

/// F(x, y) = f(x) for sweeps that begin at y.
class SweepEquation : public Residual {
 public:
  explicit SweepEquation(std::shared_ptr<model::Term> f) : term_(std::move(f)) {}

  void apply(Vec x, Vec /*y*/, Vec f) override { term_->apply(time(), x, f); }
  std::shared_ptr<ResidualLinearization> linearize(Vec x, Vec /*y*/) override {
    return std::make_shared<Products>(term_->linearize(time(), x));
  }
  std::vector<nn::FlatParameters*> parameters() override { return term_->parameters(); }

 private:
  class Products : public ResidualLinearization {
   public:
    explicit Products(std::shared_ptr<model::Linearization> f) : f_(std::move(f)) {}
    void jvp(Vec v, Vec y) override { f_->jvp(v, y); }
    void vjp(Vec w, Vec x_bar) override { f_->vjp(w, x_bar); }
    void vjp_data(Vec /*w*/, Vec y_bar) override { ESPALIER_CALL(VecZeroEntries(y_bar)); }
    void accumulate(double alpha) override { f_->accumulate(alpha); }

   private:
    std::shared_ptr<model::Linearization> f_;
  };

  std::shared_ptr<model::Term> term_;
};

}  // namespace espalier::implicit
