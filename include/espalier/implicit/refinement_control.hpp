// How many iterations the solves inside a training get: few at first, more when the training has stopped improving.
// Pure arithmetic: neither PETSc nor tensors.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace espalier::implicit {

/// Each member is the option -prdp_<name>. Thresholds are ratios of the metric, windows are counted in values of the
/// metric (epochs), levels in iterations.
struct RefinementSettings {
  double tau_step = 0.95;  ///< a plateau is r > tau_step
  double tau_stop = 0.9;   ///< progress since the checkpoint is rc < tau_stop
  double ema = 6;          ///< window w of the exponential mean; 0, "off" as an option: none
  long delta = 3;          ///< grace window
  long k0 = 1;             ///< first level
  long dk = 1;             ///< what a refinement adds
  long kmax = 0;           ///< largest level; 0: none
  double c0 = 100;         ///< first checkpoint
  bool c0_first = false;   ///< -prdp_c0 first: the first value of the metric is the first checkpoint

  static const std::vector<std::string>& names();
  /// Sets the option of that name, without "-prdp_". Throws std::invalid_argument, with *this as it was, when there is
  /// no such option or it cannot have the value.
  void set(const std::string& name, const std::string& value);
  /// Throws std::invalid_argument unless 0 < tau <= 2 for both, ema is 0 or >= 1, delta, k0 and dk >= 1, kmax is 0 or
  /// >= k0, and c0 is positive; all finite, whole numbers below 2^31.
  void check() const;
};

/// What a value of the metric led to.
struct RefinementStep {
  double metric = std::numeric_limits<double>::quiet_NaN();
  double smoothed = std::numeric_limits<double>::quiet_NaN();
  double r = std::numeric_limits<double>::quiet_NaN();   ///< NaN where it is not needed
  double rc = std::numeric_limits<double>::quiet_NaN();  ///< NaN where it is not needed
  bool refine = false;
  long level = 0;                                                ///< after the decision
  double checkpoint = std::numeric_limits<double>::quiet_NaN();  ///< after the decision
};

/// The control of Progressively Refined Differentiable Physics (K. Bhatia, F. Koehler, N. Thuerey, 2025, Algorithm 4).
/// With the values h_0, ..., h_(n-1) of the validation metric, h_0 before any training, and s their exponential mean
///   s_0 = h_0,  s_i = a h_i + (1 - a) s_(i-1),  a = 2 / (w + 1),
/// the level is raised when n > delta,
///   r = s_(n-1) / s_(n-delta) > tau_step                    (a plateau), and
///   rc = s_(n-1) / c < tau_stop  or  rc > 1                 (the last level has helped, or the training diverges);
/// the checkpoint c is then s_(n-1). A "no" is not the last word: a later value may get a "yes". The cap on the level
/// changes neither decisions nor c. Values and ratios that are not finite give "no"; the mean keeps such a value, so
/// that there is no "yes" after it. Products are rounded before they are added on every processor: the same values
/// give the same decisions everywhere. Not collective: give all ranks the same values.
class RefinementControl {
 public:
  /// Throws std::invalid_argument as RefinementSettings::check().
  explicit RefinementControl(const RefinementSettings& settings);
  /// The control after these values: a restart goes on bit for bit.
  static RefinementControl replay(const RefinementSettings& settings, const std::vector<double>& history);

  /// Takes the metric after another epoch. What it returns is valid until the next call.
  const RefinementStep& observe(double metric);

  /// K of the next epoch.
  long level() const { return level_; }
  /// c. With c0_first NaN before the first value.
  double checkpoint() const { return checkpoint_; }
  const std::vector<RefinementStep>& trace() const { return trace_; }
  /// h, for replay().
  std::vector<double> history() const;
  const RefinementSettings& settings() const { return settings_; }

 private:
  double smoothed_with(double metric) const;
  bool decide(RefinementStep& step) const;

  RefinementSettings settings_;
  long level_;
  double checkpoint_;
  std::vector<RefinementStep> trace_;
};

}  // namespace espalier::implicit
