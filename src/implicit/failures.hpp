// Failures of terms inside PETSc's solvers: how one rank's becomes one of all ranks.
#pragma once

#include <petscvec.h>

#include <exception>
#include <limits>
#include <memory>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/implicit/residual.hpp"

namespace espalier::implicit {

/// A rank that left a solver alone would leave the others waiting in it. It notes its failure and goes on with values
/// that are not finite, at which the solver stops on all ranks; after it the ranks agree.
class Failures {
 public:
  void clear() { first_ = nullptr; }

  /// False when `body` threw.
  template <class Body>
  bool attempt(Body&& body) {
    try {
      std::forward<Body>(body)();
      return true;
    } catch (...) {
      if (!first_) first_ = std::current_exception();
      return false;
    }
  }

  /// `body` writes `result`.
  template <class Body>
  void attempt(Vec result, Body&& body) {
    if (!attempt(std::forward<Body>(body))) ESPALIER_CALL(VecSet(result, std::numeric_limits<double>::quiet_NaN()));
  }

  /// Throws on all ranks if one of them failed. Collective.
  void agree(MPI_Comm comm) const {
    core::agree(comm, [&] {
      if (first_) std::rethrow_exception(first_);
    });
  }

 private:
  std::exception_ptr first_;
};

/// A linearisation whose products may fail on one rank, as may have its making: then it is empty.
class GuardedLinearization : public ResidualLinearization {
 public:
  GuardedLinearization(std::shared_ptr<ResidualLinearization> products, Failures& failures)
      : products_(std::move(products)), failures_(&failures) {}

  void jvp(Vec v, Vec f_tan) override {
    failures_->attempt(f_tan, [&] { products().jvp(v, f_tan); });
  }
  void vjp(Vec w, Vec x_bar) override {
    failures_->attempt(x_bar, [&] { products().vjp(w, x_bar); });
  }
  void accumulate(double alpha) override {
    failures_->attempt([&] { products().accumulate(alpha); });
  }
  void vjp_data(Vec w, Vec y_bar) override {
    failures_->attempt(y_bar, [&] { products().vjp_data(w, y_bar); });
  }
  std::int64_t matrices() const override { return products_ ? products_->matrices() : 0; }
  petsc::MatHandle create_matrix() const override { return products_->create_matrix(); }
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override {
    products_->add_to_matrix(k, scale, matrix);
  }

 private:
  // The failure that left it empty has been noted; PETSc may still ask.
  ResidualLinearization& products() const {
    ESPALIER_ASSERT(products_ != nullptr, "a linearisation that could not be made");
    return *products_;
  }

  std::shared_ptr<ResidualLinearization> products_;
  Failures* failures_;
};

}  // namespace espalier::implicit
