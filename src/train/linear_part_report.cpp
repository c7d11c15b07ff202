#include "espalier/train/linear_part_report.hpp"

#include "espalier/core/error.hpp"
#include "espalier/model/split_settings.hpp"

namespace espalier::train {

LinearPartReport::LinearPartReport(MPI_Comm comm, std::shared_ptr<model::LinearTerm> term, petsc::MatHandle wanted,
                                   core::RunReport& report)
    : comm_(comm), term_(std::move(term)), wanted_(std::move(wanted)), report_(report) {
  if (!trained()) return;
  start_ = model::relative_distance(term_->matrix(), wanted_.get());
  report_.metric("linear_part_error_start", start_);
}

void LinearPartReport::finish() {
  report_.metric("factorisations", static_cast<double>(term_->factorisations()));
  if (!trained()) return;
  const double error = model::relative_distance(term_->matrix(), wanted_.get());
  report_.metric("linear_part_error", error);
  ESPALIER_CALL(PetscPrintf(comm_,
                            "linear part: relative distance to the difference operator %.3e, before training %.3e; "
                            "%ld factorisations\n",
                            error, start_, term_->factorisations()));
}

}  // namespace espalier::train
