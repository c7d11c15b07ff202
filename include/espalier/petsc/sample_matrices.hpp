// Sparse matrices of a batch whose samples do not couple, and PETSc's preconditioners for all of them.
#pragma once

#include <petscksp.h>

#include <cstddef>
#include <vector>

#include "espalier/petsc/handle.hpp"

namespace espalier::petsc {

/// The matrix I (x) M or diag(M_1, ..., M_m) for vectors that hold m samples one after another on each rank, each with
/// this rank's rows of M. Given to a KSP as the matrix of its preconditioner. Host memory.
class SampleMatrices {
 public:
  /// `state`: a vector of the batch. Throws UserError when its local size is no multiple of `samples`. Collective.
  SampleMatrices(Vec state, PetscInt samples);
  SampleMatrices(const SampleMatrices&) = delete;
  SampleMatrices& operator=(const SampleMatrices&) = delete;

  /// Takes one matrix, which all samples share, or one for each. Collective.
  void adopt(std::vector<MatHandle> matrices);
  /// Matrices adopted: 0, 1 or the number of samples.
  std::size_t count() const { return matrices_.size(); }
  bool shared() const { return matrices_.size() == 1; }
  Mat matrix(std::size_t k) const { return matrices_[k].get(); }
  PetscInt samples() const { return samples_; }
  /// Says that entries changed, so that preconditioners are made anew.
  void mark_changed();
  /// Times that preconditioners of them were set up, all at once, or those of the transposed matrices.
  long set_ups() const { return set_ups_; }
  void note_set_up() { ++set_ups_; }

  /// y = M x sample by sample, or with the transposed matrices. Collective.
  void multiply(Vec x, Vec y, bool transpose);

  /// The batch's matrix as a shell: what KSPSetOperators() takes. Lives as long as this object.
  Mat mat() const { return mat_.get(); }
  /// The object behind such a shell; nullptr for any other matrix.
  static SampleMatrices* of(Mat mat);

 private:
  PetscInt samples_;
  PetscInt rows_ = 0;  // of one sample on this rank
  std::vector<MatHandle> matrices_;
  long set_ups_ = 0;
  VecHandle input_;  // one sample of x, and of y: without memory of their own
  VecHandle output_;
  MatHandle mat_;
};

/// The name for PCSetType() and -pc_type, once register_samples_pc() was called: a preconditioner for SampleMatrices
/// made of one ordinary PC for each matrix, with the options prefix `samples_` after the KSP's own, such as
/// `-samples_pc_type gamg`. Where all samples share a matrix it is set up once and applied to all of them at once
/// (PCMatApply). Transposed applications are the PC's own where it is known to have exact ones (none, jacobi, pbjacobi,
/// ilu, icc, lu, cholesky, bjacobi of these) or with `-samples_own_transpose`, which is cheaper for gamg; any other PC
/// is made for the transposed matrix, so that every PC has one. Either is set up when it is first used. PCFIELDSPLIT
/// gets the fields of the matrices (matrix_fields.hpp); with inner solves that iterate, as those of Schur complements
/// by default, the KSP must be fgmres. `-samples_lag n`, with the KSP's prefix before it, renews them with every n-th
/// change of the matrices, 0 never: solves take other iterations to the same tolerance. (SNES undoes
/// -ksp_reuse_preconditioner.)
constexpr const char* samples_pc_type = "espalier_samples";

/// Makes the type known to PETSc. May be called again; not collective.
void register_samples_pc();

}  // namespace espalier::petsc
