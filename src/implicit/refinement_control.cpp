#include "espalier/implicit/refinement_control.hpp"

#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace espalier::implicit {

namespace {

constexpr long most = std::numeric_limits<int>::max();

[[noreturn]] void fail(const std::string& option, const std::string& value, const std::string& reason) {
  throw std::invalid_argument("-prdp_" + option + " " + value + ": " + reason);
}

template <typename Number>
void require(bool condition, const std::string& option, Number value, const std::string& reason) {
  if (condition) return;
  std::ostringstream text;
  text << value;
  fail(option, text.str(), reason);
}

double real_number(const std::string& option, const std::string& value) {
  char* end = nullptr;
  const double number = std::strtod(value.c_str(), &end);
  if (value.empty() || *end != '\0') fail(option, value, "is not a number");
  return number;
}

long whole_number(const std::string& option, const std::string& value) {
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(value.c_str(), &end, 10);
  if (value.empty() || *end != '\0' || errno == ERANGE) fail(option, value, "is not a whole number");
  return number;
}

// What can be said about each option without the others.
void check_ranges(const RefinementSettings& s) {
  require(s.tau_step > 0 && s.tau_step <= 2, "tau_step", s.tau_step, "must be in (0, 2]");
  require(s.tau_stop > 0 && s.tau_stop <= 2, "tau_stop", s.tau_stop, "must be in (0, 2]");
  require(s.ema == 0 || (s.ema >= 1 && std::isfinite(s.ema)), "ema", s.ema,
          "must be off (0) or a window of at least 1");
  require(s.delta >= 1 && s.delta <= most, "delta", s.delta, "must be at least 1 and below 2^31");
  require(s.k0 >= 1 && s.k0 <= most, "k0", s.k0, "must be at least 1 and below 2^31");
  require(s.dk >= 1 && s.dk <= most, "dk", s.dk, "must be at least 1 and below 2^31");
  require(s.kmax >= 0 && s.kmax <= most, "kmax", s.kmax, "must be 0 (no cap) or positive, and below 2^31");
  require(s.c0 > 0 && std::isfinite(s.c0), "c0", s.c0, "must be positive and finite, or the word first");
}

}  // namespace

const std::vector<std::string>& RefinementSettings::names() {
  static const std::vector<std::string> all = {"tau_step", "tau_stop", "ema", "delta", "k0", "dk", "kmax", "c0"};
  return all;
}

void RefinementSettings::set(const std::string& name, const std::string& value) {
  RefinementSettings changed = *this;
  if (name == "tau_step") {
    changed.tau_step = real_number(name, value);
  } else if (name == "tau_stop") {
    changed.tau_stop = real_number(name, value);
  } else if (name == "ema") {
    changed.ema = value == "off" ? 0 : real_number(name, value);
  } else if (name == "delta") {
    changed.delta = whole_number(name, value);
  } else if (name == "k0") {
    changed.k0 = whole_number(name, value);
  } else if (name == "dk") {
    changed.dk = whole_number(name, value);
  } else if (name == "kmax") {
    changed.kmax = whole_number(name, value);
  } else if (name == "c0") {
    changed.c0_first = value == "first";
    if (!changed.c0_first) changed.c0 = real_number(name, value);
  } else {
    std::string known;
    for (const auto& option : names()) known += " -prdp_" + option;
    throw std::invalid_argument("there is no option -prdp_" + name + "; known are" + known);
  }
  check_ranges(changed);
  *this = changed;
}

void RefinementSettings::check() const {
  check_ranges(*this);
  require(kmax == 0 || kmax >= k0, "kmax", kmax, "must be 0 (no cap) or at least -prdp_k0, " + std::to_string(k0));
}

RefinementControl::RefinementControl(const RefinementSettings& settings)
    : settings_(settings),
      level_(settings.k0),
      checkpoint_(settings.c0_first ? std::numeric_limits<double>::quiet_NaN() : settings.c0) {
  settings_.check();
}

RefinementControl RefinementControl::replay(const RefinementSettings& settings, const std::vector<double>& history) {
  RefinementControl control(settings);
  for (const double metric : history) control.observe(metric);
  return control;
}

std::vector<double> RefinementControl::history() const {
  std::vector<double> metrics;
  metrics.reserve(trace_.size());
  for (const auto& step : trace_) metrics.push_back(step.metric);
  return metrics;
}

// s_n = a h_n + (1 - a) s_(n-1). A fused multiplication and addition would round otherwise, and a plateau's rc > 1
// hangs on the last bit.
double RefinementControl::smoothed_with(double metric) const {
  if (settings_.ema == 0 || trace_.empty()) return metric;
  const double a = 2 / (settings_.ema + 1);
  const volatile double added = a * metric;
  const volatile double kept = (1 - a) * trace_.back().smoothed;
  return added + kept;
}

bool RefinementControl::decide(RefinementStep& step) const {
  const auto before = trace_.size();  // n - 1
  const auto delta = static_cast<std::size_t>(settings_.delta);
  if (before < delta || !std::isfinite(step.smoothed)) return false;
  // s_(n-delta); with delta = 1 that is s_(n-1) itself.
  const double earlier = delta == 1 ? step.smoothed : trace_[before + 1 - delta].smoothed;
  step.r = step.smoothed / earlier;
  if (!std::isfinite(step.r) || !(step.r > settings_.tau_step)) return false;
  step.rc = step.smoothed / checkpoint_;
  return std::isfinite(step.rc) && (step.rc < settings_.tau_stop || step.rc > 1);
}

const RefinementStep& RefinementControl::observe(double metric) {
  if (settings_.c0_first && trace_.empty()) checkpoint_ = metric;
  RefinementStep step;
  step.metric = metric;
  step.smoothed = smoothed_with(metric);
  step.refine = decide(step);
  if (step.refine) {
    checkpoint_ = step.smoothed;
    level_ += settings_.dk;
    if (settings_.kmax > 0 && level_ > settings_.kmax) level_ = settings_.kmax;
  }
  step.level = level_;
  step.checkpoint = checkpoint_;
  trace_.push_back(step);
  return trace_.back();
}

}  // namespace espalier::implicit
