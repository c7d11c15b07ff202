#include "espalier/implicit/batch_matrix.hpp"

#include <algorithm>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"

namespace espalier::implicit {

namespace {

MPI_Comm comm_of(Vec vec) { return PetscObjectComm(reinterpret_cast<PetscObject>(vec)); }

/// A row of a matrix while the object lives.
class Row {
 public:
  Row(Mat mat, PetscInt row) : mat_(mat), row_(row) { ESPALIER_CALL(MatGetRow(mat, row, &count, &columns, &values)); }
  ~Row() { (void)MatRestoreRow(mat_, row_, &count, &columns, &values); }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  PetscInt count = 0;
  const PetscInt* columns = nullptr;
  const PetscScalar* values = nullptr;

 private:
  Mat mat_;
  PetscInt row_;
};

std::vector<PetscInt> ranges(MPI_Comm comm, const PetscInt* first) {
  int size = 1;
  MPI_Comm_size(comm, &size);
  return {first, first + size + 1};
}

void assemble(Mat mat) {
  ESPALIER_CALL(MatAssemblyBegin(mat, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(mat, MAT_FINAL_ASSEMBLY));
}

}  // namespace

BatchMatrix::BatchMatrix(Vec state, const model::Linearization& linearization) {
  ESPALIER_REQUIRE(linearization.matrices() > 0,
                   "this preconditioner needs matrices, and the terms of the equation form none: choose -pc_type none, "
                   "or give the solver's KSP a PCSHELL");
  sample_ = linearization.create_matrix();
  check_sizes(state, linearization);
  if (samples_ > 1) create(state);
}

// A rank may hold no part of a sample: the others know how many there are.
void BatchMatrix::check_sizes(Vec state, const model::Linearization& linearization) {
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(state, &length));
  ESPALIER_CALL(MatGetLocalSize(sample_.get(), &rows_, nullptr));
  const PetscInt mine = rows_ > 0 ? length / rows_ : 0;
  MPI_Allreduce(&mine, &samples_, 1, MPIU_INT, MPI_MAX, comm_of(state));
  const std::int64_t formed = linearization.matrices();
  const bool fits = length == samples_ * rows_ && (formed == 1 || formed == samples_);
  ESPALIER_REQUIRE(!core::any_rank(comm_of(state), !fits),
                   "the terms form " + std::to_string(formed) + " matrices that do not fit a state of " +
                       std::to_string(samples_) + " samples: every rank must hold its part of each sample");
}

void BatchMatrix::create(Vec state) {
  const PetscInt* first = nullptr;
  ESPALIER_CALL(MatGetOwnershipRanges(sample_.get(), &first));
  sample_first_ = ranges(comm_of(state), first);
  ESPALIER_CALL(VecGetOwnershipRanges(state, &first));
  batch_first_ = ranges(comm_of(state), first);
  int rank = 0;
  MPI_Comm_rank(comm_of(state), &rank);
  const PetscInt begin = sample_first_[static_cast<std::size_t>(rank)];
  std::vector<PetscInt> own(static_cast<std::size_t>(rows_ * samples_));
  std::vector<PetscInt> other(own.size());
  for (PetscInt i = 0; i < rows_; ++i) {
    const Row row(sample_.get(), begin + i);
    const auto inside = static_cast<PetscInt>(std::count_if(row.columns, row.columns + row.count, [&](PetscInt column) {
      return column >= begin && column < begin + rows_;
    }));
    columns_.resize(std::max(columns_.size(), static_cast<std::size_t>(row.count)));
    for (PetscInt s = 0; s < samples_; ++s) {
      own[static_cast<std::size_t>(s * rows_ + i)] = inside;
      other[static_cast<std::size_t>(s * rows_ + i)] = row.count - inside;
    }
  }
  const PetscInt rows = rows_ * samples_;
  ESPALIER_CALL(MatCreateAIJ(comm_of(state), rows, rows, PETSC_DETERMINE, PETSC_DETERMINE, 0, own.data(), 0,
                             other.data(), mat_.out()));
}

void BatchMatrix::fill(const model::Linearization& linearization) {
  if (samples_ == 1) mat_ = petsc::MatHandle::share(sample_.get());
  for (PetscInt s = 0; s < samples_; ++s) {
    if (s < linearization.matrices()) {
      ESPALIER_CALL(MatZeroEntries(sample_.get()));
      linearization.add_to_matrix(s, 1.0, sample_.get());
    }
    if (samples_ > 1) copy_sample(s);
  }
  if (samples_ > 1) assemble(mat_.get());
}

// Column j of a sample belongs to the rank r with first_r <= j: its place there, in that rank's part of the batch.
void BatchMatrix::copy_sample(PetscInt sample) {
  PetscInt begin = 0;
  PetscInt batch_begin = 0;
  ESPALIER_CALL(MatGetOwnershipRange(sample_.get(), &begin, nullptr));
  ESPALIER_CALL(MatGetOwnershipRange(mat_.get(), &batch_begin, nullptr));
  for (PetscInt i = 0; i < rows_; ++i) {
    const Row row(sample_.get(), begin + i);
    for (PetscInt j = 0; j < row.count; ++j) {
      const auto next = std::upper_bound(sample_first_.begin(), sample_first_.end(), row.columns[j]);
      const auto rank = static_cast<std::size_t>(next - sample_first_.begin()) - 1;
      const PetscInt rows_there = sample_first_[rank + 1] - sample_first_[rank];
      columns_[static_cast<std::size_t>(j)] =
          batch_first_[rank] + sample * rows_there + row.columns[j] - sample_first_[rank];
    }
    const PetscInt target = batch_begin + sample * rows_ + i;
    ESPALIER_CALL(MatSetValues(mat_.get(), 1, &target, row.count, columns_.data(), row.values, INSERT_VALUES));
  }
}

}  // namespace espalier::implicit
