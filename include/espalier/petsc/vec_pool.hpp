// Copies of vectors without an allocation for each: a copy that nobody holds any more is written over by the next one.
#pragma once

#include <petscvec.h>

#include <memory>
#include <vector>

#include "espalier/petsc/handle.hpp"

namespace espalier::petsc {

/// Not collective but for the first copies, which create their vectors. Vectors of another layout make the pool anew.
class VecPool {
 public:
  /// A copy of u, the caller's as long as the pointer lives.
  std::shared_ptr<VecHandle> copy(Vec u);

 private:
  std::vector<std::shared_ptr<VecHandle>> vectors_;
};

}  // namespace espalier::petsc
