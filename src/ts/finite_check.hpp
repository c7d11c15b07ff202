// The first non-finite value of a run is reported, dumped, and ends it.
#pragma once

#include <petscvec.h>

#include <cstdint>
#include <string>

namespace espalier::ts {

struct FiniteCheck {
  MPI_Comm comm;
  std::int64_t dof;            ///< entries per sample, to name sample and entry
  std::string dump_directory;  ///< empty: no dump
  std::string method;

  /// Throws NumericalError that names step, time, stage (-1: end of step), rank and index of the first value that is
  /// not finite. Collective if `collective`: then all ranks throw; else this rank alone.
  void require_finite(Vec u, PetscInt step, double time, int stage, bool collective) const;
};

}  // namespace espalier::ts
