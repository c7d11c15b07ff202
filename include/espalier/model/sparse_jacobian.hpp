// The Jacobian of a term that forms sparse matrices, for PETSc's preconditioners.
#pragma once

#include "espalier/model/term.hpp"
#include "espalier/petsc/sample_matrices.hpp"

namespace espalier::model {

/// shift I + scale df/du of a batch, one sparse matrix for all samples or one for each, as the term says. The entries
/// are renewed when the shift, as rounded_shift() has it, the scale or the version of the term's matrices changed. Host
/// memory.
class SparseJacobian {
 public:
  /// `state`: a vector of the batch of `samples`, each spread over the ranks. Collective.
  SparseJacobian(Vec state, PetscInt samples) : matrices_(state, samples) {}

  /// Collective.
  void set(const Linearization& linearization, double shift, double scale);
  /// For KSPSetOperators(), with PC type petsc::samples_pc_type.
  Mat mat() const { return matrices_.mat(); }
  /// Times that the entries were formed.
  long formed() const { return formed_; }

 private:
  bool is_current(const Linearization& linearization, double shift, double scale) const;
  void create_matrices(const Linearization& linearization);

  petsc::SampleMatrices matrices_;
  double shift_ = 0;
  double scale_ = 0;
  long version_ = -1;
  long formed_ = 0;
};

}  // namespace espalier::model
