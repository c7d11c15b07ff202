#include "espalier/model/sparse_jacobian.hpp"

#include <string>

#include "espalier/core/error.hpp"
#include "espalier/model/shift.hpp"

namespace espalier::model {

bool SparseJacobian::is_current(const Linearization& linearization, double shift, double scale) const {
  const long version = linearization.matrices_version();
  return version >= 0 && version == version_ && scale == scale_ && shift == shift_;
}

void SparseJacobian::create_matrices(const Linearization& linearization) {
  std::vector<petsc::MatHandle> matrices;
  for (std::int64_t k = 0; k < linearization.matrices(); ++k) matrices.push_back(linearization.create_matrix());
  matrices_.adopt(std::move(matrices));
}

// M_k = shift I + scale J_k.
void SparseJacobian::set(const Linearization& linearization, double exact_shift, double scale) {
  const double shift = rounded_shift(exact_shift);
  if (is_current(linearization, shift, scale)) return;
  const auto count = linearization.matrices();
  ESPALIER_ASSERT(count == 1 || count == matrices_.samples(), "a term forms one matrix, or one for each sample");
  if (matrices_.count() != static_cast<std::size_t>(count)) create_matrices(linearization);
  for (std::int64_t k = 0; k < count; ++k)
    linearization.write_matrix(k, shift, scale, matrices_.matrix(static_cast<std::size_t>(k)));
  matrices_.mark_changed();
  shift_ = shift;
  scale_ = scale;
  version_ = linearization.matrices_version();
  ++formed_;
}

}  // namespace espalier::model
