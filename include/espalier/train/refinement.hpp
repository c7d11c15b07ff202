// Progressively refined physics in a training run: solves that are only as good as the training needs.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "espalier/implicit/effort.hpp"
#include "espalier/implicit/refinement_control.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::train {

/// What a level changes.
enum class RefinementKnob {
  iterations,  ///< level K: K iterations of the KSP (GMRES: restarts; a nonlinear solve: of Newton's method)
  tolerance,   ///< level K: the K-th of `tolerances`, relative, with as many iterations as it takes
  option       ///< level K: the K-th of `ladder` as the value of the PETSc option `option`
};

/// The settings -prdp_*.
struct RefinementOptions {
  bool enabled = false;  ///< -prdp: off, all solves are those of the largest level, or of `fixed`
  implicit::RefinementSettings control;
  RefinementKnob knob = RefinementKnob::iterations;
  std::string metric = "validation";
  std::vector<double> tolerances;   ///< -prdp_tolerances
  std::string option;               ///< -prdp_option, without its dash: "physics_pc_type"
  std::vector<std::string> ladder;  ///< -prdp_ladder
  long adjoint = 0;                 ///< -prdp_adjoint: iterations of all adjoint solves; 0: as many as the solves
  long fixed = 0;                   ///< -prdp_fixed: the level of a run without -prdp; 0: kmax
  double early_exit = 0;            ///< -prdp_early_exit: relative tolerance at which a solve ends before K; 0: never

  /// Reads the options. Throws UserError. Collective on `comm`.
  void read(MPI_Comm comm);
  /// Throws UserError when a run with these settings would not know its metric after each epoch.
  void check(const TrainerOptions& training) const;
  /// Levels that there are: of a ladder its length, else control.kmax.
  long levels() const;
};

/// What the solves of a level are told.
struct RefinementLevel {
  long level = 1;
  implicit::Effort forward;
  implicit::Effort adjoint;
  bool options_changed = false;  ///< a PETSc option was set: solvers must be made anew
};

/// Refines the physics of a run after the epochs at which its metric has stopped falling (K. Bhatia, F. Koehler, N.
/// Thuerey 2025; implicit::RefinementControl). Each epoch's row gets `level` (of its solves), `refinement_metric` and,
/// where the control looked at them, `refinement_r` and `refinement_rc`. The metric is rank 0's everywhere, so that all
/// ranks decide alike; one that is not finite refines nothing and is said aloud. The state is in the restart file.
class Refinement : public Companion {
 public:
  /// Beside the trainer's "validation"; collective.
  using Metrics = std::map<std::string, std::function<double()>>;

  /// `apply` puts a level into the solves; called at once with the first one. Throws UserError for settings that do not
  /// go together and for a metric that is not there. Collective on `comm`.
  Refinement(MPI_Comm comm, RefinementOptions options, Metrics metrics,
             std::function<void(const RefinementLevel&)> apply);

  void begin(double validation) override;
  void epoch_done(HistoryRow& row) override;
  void save(RestartState& state) const override;
  void restore(const RestartState& state) override;

  /// Level of the next epoch's solves.
  long level() const;
  /// The levels of all epochs so far, restored ones included.
  std::vector<long> levels() const;
  /// The metrics k_max (largest level of an epoch), iterations_nominal (sum over the epochs of their levels) and, with
  /// a kmax, k_eps and
  ///   savings_percent = 1 - sum_e K_e / (K_eps E),  savings_ic_percent = 1 - K_max / K_eps,
  ///   savings_pr_percent, their difference,
  /// and report_course(). Prints one line. Collective.
  void report(core::RunReport& report) const;
  /// The key `refinement`: settings and course of the control.
  void report_course(core::RunReport& report) const;

 private:
  void check() const;
  double metric(double validation) const;
  void observe(double value);
  void apply() const;

  MPI_Comm comm_;
  RefinementOptions options_;
  Metrics metrics_;
  std::function<void(const RefinementLevel&)> apply_;
  implicit::RefinementControl control_;
};

}  // namespace espalier::train
