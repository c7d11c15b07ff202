// Settings of a training run, read from -train_*.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <string>

#include "espalier/train/optimiser.hpp"
#include "espalier/train/schedule.hpp"

namespace espalier::train {

/// Each member is the option of the same name, -train_<name>, unless said otherwise.
struct TrainerOptions {
  int epochs = 200;
  std::uint64_t seed = 0;
  std::int64_t batch_size = 256;
  bool drop_last = true;
  OptimiserOptions optimiser;  ///< -train_optimizer, -train_weight_decay, -train_momentum
  double lr = 1e-3;
  double clip = 0;               ///< largest gradient norm; 0: no clipping
  ScheduleOptions schedule;      ///< -train_lr_schedule and -train_lr_<member>
  std::string start;             ///< model file (best.h5) whose parameters are taken instead of the initial ones
  std::string resume;            ///< restart file (restart.h5) that the run continues
  bool overwrite = false;        ///< a run that resumes nothing may replace the restart file of an earlier one
  bool shard_optimiser = false;  ///< -train_shard_optimizer: each rank keeps and updates its share of the moments
  bool deterministic = false;    ///< -deterministic: gradients are summed in the order of the ranks by any MPI library
  int restart_every = 10;        ///< epochs; 0: at the end only
  int validate_every = 1;        ///< epochs; 0: at the end only
  double minutes = 0;            ///< wall time after which the run saves its state and stops; 0: no limit

  // For the program that makes the data sets:
  double fraction = 0.8;  ///< of the states, for training; the rest is held out
  int window = 1;         ///< intervals per sample
  std::string augment = "none";

  /// Asked on every rank once per batch: true stops the run as SIGINT does. No option.
  std::function<bool()> stop_requested;

  /// Reads the options; those not given keep their defaults. Throws UserError for values out of range. Collective.
  static TrainerOptions from_options(MPI_Comm comm);
  /// The same with the program's own defaults.
  static TrainerOptions from_options(MPI_Comm comm, const TrainerOptions& defaults);
};

}  // namespace espalier::train
