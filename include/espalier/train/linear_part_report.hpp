// What training made of the linear part of a system, for the run report.
#pragma once

#include <mpi.h>

#include <memory>

#include "espalier/core/report.hpp"
#include "espalier/model/linear_term.hpp"

namespace espalier::train {

/// Metrics `linear_part_error_start` and `linear_part_error`, the relative Frobenius distance of a trained A to the
/// operator that it should find, and `factorisations` (of this rank, since construction of the term).
class LinearPartReport {
 public:
  /// `wanted`: the operator that A should find. Call it before training.
  LinearPartReport(MPI_Comm comm, std::shared_ptr<model::LinearTerm> term, petsc::MatHandle wanted,
                   core::RunReport& report);
  /// After training: prints one line and puts the metrics into the report. Collective on `comm`.
  void finish();

 private:
  bool trained() const { return !term_->parameters().empty(); }

  MPI_Comm comm_;
  std::shared_ptr<model::LinearTerm> term_;
  petsc::MatHandle wanted_;
  core::RunReport& report_;
  double start_ = 0;
};

}  // namespace espalier::train
