// What a trained model of infiltration is worth: predictions of seen and unseen trajectories, and the laws themselves.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "espalier/core/session.hpp"
#include "espalier/io/grid_series.hpp"
#include "problem.hpp"

namespace cvi {

struct Evaluation {
  const espalier::io::GridSeries& data;
  std::shared_ptr<const espalier::grid::CellGrid> grid;
  std::vector<std::int64_t> indices;  ///< of time 0 and the evaluation times among those of the data
  std::int64_t training = 1;          ///< trajectories that were seen, the first ones
  double seen_until = 0;              ///< the last time that was seen
  std::string output;                 ///< folder; empty: no files
};

/// Metrics state_error (trajectories that were seen, relative L1 error of the porosity, mean over evaluation times and
/// trajectories), state_error_ood (the others), state_error_end and state_error_ood_end (at the last time), each with a
/// second one with `_l2`. A prediction that blows up has infinite errors. Writes prediction.h5 with its XDMF file:
/// porosity and molarity of the first seen and the first unseen trajectory. Collective.
void evaluate_states(espalier::core::Session& session, const Evaluation& e, Objective& objective,
                     espalier::implicit::InfiltrationTerm& term, const Settings& settings);

/// Metrics operator_error_NAME: relative L1 error of each law over the arguments that the seen states cover, 101
/// points. Writes operators.h5: for each law a group with `argument`, `truth` and `learnt`. Collective.
void evaluate_laws(espalier::core::Session& session, const Evaluation& e,
                   const espalier::implicit::InfiltrationLaws& learnt, const Settings& settings);

}  // namespace cvi
