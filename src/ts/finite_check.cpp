#include "finite_check.hpp"

#include <cmath>
#include <cstring>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::ts {

namespace {

// IEEE 754: infinities and NaNs are the doubles whose exponent bits are all set. Without branches, so that the loop
// is vectorised; it runs at every stage.
bool all_finite(const double* values, PetscInt count) {
  constexpr std::uint64_t exponent = 0x7ff0000000000000ULL;
  std::uint64_t bad = 0;
  for (PetscInt i = 0; i < count; ++i) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, values + i, sizeof bits);
    bad |= static_cast<std::uint64_t>((bits & exponent) == exponent);
  }
  return bad == 0;
}

PetscInt first_non_finite(const double* values, PetscInt count) {
  for (PetscInt i = 0; i < count; ++i)
    if (!std::isfinite(values[i])) return i;
  return count;
}

int rank_of(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

std::string dump(const double* values, PetscInt count, const std::string& directory, PetscInt step, int rank) {
  if (directory.empty()) return "";
  const std::string path =
      directory + "/non_finite_step" + std::to_string(step) + "_rank" + std::to_string(rank) + ".petscbin";
  petsc::VecHandle copy;
  petsc::ViewerHandle viewer;
  const bool written = VecCreateSeqWithArray(PETSC_COMM_SELF, 1, count, values, copy.out()) == PETSC_SUCCESS &&
                       PetscViewerCreate(PETSC_COMM_SELF, viewer.out()) == PETSC_SUCCESS &&
                       PetscViewerSetType(viewer.get(), PETSCVIEWERBINARY) == PETSC_SUCCESS &&
                       PetscViewerBinarySetSkipInfo(viewer.get(), PETSC_TRUE) == PETSC_SUCCESS &&
                       PetscViewerFileSetMode(viewer.get(), FILE_MODE_WRITE) == PETSC_SUCCESS &&
                       PetscViewerFileSetName(viewer.get(), path.c_str()) == PETSC_SUCCESS &&
                       VecView(copy.get(), viewer.get()) == PETSC_SUCCESS;
  return written ? "; this rank's state is in " + path : "; the state could not be written to " + path;
}

}  // namespace

void FiniteCheck::require_finite(Vec u, PetscInt step, double time, int stage, bool collective) const {
  PetscInt count = 0;
  const PetscScalar* values = nullptr;
  ESPALIER_CALL(VecGetLocalSize(u, &count));
  ESPALIER_CALL(VecGetArrayRead(u, &values));
  const bool finite = all_finite(values, count);
  std::string message;
  if (!finite) {
    const PetscInt index = first_non_finite(values, count);
    const int rank = rank_of(comm);
    const auto entry = static_cast<std::int64_t>(index);
    message = "the state is not finite: method " + method + ", step " + std::to_string(step) +
              (stage < 0 ? std::string(", end of step") : ", stage " + std::to_string(stage)) + ", time " +
              std::to_string(time) + ", rank " + std::to_string(rank) + ", index " + std::to_string(entry) +
              " (sample " + std::to_string(entry / dof) + ", entry " + std::to_string(entry % dof) + ") is " +
              std::to_string(values[index]) + dump(values, count, dump_directory, step, rank) +
              "; take a smaller -ts_dt or a method with an implicit part";
  }
  ESPALIER_CALL(VecRestoreArrayRead(u, &values));
  if (collective) {
    core::agree(comm, [&] {
      if (!message.empty()) throw NumericalError(message, __FILE__, __LINE__);
    });
  } else if (!message.empty()) {
    throw NumericalError(message, __FILE__, __LINE__);
  }
}

}  // namespace espalier::ts
