// The training loop: mini-batches, data parallel over the ranks, with validation, restart files and a report.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/report.hpp"
#include "espalier/train/batches.hpp"
#include "espalier/train/objective.hpp"
#include "espalier/train/optimiser.hpp"
#include "espalier/train/reduction.hpp"
#include "espalier/train/restart.hpp"
#include "espalier/train/schedule.hpp"
#include "espalier/train/symmetry.hpp"
#include "espalier/train/trainer_options.hpp"
#include "espalier/train/windows.hpp"

namespace espalier::train {

/// The run was stopped by a signal or a time limit and its state was saved; what() says how to resume. Thrown on all
/// ranks, so that core::run() prints it once and it becomes the report's status.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// Something that changes from epoch to epoch along with the training, such as the refinement of a solver.
class Companion {
 public:
  virtual ~Companion() = default;
  /// Called on all ranks before the first epoch of a run that resumes nothing, with the error on held-out samples.
  /// Collective.
  virtual void begin(double /*validation*/) {}
  /// Called on all ranks when an epoch and its validation are done; may add figures to the row. Collective.
  virtual void epoch_done(HistoryRow& row) = 0;
  /// Puts its state into the restart file, under names of its own.
  virtual void save(RestartState& state) const = 0;
  virtual void restore(const RestartState& state) = 0;
};

/// How a run ended.
struct TrainResult {
  int epochs = 0;            ///< finished, those before a resume included
  double loss = 0;           ///< mean squared error over the last epoch's batches
  double validation = 0;     ///< mean squared error on held-out samples; NaN without any
  Model best;                ///< smallest validation; without held-out samples smallest loss
  std::string restart_file;  ///< empty when nothing was written
  std::string best_file;
};

/// Minimises the mean squared error
///
///   L(theta) = 1 / (B intervals dof) sum over the B samples of a batch |predicted - target|^2
///
/// Every rank holds both data sets and evaluates its slice of each batch (of states that are spread over the ranks: its
/// entries of all samples); one reduction per step sums gradient and
/// loss, so the result does not depend on the number of ranks but for the order of summation. Same seed, options and
/// ranks give the same bits, also when the run is stopped anywhere and resumed.
class Trainer {
 public:
  /// `held_out` may be empty. `output_dir` takes restart.h5 and best.h5; empty: no files. `fingerprint` says what is
  /// trained (network, precision, method, data) as `name=value` entries separated by semicolons or line ends; a restart
  /// file with another one is refused. References must outlive the trainer. Throws UserError. Collective on `comm`.
  Trainer(MPI_Comm comm, Objective& objective, const WindowDataset& train, const WindowDataset& held_out,
          TrainerOptions options, core::RunReport& report, std::string output_dir, const std::string& fingerprint);

  /// The companion must outlive the trainer.
  void add_companion(Companion& companion) { companions_.push_back(&companion); }
  /// Replaces the augmentation that -train_augment chose.
  void set_symmetry(std::shared_ptr<const Symmetry> symmetry) { symmetry_ = std::move(symmetry); }
  /// Replaces the mean squared error on the held-out samples; `error` is called collectively. `may_blow_up`: values
  /// that are not finite do not end the run, as those of long predictions with a network that has learnt little yet.
  void set_validation(std::function<double()> error, bool may_blow_up = false) {
    own_validation_ = std::move(error);
    may_blow_up_ = may_blow_up;
  }

  /// Trains from the start, from -train_start or from -train_resume to the last epoch. Collective.
  /// Throws Interrupted after SIGINT, SIGTERM or the time limit: the current batch is finished and the restart file
  /// holds the state behind it, mid-epoch. Throws NumericalError, and writes no file, when a loss or gradient is not
  /// finite or the objective fails on any rank.
  TrainResult train();

  /// Validation error of the current parameters. Collective.
  double validation_error();
  /// Puts the best parameters of `result` into the objective and reports what they are worth: the metrics
  /// training_error, held_out_error and persistence_error (of the prediction that nothing changes), and a line of
  /// output. Without best parameters, as after no epoch, the current ones stay. Collective.
  void report_best(const TrainResult& result);
  /// Mean squared error of the current parameters on the samples of `windows`, batch by batch; NaN without any.
  /// Collective.
  double error(const WindowDataset& windows);

 private:
  struct Live;  // a run under way

  void check_output_folder() const;
  RestartState start();
  RestartState resume();
  void adopt(const std::string& file, const at::Tensor& parameters);
  /// False when the run shall stop.
  bool run_epoch(Live& live);
  bool run_batch(Live& live);
  Batch local_samples(const Live& live, Range batch) const;
  void finish_epoch(Live& live);
  void keep_best(Live& live, const HistoryRow& row) const;
  void add_to_report(const HistoryRow& row);
  void add_work_to_report(const std::vector<HistoryRow>& history);
  void save(Live& live);
  std::map<std::string, at::Tensor> whole_optimiser_state() const;
  void restore_optimiser(std::map<std::string, at::Tensor> state);
  [[noreturn]] void stop(Live& live);
  TrainResult finish(Live& live);

  double mean_weight(std::int64_t samples) const;
  double persistence_error(const WindowDataset& windows) const;
  double rate(const Live& live) const;
  void check_finite(const Live& live, double sum, double norm) const;
  [[noreturn]] void rethrow(const std::exception_ptr& failure, const std::string& where) const;
  std::string place(const Live& live) const;
  std::string run_fingerprint() const;
  std::string output_file(const char* name) const;
  bool stop_wanted() const;

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  Objective& objective_;
  const WindowDataset& train_;
  const WindowDataset& held_out_;
  TrainerOptions options_;
  core::RunReport& report_;
  std::string output_dir_;
  std::string fingerprint_;
  BatchPlan plan_;
  Reduction reduction_;
  Optimiser optimiser_;
  Schedule schedule_;
  std::shared_ptr<const Symmetry> symmetry_;
  std::function<double()> own_validation_;
  bool may_blow_up_ = false;
  std::vector<Companion*> companions_;
  double started_ = 0;
};

}  // namespace espalier::train
