// Products by sparse matrices beside those of the terms.
#pragma once

#include <algorithm>

#include "espalier/model/sparse_jacobian.hpp"
#include "model/vectors.hpp"

namespace espalier::testing {

/// Largest difference of (shift I + scale J) v by the matrices from that by the products, J as it is and transposed.
inline double matrix_error(const model::SparseJacobian& sparse, model::Linearization& linearization, double shift,
                           double scale, Vec v) {
  double largest = 0;
  for (const bool transpose : {false, true}) {
    const petsc::VecHandle y = unwritten_like(v);
    const petsc::VecHandle expected = unwritten_like(v);
    ESPALIER_CALL(transpose ? MatMultTranspose(sparse.mat(), v, y.get()) : MatMult(sparse.mat(), v, y.get()));
    transpose ? linearization.vjp(v, expected.get()) : linearization.jvp(v, expected.get());
    ESPALIER_CALL(VecAXPBY(expected.get(), shift, scale, v));
    largest = std::max(largest, distance(entries_of(y.get()), entries_of(expected.get())));
  }
  return largest;
}

}  // namespace espalier::testing
