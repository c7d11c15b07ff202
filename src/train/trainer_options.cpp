#include "espalier/train/trainer_options.hpp"

#include <algorithm>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/train/symmetry.hpp"

namespace espalier::train {

namespace {

using core::OptionReader;

std::string name_option(OptionReader& o, const char* option, const char* help, const std::vector<std::string>& names,
                        const std::string& fallback) {
  const auto found = std::find(names.begin(), names.end(), fallback);
  ESPALIER_ASSERT(found != names.end(), std::string("unknown default of ") + option);
  return names.at(o.choice(option, help, names, static_cast<std::size_t>(found - names.begin())));
}

void read_optimiser(OptionReader& o, TrainerOptions& t) {
  auto& m = t.optimiser;
  m.name = name_option(o, "-train_optimizer", "optimiser", optimiser_names(), m.name);
  t.lr = o.positive("-train_lr", "base learning rate", t.lr);
  m.weight_decay = o.real("-train_weight_decay", "L2 term in the gradient; adamw: decoupled decay", m.weight_decay, 0);
  m.momentum = o.real("-train_momentum", "momentum of sgd and rmsprop", m.momentum, 0, 1);
  t.clip = o.real("-train_clip", "largest norm of the gradient; 0: no clipping", t.clip, 0);
}

void read_schedule(OptionReader& o, ScheduleOptions& s) {
  s.name = name_option(o, "-train_lr_schedule", "course of the learning rate", schedule_names(), s.name);
  s.floor = o.real("-train_lr_floor", "smallest learning rate, as a fraction of -train_lr", s.floor, 0, 1);
  s.factor = o.real("-train_lr_factor", "exponential, step, plateau: factor of one reduction", s.factor, 1e-12, 1);
  s.every = o.positive("-train_lr_every", "exponential, step: epochs per factor (may be a fraction)", s.every);
  s.patience = static_cast<int>(
      o.integer("-train_lr_patience", "plateau: epochs without lower loss before a reduction", s.patience, 0));
  s.warmup = o.real("-train_lr_warmup", "epochs of linear growth from zero (may be a fraction)", s.warmup, 0);
  s.hold = o.real("-train_lr_hold", "epochs at -train_lr between warm-up and decay", s.hold, 0);
  s.horizon = o.real("-train_lr_horizon", "cosine: epoch at which the floor is reached; 0: the last one", s.horizon, 0);
}

void read_loop(OptionReader& o, TrainerOptions& t) {
  t.epochs = static_cast<int>(o.integer("-train_epochs", "passes over the training samples", t.epochs, 0));
  t.seed = static_cast<std::uint64_t>(o.integer("-train_seed", "seed of initial weights, sample order and augmentation",
                                                static_cast<PetscInt>(t.seed), 0));
  t.batch_size =
      o.integer("-train_batch_size", "samples per step, over all ranks", static_cast<PetscInt>(t.batch_size), 1);
  t.drop_last = o.flag("-train_drop_last", "leave out the last batch of an epoch if it is not full", t.drop_last);
  t.shard_optimiser =
      o.flag("-train_shard_optimizer", "share the optimiser's moments out to the ranks", t.shard_optimiser);
  t.deterministic = o.flag("-deterministic", "sum gradients in the order of the ranks", t.deterministic);
  t.minutes = o.real("-train_minutes", "save and stop after this wall time; 0: no limit", t.minutes, 0);
  t.start =
      o.text("-train_start", "model file (best.h5) to start from; with -train_epochs 0 it is only evaluated", t.start);
  t.overwrite =
      o.flag("-train_overwrite", "replace the restart file of an earlier run in the output folder", t.overwrite);
  t.resume = o.text("-train_resume", "restart file to continue from", t.resume);
  ESPALIER_REQUIRE(t.start.empty() || t.resume.empty(),
                   "-train_start and -train_resume exclude each other: a restart file holds parameters of its own");
  t.restart_every = static_cast<int>(
      o.integer("-train_restart_every", "epochs between restart files; 0: at the end only", t.restart_every, 0));
  t.validate_every = static_cast<int>(
      o.integer("-train_validate_every", "epochs between validations; 0: at the end only", t.validate_every, 0));
}

void read_data(OptionReader& o, TrainerOptions& t) {
  t.fraction =
      o.real("-train_fraction", "first part of the states that trains; the rest is held out", t.fraction, 1e-12, 1);
  t.window = static_cast<int>(o.integer("-train_window", "snapshot intervals per sample", t.window, 1));
  t.augment = name_option(o, "-train_augment", "random symmetry applied to each sample", symmetry_names(), t.augment);
}

}  // namespace

TrainerOptions TrainerOptions::from_options(MPI_Comm comm) { return from_options(comm, TrainerOptions{}); }

TrainerOptions TrainerOptions::from_options(MPI_Comm comm, const TrainerOptions& defaults) {
  TrainerOptions t = defaults;
  core::read_options(comm, "Training", [&](OptionReader& o) {
    read_loop(o, t);
    read_optimiser(o, t);
    read_schedule(o, t.schedule);
    read_data(o, t);
  });
  return t;
}

}  // namespace espalier::train
