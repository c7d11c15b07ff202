// Vectors and copies without an allocation for each: one that nobody holds any more is written over by the next.
#pragma once

#include <petscvec.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "espalier/petsc/handle.hpp"

namespace espalier::petsc {

/// Not collective but for the first vectors, which are created. Vectors of another layout make the pool anew.
class VecPool {
 public:
  /// A vector of u's layout, its entries whatever they are; the caller's as long as the pointer lives.
  std::shared_ptr<VecHandle> take(Vec u);
  /// A copy of u, likewise.
  std::shared_ptr<VecHandle> copy(Vec u);

 private:
  std::vector<std::shared_ptr<VecHandle>> vectors_;
  std::size_t next_ = 0;  // where the last one was found
};

}  // namespace espalier::petsc
