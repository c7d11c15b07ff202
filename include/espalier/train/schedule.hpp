// Learning-rate schedules: pure arithmetic, the same on every rank.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace espalier::train {

/// Settings of a schedule. Times are in epochs and may be fractions: step / batches per epoch counts inside an epoch.
/// With the base rate lr, p the epochs since the end of warm-up and hold, and floor a fraction of lr:
///
///   constant     lr
///   cosine       lr (floor + (1 - floor) (1 + cos(pi p / (horizon - warmup - hold))) / 2)
///   exponential  lr max(floor, factor^(p / every))
///   step         lr max(floor, factor^floor(p / every))
///   plateau      lr max(floor, factor^k), k = how often the training loss did not fall by a relative 1e-4 below its
///                best for more than `patience` epochs (as ReduceLROnPlateau of PyTorch)
struct ScheduleOptions {
  std::string name = "constant";
  double floor = 0;     ///< smallest rate as a fraction of the base rate
  double factor = 0.5;  ///< exponential, step, plateau
  double every = 1;     ///< exponential, step: epochs per factor
  int patience = 10;    ///< plateau: epochs
  double warmup = 0;    ///< epochs of linear growth from zero
  double hold = 0;      ///< epochs at the base rate between warm-up and decay
  double horizon = 0;   ///< cosine: the epoch at which the floor is reached
};

const std::vector<std::string>& schedule_names();

/// A schedule with its state.
class Schedule {
 public:
  /// Throws UserError for an unknown name or settings outside their range.
  explicit Schedule(ScheduleOptions options);

  /// What the base rate is multiplied with for batch `batch` of `batches` of epoch `epoch`, all counted from 0.
  double factor(long epoch, long batch, long batches) const;
  /// Tells the schedule the training loss of a finished epoch.
  void epoch_done(double loss);

  /// Everything that epoch_done() changed; restore() continues from it bit for bit.
  std::map<std::string, double> state() const;
  void restore(const std::map<std::string, double>& state);

 private:
  double decay(double p) const;

  ScheduleOptions options_;
  double best_loss_;
  double reductions_ = 0;
  double bad_epochs_ = 0;
};

}  // namespace espalier::train
