#include "espalier/train/refinement.hpp"

#include <ATen/ATen.h>
#include <petscsys.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"

namespace espalier::train {

namespace {

const std::vector<std::string> knob_names = {"iterations", "tolerance", "option"};
// Of a solve that goes to a tolerance.
constexpr long most_iterations = 10000;
const char* const history_name = "refinement_history";

const std::map<std::string, const char*>& help_of_control() {
  static const std::map<std::string, const char*> help = {
      {"tau_step", "a plateau: metric / metric of -prdp_delta - 1 epochs ago above this"},
      {"tau_stop", "at a plateau, refine only if metric / checkpoint is below this (or above 1)"},
      {"ema", "window of the metric's exponential mean, in epochs; off: none"},
      {"delta", "grace window: epochs looked back, this one included"},
      {"k0", "first level"},
      {"dk", "what a refinement adds to the level"},
      {"kmax", "largest level; 0: what converges the physics"},
      {"c0", "first checkpoint; first: the metric before any training"}};
  return help;
}

std::string text_of(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

// The values that the settings have, as text.
std::map<std::string, std::string> texts_of(const implicit::RefinementSettings& s) {
  return {{"tau_step", text_of(s.tau_step)},
          {"tau_stop", text_of(s.tau_stop)},
          {"ema", s.ema == 0 ? "off" : text_of(s.ema)},
          {"delta", std::to_string(s.delta)},
          {"k0", std::to_string(s.k0)},
          {"dk", std::to_string(s.dk)},
          {"kmax", std::to_string(s.kmax)},
          {"c0", s.c0_first ? "first" : text_of(s.c0)}};
}

template <class Body>
void as_user_error(const Body& body) {
  try {
    body();
  } catch (const std::invalid_argument& problem) {
    throw UserError(problem.what(), __FILE__, __LINE__);
  }
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace

void RefinementOptions::read(MPI_Comm comm) {
  core::read_options(comm, "Progressively refined physics", [&](core::OptionReader& o) {
    enabled = o.flag("-prdp", "refine the physics as the training needs it", enabled);
    const auto texts = texts_of(control);
    for (const std::string& name : implicit::RefinementSettings::names()) {
      const std::string option_name = "-prdp_" + name;
      const std::string value = o.text(option_name.c_str(), help_of_control().at(name), texts.at(name));
      if (value != texts.at(name)) as_user_error([&] { control.set(name, value); });
    }
    knob = static_cast<RefinementKnob>(
        o.choice("-prdp_knob", "what a level changes", knob_names, static_cast<std::size_t>(knob)));
    metric = o.text("-prdp_metric", "name of the metric that is watched", metric);
    tolerances = o.reals("-prdp_tolerances", "relative tolerance of each level, for -prdp_knob tolerance", tolerances);
    option = o.text("-prdp_option", "PETSc option, without its dash, that a level sets, for -prdp_knob option", option);
    const std::string values = o.text("-prdp_ladder", "its value at each level", core::join(ladder, ","));
    ladder = split(values);
    adjoint = o.integer("-prdp_adjoint", "iterations of all adjoint solves; 0: as many as the solves",
                        static_cast<PetscInt>(adjoint), 0);
    fixed = o.integer("-prdp_fixed", "level of a run without -prdp; 0: the largest", static_cast<PetscInt>(fixed), 0);
    early_exit = o.real("-prdp_early_exit", "relative tolerance at which a solve ends before its level; 0: never",
                        early_exit, 0, 1);
  });
}

void RefinementOptions::check(const TrainerOptions& training) const {
  ESPALIER_REQUIRE(!enabled || metric != "validation" || training.validate_every == 1,
                   "-prdp decides after every epoch by the validation error: leave -train_validate_every at 1");
}

long RefinementOptions::levels() const {
  if (knob == RefinementKnob::tolerance) return static_cast<long>(tolerances.size());
  if (knob == RefinementKnob::option) return static_cast<long>(ladder.size());
  return control.kmax;
}

Refinement::Refinement(MPI_Comm comm, RefinementOptions options, Metrics metrics,
                       std::function<void(const RefinementLevel&)> apply)
    : comm_(comm),
      options_(std::move(options)),
      metrics_(std::move(metrics)),
      apply_(std::move(apply)),
      control_(implicit::RefinementSettings()) {
  check();
  if (options_.knob != RefinementKnob::iterations) options_.control.kmax = options_.levels();
  as_user_error([&] { control_ = implicit::RefinementControl(options_.control); });
  this->apply();
}

void Refinement::check() const {
  std::vector<std::string> known = {"validation"};
  for (const auto& entry : metrics_) known.push_back(entry.first);
  ESPALIER_REQUIRE(std::find(known.begin(), known.end(), options_.metric) != known.end(),
                   "-prdp_metric " + options_.metric + ": there is no such metric, choose one of " + core::join(known));
  ESPALIER_REQUIRE(options_.knob == RefinementKnob::iterations || options_.levels() > 0,
                   options_.knob == RefinementKnob::tolerance
                       ? "-prdp_knob tolerance needs the tolerance of each level: -prdp_tolerances 1e-1,1e-2,..."
                       : "-prdp_knob option needs the value of each level: -prdp_ladder VALUE,VALUE,...");
  ESPALIER_REQUIRE(options_.knob != RefinementKnob::option || !options_.option.empty(),
                   "-prdp_knob option needs the name of a PETSc option, without its dash: -prdp_option NAME");
  for (const double tolerance : options_.tolerances)
    ESPALIER_REQUIRE(tolerance > 0 && tolerance < 1, "-prdp_tolerances must be between 0 and 1");
  const long most = options_.levels();
  ESPALIER_REQUIRE(options_.enabled || options_.fixed > 0 || most > 0,
                   "a run without -prdp needs a level for its solves: -prdp_kmax or -prdp_fixed");
  ESPALIER_REQUIRE(most == 0 || options_.fixed <= most, "-prdp_fixed " + std::to_string(options_.fixed) +
                                                            ": there are only " + std::to_string(most) + " levels");
}

long Refinement::level() const {
  if (options_.enabled) return control_.level();
  return options_.fixed > 0 ? options_.fixed : options_.levels();
}

void Refinement::apply() const {
  RefinementLevel now;
  now.level = level();
  const auto place = static_cast<std::size_t>(now.level - 1);
  if (options_.knob == RefinementKnob::iterations) now.forward = {now.level, options_.early_exit};
  if (options_.knob == RefinementKnob::tolerance) now.forward = {most_iterations, options_.tolerances[place]};
  if (options_.knob == RefinementKnob::option) {
    ESPALIER_CALL(PetscOptionsSetValue(nullptr, ("-" + options_.option).c_str(), options_.ladder[place].c_str()));
    now.options_changed = true;
  }
  now.adjoint = now.forward;
  if (options_.adjoint > 0) now.adjoint = {options_.adjoint, options_.early_exit};
  apply_(now);
}

double Refinement::metric(double validation) const {
  double value = options_.metric == "validation" ? validation : metrics_.at(options_.metric)();
  MPI_Bcast(&value, 1, MPI_DOUBLE, 0, comm_);
  return value;
}

void Refinement::observe(double value) {
  const implicit::RefinementStep& step = control_.observe(value);
  if (!std::isfinite(value))
    ESPALIER_CALL(PetscPrintf(comm_, "warning: the metric %s is %g, so the physics is not refined\n",
                              options_.metric.c_str(), value));
  if (options_.enabled && step.refine) apply();
}

void Refinement::begin(double validation) { observe(metric(validation)); }

void Refinement::epoch_done(HistoryRow& row) {
  row.extra["level"] = static_cast<double>(level());
  const double value = metric(row.record.validation);
  row.extra["refinement_metric"] = value;
  observe(value);
  const implicit::RefinementStep& step = control_.trace().back();
  if (std::isfinite(step.r)) row.extra["refinement_r"] = step.r;
  if (std::isfinite(step.rc)) row.extra["refinement_rc"] = step.rc;
}

void Refinement::save(RestartState& state) const {
  state.tensors[history_name] = at::tensor(at::ArrayRef<double>(control_.history()), at::kDouble);
}

void Refinement::restore(const RestartState& state) {
  const auto found = state.tensors.find(history_name);
  ESPALIER_REQUIRE(found != state.tensors.end(),
                   "the restart file knows nothing of refined physics: it is of a run of another kind");
  const at::Tensor history = found->second.contiguous();
  const auto* values = history.data_ptr<double>();
  control_ = implicit::RefinementControl::replay(options_.control, {values, values + history.numel()});
  apply();
}

// The level that stood after the metric of epoch e - 1 was that of epoch e.
std::vector<long> Refinement::levels() const {
  const auto& trace = control_.trace();
  std::vector<long> all;
  for (std::size_t e = 1; e < trace.size(); ++e) all.push_back(options_.enabled ? trace[e - 1].level : level());
  return all;
}

void Refinement::report_course(core::RunReport& report) const {
  nlohmann::json course = nlohmann::json::array();
  for (const implicit::RefinementStep& step : control_.trace())
    course.push_back({{"metric", step.metric},
                      {"smoothed", step.smoothed},
                      {"r", step.r},
                      {"rc", step.rc},
                      {"refine", step.refine},
                      {"level", step.level},
                      {"checkpoint", step.checkpoint}});
  nlohmann::json settings = texts_of(options_.control);
  settings["enabled"] = options_.enabled;
  settings["metric"] = options_.metric;
  settings["knob"] = knob_names[static_cast<std::size_t>(options_.knob)];
  report.set("refinement", {{"settings", settings}, {"course", course}});
}

void Refinement::report(core::RunReport& report) const {
  report_course(report);
  const std::vector<long> all = levels();
  if (all.empty()) return;
  const double k_max = static_cast<double>(*std::max_element(all.begin(), all.end()));
  const double sum = static_cast<double>(std::accumulate(all.begin(), all.end(), 0L));
  const double k_eps = static_cast<double>(options_.levels());
  report.metric("k_max", k_max);
  report.metric("iterations_nominal", sum);
  if (k_eps == 0) return;
  // total = 1 - sum_e K_e / (K_eps E) = IC + PR,  IC = 1 - K_max / K_eps
  const double total = 1 - sum / (k_eps * static_cast<double>(all.size()));
  const double incomplete = 1 - k_max / k_eps;
  report.metric("k_eps", k_eps);
  report.metric("savings_percent", 100 * total);
  report.metric("savings_ic_percent", 100 * incomplete);
  report.metric("savings_pr_percent", 100 * (total - incomplete));
  ESPALIER_CALL(PetscPrintf(comm_,
                            "levels of the physics: K_max %.0f of K_eps %.0f; saved %.1f %% = %.1f %% (incomplete "
                            "convergence) + %.1f %% (progressive refinement)\n",
                            k_max, k_eps, 100 * total, 100 * incomplete, 100 * (total - incomplete)));
}

}  // namespace espalier::train
