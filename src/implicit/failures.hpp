// Failures of terms inside PETSc's solvers: how one rank's becomes one of all ranks.
#pragma once

#include <petscvec.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/implicit/residual.hpp"

namespace espalier::implicit {

class GuardedLinearization;

/// Fills this rank's part with NaN. VecSet() would note the norm, which is then no collective on this rank.
inline void spoil(Vec vec) {
  PetscInt size = 0;
  PetscScalar* array = nullptr;
  ESPALIER_CALL(VecGetLocalSize(vec, &size));
  ESPALIER_CALL(VecGetArrayWrite(vec, &array));
  std::fill(array, array + size, std::numeric_limits<double>::quiet_NaN());
  ESPALIER_CALL(VecRestoreArrayWrite(vec, &array));
}

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
    if (!attempt(std::forward<Body>(body))) spoil(result);
  }

  /// The linearisation that `make` returns, empty on all ranks if one of them fails: terms that talk to each other
  /// would wait for its products. Collective.
  template <class Make>
  std::shared_ptr<GuardedLinearization> guarded(MPI_Comm comm, Make&& make) {
    std::shared_ptr<ResidualLinearization> products;
    const bool made = attempt([&] { products = std::forward<Make>(make)(); });
    if (core::any_rank(comm, !made)) products.reset();
    return std::make_shared<GuardedLinearization>(std::move(products), *this);
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

/// A linearisation whose products may fail on one rank. Those of an empty one are not finite.
class GuardedLinearization : public ResidualLinearization {
 public:
  GuardedLinearization(std::shared_ptr<ResidualLinearization> products, Failures& failures)
      : products_(std::move(products)), failures_(&failures) {}

  bool empty() const { return products_ == nullptr; }
  void jvp(Vec v, Vec f_tan) override {
    write(f_tan, [&] { products_->jvp(v, f_tan); });
  }
  void vjp(Vec w, Vec x_bar) override {
    write(x_bar, [&] { products_->vjp(w, x_bar); });
  }
  void accumulate(double alpha) override {
    if (!empty()) failures_->attempt([&] { products_->accumulate(alpha); });
  }
  void vjp_data(Vec w, Vec y_bar) override {
    write(y_bar, [&] { products_->vjp_data(w, y_bar); });
  }
  std::int64_t matrices() const override { return empty() ? 0 : products_->matrices(); }
  bool matrices_are_exact() const override { return empty() || products_->matrices_are_exact(); }
  petsc::MatHandle create_matrix() const override { return products_->create_matrix(); }
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override {
    products_->add_to_matrix(k, scale, matrix);
  }

 private:
  template <class Body>
  void write(Vec result, Body&& body) {
    if (empty()) {
      spoil(result);
    } else {
      failures_->attempt(result, std::forward<Body>(body));
    }
  }

  std::shared_ptr<ResidualLinearization> products_;
  Failures* failures_;
};

}  // namespace espalier::implicit
