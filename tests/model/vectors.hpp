// What tests of terms share: vectors from numbers and back, and terms whose derivatives are known.
#pragma once

#include <petscvec.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/model/term.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::testing {

using Numbers = std::vector<double>;

/// This rank's part of a Vec over `comm`.
inline petsc::VecHandle vector_of(const Numbers& entries, MPI_Comm comm = PETSC_COMM_SELF) {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecCreateMPI(comm, static_cast<PetscInt>(entries.size()), PETSC_DETERMINE, vec.out()));
  PetscScalar* array = nullptr;
  ESPALIER_CALL(VecGetArrayWrite(vec.get(), &array));
  std::copy(entries.begin(), entries.end(), array);
  ESPALIER_CALL(VecRestoreArrayWrite(vec.get(), &array));
  return vec;
}

inline Numbers entries_of(Vec vec) {
  PetscInt size = 0;
  const PetscScalar* array = nullptr;
  ESPALIER_CALL(VecGetLocalSize(vec, &size));
  ESPALIER_CALL(VecGetArrayRead(vec, &array));
  Numbers entries(array, array + size);
  ESPALIER_CALL(VecRestoreArrayRead(vec, &array));
  return entries;
}

/// A vector like `vec` full of NaN, so that what is not written shows.
inline petsc::VecHandle unwritten_like(Vec vec) {
  petsc::VecHandle copy;
  ESPALIER_CALL(VecDuplicate(vec, copy.out()));
  ESPALIER_CALL(VecSet(copy.get(), std::nan("")));
  return copy;
}

/// Numbers in [-1, 1] that look irregular; the same for the same seed.
inline Numbers some_numbers(std::size_t count, int seed) {
  Numbers numbers(count);
  for (std::size_t i = 0; i < count; ++i) numbers[i] = std::sin(1.7 * static_cast<double>(i * i) + 2.3 * seed + 0.4);
  return numbers;
}

/// max |a - b|; infinite when the lengths differ.
inline double distance(const Numbers& a, const Numbers& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // keeps NaN
  }
  return largest;
}

inline double dot(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

inline std::shared_ptr<nn::Mlp> small_mlp(std::int64_t width, std::uint64_t seed = 3, bool single_precision = false) {
  nn::MlpSettings settings;
  settings.widths = {width, 8, width};
  settings.activation = nn::Activation::tanh;
  settings.seed = seed;
  settings.single_precision = single_precision;
  return std::make_shared<nn::Mlp>(settings);
}

inline Numbers gradient_of(nn::Network& network) {
  const at::Tensor gradient = network.parameters().gradient().to(at::kDouble);
  return {gradient.data_ptr<double>(), gradient.data_ptr<double>() + gradient.numel()};
}

/// f_i(t, u) = t + u_i^2 + u_i u_(i+1), on each rank's entries as a ring; no parameters. With `broken`, J^T is wrong.
class QuadraticTerm : public model::Term {
 public:
  explicit QuadraticTerm(bool broken = false) : broken_(broken) {}

  void apply(double t, Vec u, Vec y) override {
    const Numbers x = entries_of(u);
    Numbers f(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) f[i] = t + x[i] * x[i] + x[i] * x[next(i, x)];
    write(f, y);
    ++applications;
  }

  std::shared_ptr<model::Linearization> linearize(double /*t*/, Vec u) override {
    ++linearizations;
    return std::make_shared<Products>(entries_of(u), broken_);
  }

  int applications = 0;
  int linearizations = 0;

 private:
  static std::size_t next(std::size_t i, const Numbers& x) { return (i + 1) % x.size(); }
  static void write(const Numbers& numbers, Vec y) {
    PetscScalar* array = nullptr;
    ESPALIER_CALL(VecGetArrayWrite(y, &array));
    std::copy(numbers.begin(), numbers.end(), array);
    ESPALIER_CALL(VecRestoreArrayWrite(y, &array));
  }

  class Products : public model::Linearization {
   public:
    Products(Numbers x, bool broken) : x_(std::move(x)), broken_(broken) {}
    void jvp(Vec v, Vec y) override {
      const Numbers d = entries_of(v);
      Numbers f(x_.size());
      for (std::size_t i = 0; i < x_.size(); ++i) f[i] = (2 * x_[i] + x_[next(i, x_)]) * d[i] + x_[i] * d[next(i, x_)];
      write(f, y);
    }
    void vjp(Vec w, Vec u_bar) override {
      const Numbers d = entries_of(w);
      Numbers f(x_.size(), 0);
      for (std::size_t i = 0; i < x_.size(); ++i) {
        f[i] += (2 * x_[i] + x_[next(i, x_)]) * d[i];
        if (!broken_) f[next(i, x_)] += x_[i] * d[i];
      }
      write(f, u_bar);
    }

   private:
    Numbers x_;
    bool broken_;
  };

  bool broken_;
};

}  // namespace espalier::testing
