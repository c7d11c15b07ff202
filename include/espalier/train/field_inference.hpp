// Coefficient fields of a PDE learnt from a few snapshots of its solutions (Im-PiNDiff: Akhare, Luo & Wang 2025).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/io/grid_series.hpp"
#include "espalier/model/neural_fields.hpp"
#include "espalier/nn/conditional_field.hpp"
#include "espalier/train/field_data.hpp"
#include "espalier/train/implicit_objective.hpp"
#include "espalier/train/trainer_options.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

/// Of every experiment of this kind.
struct FieldInferenceSettings {
  std::vector<double> label_times;       ///< when states are observed; the initial states, at time 0, are known
  std::vector<double> evaluation_times;  ///< when predictions are compared with the truth
  std::int64_t training = 5;             ///< trajectories that are observed, the first ones; the others never
  std::string output;                    ///< folder for restart files, prediction.h5 and figures; empty: none
  bool grad_check = false;
  bool true_fields = false;  ///< no training: predictions with the truth, whose errors are those of the steps

  /// Reads -label_times, -evaluation_times, -evaluation_true_fields, -training_trajectories, -output and -grad_check.
  /// Throws UserError.
  void read(core::OptionReader& o);
};

/// An experiment: the true fields are hidden, the states of some trajectories are seen at the label times.
struct FieldInference {
  std::string title;  ///< for the terminal and the pictures
  std::shared_ptr<const grid::CellGrid> grid;
  io::GridSeries
      data;  ///< "state" and the true fields, in natural order; its times hold all label and evaluation times
  model::Motion motion = model::Motion::steady;
  nn::ConditionalFieldSettings field;  ///< its names are quantities of `data`
  FieldTermFactory make_term;
  FieldInferenceSettings settings;
  ts::IntegratorSettings integrator;
  TrainerOptions training;
  bool chain = false;       ///< steps are solves in torch's graph (ImplicitObjective), not the integrator's
  ImplicitSettings solves;  ///< of the chain; method and step sizes are the integrator's

  /// Crank-Nicolson with steps of 0.01, and the training of Im-PiNDiff's programs (2000 epochs of Adam at 1e-4).
  FieldInference();
  /// Reads -step_by and the options of all parts and of `data`; `own` reads those of the program, which begin with
  /// `prefix`. What the members hold before are the defaults. Throws UserError, also for misspelt options. Collective.
  void read(MPI_Comm comm, FieldDataSettings& data, const std::string& prefix,
            const std::function<void(core::OptionReader&)>& own);
};

/// Trains the conditional neural field theta on the mean squared error of the states at the label times,
///
///   L(theta) = 1 / (R L cells) sum over R trajectories, L labels and all cells of |u(t_l; c(theta)) - label|^2,
///
/// and measures: the metrics state_error and state_error_ood (relative L1 errors |u - truth|_1 / |truth|_1, means over
/// the evaluation times and the observed, respectively unseen, trajectories), state_error_end and state_error_ood_end
/// (at the last time), field_error_NAME (relative L1 error, mean over the times of moving fields), each with a second
/// one with `_l2` for the L2 norm, prediction_seconds, ksp_its_forward, ksp_its_adjoint (of a chain also
/// step_iterations), and of the memory, largest over the ranks, rss_before_training_mb, peak_rss_mb until training
/// ended (libraries and what came before included) and peak_rss_growth_mb, the difference of both. A prediction that
/// blows up has infinite errors. Writes prediction.h5 (the first observed and the first unseen trajectory and the
/// fields: truth, prediction and error) with an XDMF file. With settings.grad_check only the gradient is checked.
/// Collective.
void infer_fields(core::Session& session, const FieldInference& experiment);

}  // namespace espalier::train
