#include "espalier/petsc/vec_pool.hpp"

#include "espalier/core/error.hpp"

namespace espalier::petsc {

namespace {

bool same_layout(Vec a, Vec b) {
  PetscLayout layout_a = nullptr;
  PetscLayout layout_b = nullptr;
  PetscBool same = PETSC_FALSE;
  ESPALIER_CALL(VecGetLayout(a, &layout_a));
  ESPALIER_CALL(VecGetLayout(b, &layout_b));
  ESPALIER_CALL(PetscLayoutCompare(layout_a, layout_b, &same));
  return same == PETSC_TRUE;
}

}  // namespace

std::shared_ptr<VecHandle> VecPool::take(Vec u) {
  if (!vectors_.empty() && !same_layout(vectors_.front()->get(), u)) vectors_.clear();
  std::shared_ptr<VecHandle> result;
  // Vectors come back in the order in which they went, or all together: the next one is often free.
  for (std::size_t n = 0; n < vectors_.size() && !result; ++n) {
    next_ = (next_ + 1) % vectors_.size();
    if (vectors_[next_].use_count() == 1) result = vectors_[next_];
  }
  if (!result) {
    result = std::make_shared<VecHandle>();
    ESPALIER_CALL(VecDuplicate(u, result->out()));
    vectors_.push_back(result);
  }
  return result;
}

std::shared_ptr<VecHandle> VecPool::copy(Vec u) {
  auto result = take(u);
  ESPALIER_CALL(VecCopy(u, result->get()));
  return result;
}

}  // namespace espalier::petsc
