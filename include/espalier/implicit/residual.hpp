// What an implicit solve must know of its equation F(x, y; theta) = 0: F, and products with its three derivatives.
#pragma once

#include <petscvec.h>

#include <memory>
#include <vector>

#include "espalier/model/term.hpp"
#include "espalier/nn/flat_parameters.hpp"

namespace espalier::implicit {

/// F linearised at (x, y). jvp() and vjp() are products with F_x, as are the matrices for preconditioners; accumulate()
/// is theta_bar += alpha F_theta^T w with the w of the last vjp(). x and y must stay unchanged as long as it is used.
class ResidualLinearization : public model::Linearization {
 public:
  /// y_bar = F_y^T w.
  virtual void vjp_data(Vec w, Vec y_bar) = 0;
};

/// F(x, y; theta), x the unknown and y the data, vectors of one layout: this rank's samples one after another.
/// Collectivity is that of the terms it is made of.
class Residual {
 public:
  virtual ~Residual() = default;
  /// f = F(x, y; theta).
  virtual void apply(Vec x, Vec y, Vec f) = 0;
  virtual std::shared_ptr<ResidualLinearization> linearize(Vec x, Vec y) = 0;
  /// As linearize(), but jvp() and the matrices are those of F with its coefficients frozen at x: what Picard's
  /// iterations solve with. Empty: there is no such form.
  virtual std::shared_ptr<ResidualLinearization> linearize_picard(Vec /*x*/, Vec /*y*/) { return nullptr; }
  virtual std::vector<nn::FlatParameters*> parameters() { return {}; }
  /// As model::Term::finish_adjoint().
  virtual void finish_adjoint() {}
  /// Whether F_x is the same at all x and y, as long as time() and version() are: preconditioners are then kept.
  virtual bool has_constant_operator() const { return false; }

  /// The time at which terms are evaluated. A solve remembers it for its adjoint.
  double time() const { return time_; }
  void set_time(double time) { time_ = time; }
  /// Grows when somebody says that the parameters changed.
  long version();

 private:
  double time_ = 0;
};

/// A step of the theta method, F = x - y - h ((1 - theta) f(t, y) + theta f(t + h, x)): backward Euler for theta = 1,
/// Crank-Nicolson for 1/2. t is time(). Matrices of f need a place for each entry of the diagonal.
class ThetaStep : public Residual {
 public:
  /// `picard`: what of f Picard's iterations treat implicitly, a part of it or f with frozen coefficients; empty: f's
  /// own frozen form, if it has one (model::Term::linearize_frozen()). Throws UserError unless 0 < theta <= 1 and h >
  /// 0.
  ThetaStep(std::shared_ptr<model::Term> f, double theta, double h, std::shared_ptr<model::Term> picard = nullptr);

  void apply(Vec x, Vec y, Vec f) override;
  std::shared_ptr<ResidualLinearization> linearize(Vec x, Vec y) override;
  std::shared_ptr<ResidualLinearization> linearize_picard(Vec x, Vec y) override;
  std::vector<nn::FlatParameters*> parameters() override { return term_->parameters(); }
  void finish_adjoint() override { term_->finish_adjoint(); }
  /// For a model::LinearOperator.
  bool has_constant_operator() const override;

 private:
  class Products;

  std::shared_ptr<model::Term> term_;
  std::shared_ptr<model::Term> picard_;
  double theta_;
  double step_;
  petsc::VecHandle work_;
};

/// A steady state under the source y, F = f(x) + y, with f at time().
class SteadyState : public Residual {
 public:
  /// `picard`: as for ThetaStep.
  explicit SteadyState(std::shared_ptr<model::Term> f, std::shared_ptr<model::Term> picard = nullptr);

  void apply(Vec x, Vec y, Vec f) override;
  std::shared_ptr<ResidualLinearization> linearize(Vec x, Vec y) override;
  std::shared_ptr<ResidualLinearization> linearize_picard(Vec x, Vec y) override;
  std::vector<nn::FlatParameters*> parameters() override { return term_->parameters(); }
  void finish_adjoint() override { term_->finish_adjoint(); }

 private:
  std::shared_ptr<model::Term> term_;
  std::shared_ptr<model::Term> picard_;
};

/// A(theta) x = b for a term f(x) = A x + c, c usually 0: F = f(x) - b, with the data y = b.
class LinearSystem : public Residual {
 public:
  explicit LinearSystem(std::shared_ptr<model::Term> f);

  void apply(Vec x, Vec b, Vec f) override;
  std::shared_ptr<ResidualLinearization> linearize(Vec x, Vec b) override;
  std::vector<nn::FlatParameters*> parameters() override { return term_->parameters(); }
  void finish_adjoint() override { term_->finish_adjoint(); }
  bool has_constant_operator() const override { return true; }

 private:
  std::shared_ptr<model::Term> term_;
};

}  // namespace espalier::implicit
