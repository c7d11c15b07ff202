#include "espalier/train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "espalier/core/error.hpp"

namespace espalier::train {

namespace {
constexpr double pi = 3.14159265358979323846;
// A loss counts as improved when it is below this times the best one; ReduceLROnPlateau's default.
constexpr double improvement = 1 - 1e-4;
}  // namespace

const std::vector<std::string>& schedule_names() {
  static const std::vector<std::string> names = {"constant", "cosine", "exponential", "step", "plateau"};
  return names;
}

Schedule::Schedule(ScheduleOptions options)
    : options_(std::move(options)), best_loss_(std::numeric_limits<double>::infinity()) {
  const auto& o = options_;
  const auto& names = schedule_names();
  ESPALIER_REQUIRE(std::find(names.begin(), names.end(), o.name) != names.end(),
                   "learning-rate schedule '" + o.name + "' is unknown; choose one of: " + core::join(names));
  ESPALIER_REQUIRE(o.floor >= 0 && o.floor <= 1, "-train_lr_floor is a fraction of -train_lr: it must lie in [0, 1]");
  ESPALIER_REQUIRE(o.factor > 0 && o.factor <= 1, "-train_lr_factor must lie in (0, 1]");
  ESPALIER_REQUIRE(o.every > 0 && o.patience >= 0 && o.warmup >= 0 && o.hold >= 0,
                   "-train_lr_every must be positive; -train_lr_patience, _warmup and _hold must not be negative");
  ESPALIER_REQUIRE(o.name != "cosine" || o.horizon > o.warmup + o.hold,
                   "the cosine schedule has no epochs left to fall in: -train_lr_warmup and -train_lr_hold together "
                   "must be smaller than -train_lr_horizon (default: -train_epochs)");
}

double Schedule::factor(long epoch, long batch, long batches) const {
  const double step = 1.0 / static_cast<double>(batches);
  const double position = static_cast<double>(epoch) + static_cast<double>(batch) * step;
  // The first step of a warm-up must move already: count to the end of the step.
  if (position + 0.5 * step < options_.warmup) return std::min(1.0, (position + step) / options_.warmup);
  return decay(std::max(0.0, position - options_.warmup - options_.hold));
}

double Schedule::decay(double p) const {
  const auto& o = options_;
  if (o.name == "cosine") {
    const double t = std::min(1.0, p / (o.horizon - o.warmup - o.hold));
    // floor + (1 - floor) (1 + cos(pi t)) / 2
    return o.floor + (1 - o.floor) * 0.5 * (1 + std::cos(pi * t));
  }
  if (o.name == "exponential") return std::max(o.floor, std::pow(o.factor, p / o.every));
  // The small term makes p = n every count as n, even if it was rounded down.
  if (o.name == "step") return std::max(o.floor, std::pow(o.factor, std::floor(p / o.every + 1e-9)));
  if (o.name == "plateau") return std::max(o.floor, std::pow(o.factor, reductions_));
  return 1;
}

void Schedule::epoch_done(double loss) {
  if (loss < best_loss_ * improvement) {
    best_loss_ = loss;
    bad_epochs_ = 0;
    return;
  }
  bad_epochs_ += 1;
  if (bad_epochs_ > options_.patience) {
    reductions_ += 1;
    bad_epochs_ = 0;
  }
}

std::map<std::string, double> Schedule::state() const {
  return {{"best_loss", best_loss_}, {"reductions", reductions_}, {"bad_epochs", bad_epochs_}};
}

void Schedule::restore(const std::map<std::string, double>& state) {
  const auto entry = [&](const char* name) {
    const auto found = state.find(name);
    ESPALIER_REQUIRE(found != state.end(), std::string("the saved schedule has no entry '") + name + "'");
    return found->second;
  };
  best_loss_ = entry("best_loss");
  reductions_ = entry("reductions");
  bad_epochs_ = entry("bad_epochs");
}

}  // namespace espalier::train
