#include "espalier/petsc/matrix_fields.hpp"

#include "espalier/core/error.hpp"

namespace espalier::petsc {

namespace {

// PETSc's objects carry others by name: they live as long as the matrix.
std::string key_of(std::size_t k) { return "espalier_field_" + std::to_string(k); }

PetscObject object(Mat matrix) { return reinterpret_cast<PetscObject>(matrix); }

}  // namespace

void set_fields(Mat matrix, const std::vector<std::string>& names) {
  PetscInt rows = 0;
  PetscInt first = 0;
  ESPALIER_CALL(MatGetLocalSize(matrix, &rows, nullptr));
  ESPALIER_CALL(MatGetOwnershipRange(matrix, &first, nullptr));
  const auto count = static_cast<PetscInt>(names.size());
  ESPALIER_ASSERT(count > 0 && rows % count == 0, "the fields of a matrix have equally many rows");
  for (std::size_t k = 0; k < names.size(); ++k) {
    IsHandle field;
    const PetscInt start = first + static_cast<PetscInt>(k) * (rows / count);
    ESPALIER_CALL(ISCreateStride(PetscObjectComm(object(matrix)), rows / count, start, 1, field.out()));
    ESPALIER_CALL(PetscObjectSetName(reinterpret_cast<PetscObject>(field.get()), names[k].c_str()));
    ESPALIER_CALL(PetscObjectCompose(object(matrix), key_of(k).c_str(), reinterpret_cast<PetscObject>(field.get())));
  }
}

std::vector<MatrixField> fields_of(Mat matrix) {
  std::vector<MatrixField> fields;
  for (;;) {
    PetscObject found = nullptr;
    const char* name = nullptr;
    ESPALIER_CALL(PetscObjectQuery(object(matrix), key_of(fields.size()).c_str(), &found));
    if (found == nullptr) return fields;
    ESPALIER_CALL(PetscObjectGetName(found, &name));
    fields.push_back({name, IsHandle::share(reinterpret_cast<IS>(found))});
  }
}

}  // namespace espalier::petsc
