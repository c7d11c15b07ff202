// The Jacobian of a term whose samples do not couple, with its entries: for direct solves and PETSc's preconditioners.
#pragma once

#include <petscmat.h>

#include "espalier/model/term.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::model {

/// The matrix shift I + scale J with J = df/du as a MATAIJ whose block size is dof: the state holds samples x dof and
/// samples do not couple, so that J is block-diagonal with one dense block [dof x dof] per sample. dof products J v
/// give all blocks, as their samples share one colour: with v = e_j in each sample, J v is column j of each block
/// (Curtis, Powell & Reid, 1974). Memory: 12 samples dof^2 bytes, and 8 more for the inverses of PCPBJACOBI. Host.
///
/// MATAIJ because PCPBJACOBI keeps the inverses of a MATBAIJ's former entries (PETSc 3.22, MatAssemblyEnd_SeqBAIJ).
class AssembledJacobian {
 public:
  /// `state`: a vector with the state's layout, on which ranks may hold 0 samples and differing numbers of them.
  /// `tolerance`: by how much products with the blocks and with J may differ, relatively; above it the samples couple.
  /// Collective on the Vec's communicator.
  AssembledJacobian(Vec state, PetscInt dof, double tolerance = 1e-8);

  /// Fills the blocks, in place. The first time a product with them is compared with one of J; throws UserError on all
  /// ranks when they differ, because samples couple. Collective.
  void set(Linearization& linearization, double shift, double scale);
  Mat mat() const { return mat_.get(); }

 private:
  void create_matrix();
  void fill(Linearization& linearization, double shift, double scale);
  void compare(Linearization& linearization, double shift, double scale);

  PetscInt dof_;
  PetscInt samples_ = 0;  // of this rank
  double tolerance_;
  bool compared_ = false;
  petsc::VecHandle direction_;
  petsc::VecHandle column_;
  petsc::MatHandle mat_;
};

}  // namespace espalier::model
