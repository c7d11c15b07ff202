// Vectors of parameter length that are never stored: PETSc's adjoint accumulates through them into a network's own
// gradient buffer.
#pragma once

#include <petscvec.h>

#include "espalier/petsc/handle.hpp"

namespace espalier::petsc {

/// A product (df/dtheta)^T w that has been asked for but not formed.
class PendingProduct {
 public:
  virtual ~PendingProduct() = default;
  /// theta_bar += alpha (df/dtheta)^T w.
  virtual void accumulate(double alpha) = 0;
};

/// A Vec of type "espalier_gradient" with a layout and no entries. PETSc's adjoint integrators form
/// P = (df/dtheta)^T w, scale P, and add it to mu. With vectors of this type the product only remembers who can form
/// it, scaling changes a number, and VecAXPY(mu, alpha, P) is the accumulation into theta_bar: no vector of
/// parameter length is written or read per stage. Any other operation is an error of PETSc's (not supported).
/// `local_size`: entries of this rank, which may differ between ranks. Collective on `comm`.
VecHandle create_gradient_vec(MPI_Comm comm, PetscInt local_size);

bool is_gradient_vec(Vec vec);

/// Makes `vec` the product that `product` can form; nullptr makes it zero. `product` must live until the next
/// set_pending() or the destruction of `vec`. Not collective.
void set_pending(Vec vec, PendingProduct* product);

}  // namespace espalier::petsc
