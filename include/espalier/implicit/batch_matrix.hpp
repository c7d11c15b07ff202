// The matrix of a whole batch from the matrices that a term forms for its samples: what PETSc's preconditioners take.
#pragma once

#include <petscmat.h>

#include <vector>

#include "espalier/model/term.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::implicit {

/// The block-diagonal MATAIJ of all samples, in the order of the state: this rank's rows are those of its part of the
/// first sample, of the second, and so on. Samples that share one matrix get a copy each.
class BatchMatrix {
 public:
  /// `state`: a vector with the state's layout. Throws UserError on all ranks when the term forms no matrices, or not
  /// for such a state. Collective.
  BatchMatrix(Vec state, const model::Linearization& linearization);

  /// The entries of this linearisation. Collective.
  void fill(const model::Linearization& linearization);
  Mat mat() const { return mat_.get(); }

 private:
  void check_sizes(Vec state, const model::Linearization& linearization);
  void create(Vec state);
  void copy_sample(PetscInt sample);

  petsc::MatHandle sample_;  // of one sample
  petsc::MatHandle mat_;
  PetscInt rows_ = 0;                   // of one sample, on this rank
  PetscInt samples_ = 0;                // the same on all ranks
  std::vector<PetscInt> sample_first_;  // by rank: its first row of a sample's matrix
  std::vector<PetscInt> batch_first_;   // and of the batch's
  std::vector<PetscInt> columns_;
};

}  // namespace espalier::implicit
