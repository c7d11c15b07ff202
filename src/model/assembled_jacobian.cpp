#include "espalier/model/assembled_jacobian.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

using petsc::Access;
using petsc::TensorView;

using RandomHandle = petsc::Handle<PetscRandom, PetscRandomDestroy>;

/// The blocks on this rank as a tensor [samples, row, column] while the object lives.
class BlockView {
 public:
  BlockView(Mat mat, PetscInt samples, PetscInt dof) {
    ESPALIER_CALL(MatGetDiagonalBlock(mat, &local_));
    ESPALIER_CALL(MatSeqAIJGetArrayWrite(local_, &array_));
    // Rows are stored one after another, each with the dof entries of its sample.
    tensor_ = at::from_blob(array_, {samples, dof, dof}, at::TensorOptions().dtype(at::kDouble));
  }
  ~BlockView() { (void)MatSeqAIJRestoreArrayWrite(local_, &array_); }
  BlockView(const BlockView&) = delete;
  BlockView& operator=(const BlockView&) = delete;

  const at::Tensor& tensor() const { return tensor_; }

 private:
  Mat local_ = nullptr;
  PetscScalar* array_ = nullptr;
  at::Tensor tensor_;
};

void assemble(Mat mat) {
  ESPALIER_CALL(MatAssemblyBegin(mat, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(mat, MAT_FINAL_ASSEMBLY));
}

}  // namespace

AssembledJacobian::AssembledJacobian(Vec state, PetscInt dof, double tolerance) : dof_(dof), tolerance_(tolerance) {
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(state, &length));
  ESPALIER_REQUIRE(dof > 0 && length % dof == 0, "the local state of " + std::to_string(length) +
                                                     " entries is no multiple of a sample's " + std::to_string(dof));
  samples_ = length / dof;
  ESPALIER_CALL(VecDuplicate(state, direction_.out()));
  ESPALIER_CALL(VecDuplicate(state, column_.out()));
  create_matrix();
}

// All places are made here: zeros are places too.
void AssembledJacobian::create_matrix() {
  const PetscInt rows = samples_ * dof_;
  ESPALIER_CALL(MatCreate(PetscObjectComm(reinterpret_cast<PetscObject>(direction_.get())), mat_.out()));
  ESPALIER_CALL(MatSetSizes(mat_.get(), rows, rows, PETSC_DETERMINE, PETSC_DETERMINE));
  ESPALIER_CALL(MatSetBlockSize(mat_.get(), dof_));
  ESPALIER_CALL(MatSetType(mat_.get(), MATAIJ));
  ESPALIER_CALL(MatSeqAIJSetPreallocation(mat_.get(), dof_, nullptr));
  ESPALIER_CALL(MatMPIAIJSetPreallocation(mat_.get(), dof_, nullptr, 0, nullptr));
  PetscInt first = 0;
  ESPALIER_CALL(MatGetOwnershipRange(mat_.get(), &first, nullptr));
  const std::vector<PetscScalar> zeros(static_cast<std::size_t>(dof_ * dof_), 0);
  for (PetscInt sample = first / dof_; sample < first / dof_ + samples_; ++sample)
    ESPALIER_CALL(MatSetValuesBlocked(mat_.get(), 1, &sample, 1, &sample, zeros.data(), INSERT_VALUES));
  ESPALIER_CALL(MatSetOption(mat_.get(), MAT_NO_OFF_PROC_ENTRIES, PETSC_TRUE));
  assemble(mat_.get());
}

void AssembledJacobian::set(Linearization& linearization, double shift, double scale) {
  fill(linearization, shift, scale);
  // On several ranks the entries belong to an inner matrix: solvers look at the state of this one.
  assemble(mat_.get());
  if (!compared_) compare(linearization, shift, scale);
}

void AssembledJacobian::fill(Linearization& linearization, double shift, double scale) {
  const BlockView blocks(mat_.get(), samples_, dof_);
  ESPALIER_CALL(VecZeroEntries(direction_.get()));
  for (PetscInt j = 0; j < dof_; ++j) {
    {
      const TensorView direction(direction_.get(), {samples_, dof_}, Access::read_write);
      if (j > 0) direction.tensor().select(1, j - 1).zero_();
      direction.tensor().select(1, j).fill_(1);
    }
    // Column j of every block: J e_j.
    linearization.jvp(direction_.get(), column_.get());
    const TensorView column(column_.get(), {samples_, dof_}, Access::read);
    blocks.tensor().select(2, j).copy_(column.tensor());
  }
  // shift I + scale J.
  blocks.tensor().mul_(scale);
  blocks.tensor().diagonal(0, 1, 2).add_(shift);
}

// |B x - (shift x + scale J x)| <= tolerance |shift x + scale J x| for one x whose entries look random.
void AssembledJacobian::compare(Linearization& linearization, double shift, double scale) {
  RandomHandle random;
  petsc::VecHandle difference;
  ESPALIER_CALL(PetscRandomCreate(PetscObjectComm(reinterpret_cast<PetscObject>(mat_.get())), random.out()));
  ESPALIER_CALL(PetscRandomSetType(random.get(), PETSCRANDER48));
  ESPALIER_CALL(VecDuplicate(column_.get(), difference.out()));
  ESPALIER_CALL(VecSetRandom(direction_.get(), random.get()));
  linearization.jvp(direction_.get(), column_.get());
  ESPALIER_CALL(VecAXPBY(column_.get(), shift, scale, direction_.get()));
  ESPALIER_CALL(MatMult(mat_.get(), direction_.get(), difference.get()));
  ESPALIER_CALL(VecAXPY(difference.get(), -1.0, column_.get()));
  PetscReal distance = 0;
  PetscReal norm = 0;
  ESPALIER_CALL(VecNorm(difference.get(), NORM_2, &distance));
  ESPALIER_CALL(VecNorm(column_.get(), NORM_2, &norm));
  // Values that are not finite say nothing, and are found elsewhere.
  if (!std::isfinite(distance) || !std::isfinite(norm)) return;
  ESPALIER_REQUIRE(distance <= tolerance_ * norm,
                   "the right-hand side of one sample depends on other samples, so that its Jacobian is not "
                   "block-diagonal: use -ts_jacobian shell");
  compared_ = true;
}

}  // namespace espalier::model
