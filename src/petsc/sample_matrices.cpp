#include "espalier/petsc/sample_matrices.hpp"

#include <string>

#include "espalier/core/error.hpp"

namespace espalier::petsc {

namespace {

constexpr const char* context_name = "espalier_sample_matrices";

MPI_Comm comm_of(Vec vec) { return PetscObjectComm(reinterpret_cast<PetscObject>(vec)); }

}  // namespace

SampleMatrices::SampleMatrices(Vec state, PetscInt samples) : samples_(samples) {
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(state, &length));
  ESPALIER_REQUIRE(samples > 0 && length % samples == 0, "the local state of " + std::to_string(length) +
                                                             " entries does not divide into " +
                                                             std::to_string(samples) + " samples");
  rows_ = length / samples;
  const MPI_Comm comm = comm_of(state);
  ESPALIER_CALL(VecCreateMPIWithArray(comm, 1, rows_, PETSC_DETERMINE, nullptr, input_.out()));
  ESPALIER_CALL(VecCreateMPIWithArray(comm, 1, rows_, PETSC_DETERMINE, nullptr, output_.out()));
  ESPALIER_CALL(MatCreateShell(comm, length, length, PETSC_DETERMINE, PETSC_DETERMINE, this, mat_.out()));
  using Product = PetscErrorCode (*)(Mat, Vec, Vec);
  const Product product = [](Mat mat, Vec x, Vec y) noexcept { return guard([&] { of(mat)->multiply(x, y, false); }); };
  const Product transposed = [](Mat mat, Vec x, Vec y) noexcept {
    return guard([&] { of(mat)->multiply(x, y, true); });
  };
  using VoidFunction = void (*)();
  ESPALIER_CALL(MatShellSetOperation(mat(), MATOP_MULT, reinterpret_cast<VoidFunction>(product)));
  ESPALIER_CALL(MatShellSetOperation(mat(), MATOP_MULT_TRANSPOSE, reinterpret_cast<VoidFunction>(transposed)));
  // Tells this shell from others.
  PetscContainer container = nullptr;
  ESPALIER_CALL(PetscContainerCreate(comm, &container));
  const Handle<PetscContainer, PetscContainerDestroy> owner(container);
  ESPALIER_CALL(PetscContainerSetPointer(container, this));
  ESPALIER_CALL(
      PetscObjectCompose(reinterpret_cast<PetscObject>(mat()), context_name, reinterpret_cast<PetscObject>(container)));
}

SampleMatrices* SampleMatrices::of(Mat mat) {
  PetscObject found = nullptr;
  void* context = nullptr;
  ESPALIER_CALL(PetscObjectQuery(reinterpret_cast<PetscObject>(mat), context_name, &found));
  if (found != nullptr) ESPALIER_CALL(PetscContainerGetPointer(reinterpret_cast<PetscContainer>(found), &context));
  return static_cast<SampleMatrices*>(context);
}

void SampleMatrices::adopt(std::vector<MatHandle> matrices) {
  ESPALIER_ASSERT(matrices.size() == 1 || matrices.size() == static_cast<std::size_t>(samples_),
                  "a batch has one matrix for all of its samples, or one for each");
  for (const auto& matrix : matrices) {
    PetscInt rows = 0;
    ESPALIER_CALL(MatGetLocalSize(matrix.get(), &rows, nullptr));
    ESPALIER_REQUIRE(rows == rows_, "a sample's matrix has " + std::to_string(rows) + " rows on a rank that holds " +
                                        std::to_string(rows_) + " entries of each sample");
  }
  matrices_ = std::move(matrices);
  mark_changed();
}

void SampleMatrices::mark_changed() {
  ESPALIER_CALL(MatAssemblyBegin(mat(), MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(mat(), MAT_FINAL_ASSEMBLY));
}

void SampleMatrices::multiply(Vec x, Vec y, bool transpose) {
  ESPALIER_ASSERT(!matrices_.empty(), "the samples' matrices are not there yet");
  const PetscScalar* in = nullptr;
  PetscScalar* out = nullptr;
  ESPALIER_CALL(VecGetArrayRead(x, &in));
  ESPALIER_CALL(VecGetArrayWrite(y, &out));
  for (PetscInt k = 0; k < samples_; ++k) {
    Mat matrix = matrices_[shared() ? 0 : static_cast<std::size_t>(k)].get();
    ESPALIER_CALL(VecPlaceArray(input_.get(), in + k * rows_));
    ESPALIER_CALL(VecPlaceArray(output_.get(), out + k * rows_));
    ESPALIER_CALL(transpose ? MatMultTranspose(matrix, input_.get(), output_.get())
                            : MatMult(matrix, input_.get(), output_.get()));
    ESPALIER_CALL(VecResetArray(input_.get()));
    ESPALIER_CALL(VecResetArray(output_.get()));
  }
  ESPALIER_CALL(VecRestoreArrayRead(x, &in));
  ESPALIER_CALL(VecRestoreArrayWrite(y, &out));
}

}  // namespace espalier::petsc
