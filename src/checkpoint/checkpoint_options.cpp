#include "checkpoint_options.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <tuple>

#include "espalier/checkpoint/bytes.hpp"
#include "espalier/core/error.hpp"

namespace espalier::checkpoint {

namespace {

constexpr PetscInt not_given = -1;
constexpr long most_units = 1000000000;

std::vector<std::string> names_to_choose_from() {
  std::vector<std::string> names = {"auto"};
  names.insert(names.end(), schedule_names().begin(), schedule_names().end());
  return names;
}

double read_bytes(core::OptionReader& o, const char* name, const char* help) {
  const std::string text = o.text(name, help, "");
  if (text.empty()) return 0;
  try {
    const double bytes = parse_bytes(text);
    ESPALIER_REQUIRE(bytes > 0, std::string(name) + " " + text + ": must be more than nothing");
    return bytes;
  } catch (const std::invalid_argument& problem) {
    throw UserError(std::string(name) + ": " + problem.what(), __FILE__, __LINE__);
  }
}

long units_of(double bytes, double unit) {
  return unit > 0 ? static_cast<long>(std::min(std::floor(bytes / unit), static_cast<double>(most_units))) : most_units;
}

std::string schedule_for(const CheckpointOptions& options, const RunShape& run, const Budget& budget) {
  if (!options.schedule.empty() && options.schedule != "auto") return options.schedule;
  const bool sized = options.ram > 0 || options.disk > 0 || options.schedule == "auto";
  if (!sized && options.units == 0) return "all";
  if (!run.steps_known) return "online";
  return sized ? best_schedule(run.steps, budget) : "binomial";
}

// As make_schedule() says it, in terms of the options; and what the bytes would have to be.
[[noreturn]] void refuse(const CheckpointOptions& options, const RunShape& run, const std::string& problem) {
  std::string text = "checkpoints: " + problem;
  if (options.ram > 0 || options.disk > 0)
    text += ". -checkpoint_ram " + text_of_bytes(options.ram) + " holds " +
            std::to_string(units_of(options.ram, run.state_bytes)) + " states of " + text_of_bytes(run.state_bytes) +
            ": give at least " + text_of_bytes(run.state_bytes) + " for each rank";
  throw UserError(text, __FILE__, __LINE__);
}

}  // namespace

void CheckpointOptions::read(core::OptionReader& o) {
  const auto names = names_to_choose_from();
  schedule = o.text("-checkpoint_schedule", ("which states to keep: " + core::join(names)).c_str(), schedule);
  ESPALIER_REQUIRE(schedule.empty() || std::find(names.begin(), names.end(), schedule) != names.end(),
                   "-checkpoint_schedule " + schedule + ": unknown; choose one of: " + core::join(names));
  units = o.integer("-checkpoint_units", "states kept at most, instead of bytes; -1: by bytes", not_given, not_given);
  ESPALIER_REQUIRE(units != 0, "-checkpoint_units must be at least 1: u_0 is always kept");
  units = std::max(units, 0L);
  ram = read_bytes(o, "-checkpoint_ram", "memory of each rank for checkpoints, such as 512MB");
  disk = read_bytes(o, "-checkpoint_disk", "disk space of all ranks for checkpoints, such as 20GB");
  const char* temporary = std::getenv("TMPDIR");
  folder = o.text("-checkpoint_dir", "where files of checkpoints lie during a run",
                  temporary != nullptr && *temporary != '\0' ? temporary : ".");
  steps = o.integer("-checkpoint_steps", "steps of the whole run, when its times do not tell; 0: they do", 0, 0);
  keep_graph = o.flag("-checkpoint_keep_graph", "networks keep their evaluations of a repeated step for its adjoint",
                      keep_graph);
  view = o.flag("-checkpoint_view", "say what is planned before a run", ram > 0 || disk > 0 || schedule == "auto");
  ESPALIER_REQUIRE(units == 0 || ram == 0, "-checkpoint_units and -checkpoint_ram say the same: leave one of them out");
  ESPALIER_REQUIRE(schedule != "all" || (units == 0 && ram == 0 && disk == 0),
                   "-checkpoint_schedule all keeps every step: leave -checkpoint_units, -checkpoint_ram and "
                   "-checkpoint_disk out, or choose another schedule");
  ESPALIER_REQUIRE(schedule.empty() || schedule == "all" || units > 0 || ram > 0 || disk > 0,
                   "-checkpoint_schedule " + schedule +
                       " needs a budget: -checkpoint_ram, -checkpoint_disk or "
                       "-checkpoint_units");
  ESPALIER_REQUIRE(schedule != "disk" || disk > 0, "-checkpoint_schedule disk needs -checkpoint_disk BYTES");
}

bool CheckpointOptions::operator==(const CheckpointOptions& other) const {
  return std::tie(schedule, units, ram, disk, folder, steps, keep_graph, view) ==
         std::tie(other.schedule, other.units, other.ram, other.disk, other.folder, other.steps, other.keep_graph,
                  other.view);
}

bool operator==(const RunShape& a, const RunShape& b) {
  return std::tie(a.steps, a.steps_known, a.stages, a.stiffly_accurate, a.state_bytes, a.file_bytes) ==
         std::tie(b.steps, b.steps_known, b.stages, b.stiffly_accurate, b.state_bytes, b.file_bytes);
}

Choice choose_schedule(const CheckpointOptions& options, const RunShape& run) {
  Budget budget;
  budget.stages = run.stages;
  budget.stiffly_accurate = run.stiffly_accurate;
  budget.memory = options.units > 0 ? options.units : units_of(options.ram, run.state_bytes);
  budget.disk = units_of(options.disk, run.file_bytes);
  try {
    Choice choice{schedule_for(options, run, budget), budget, run.steps};
    // The stages of the last step too: another TSSolve may follow.
    if (choice.schedule == "all") ++choice.steps;
    (void)make_schedule(choice.schedule, choice.steps, budget);
    return choice;
  } catch (const std::invalid_argument& problem) {
    refuse(options, run, problem.what());
  }
}

std::string plan_text(const Choice& choice, const RunShape& run, double resident_bytes) {
  std::ostringstream text;
  text << "checkpoints: ";
  const bool planned = run.steps_known && choice.schedule != "online";
  double peak = static_cast<double>(choice.budget.memory) * run.state_bytes;
  if (planned) {
    const Plan p = plan(choice.schedule, choice.steps, choice.budget);
    peak = static_cast<double>(p.peak_memory_units) * run.state_bytes;
    text << run.steps << " steps, schedule " << choice.schedule << ", " << p.peak_memory_units << " units of "
         << text_of_bytes(run.state_bytes) << " in memory";
    if (p.peak_disk_units > 0) text << " and " << p.peak_disk_units << " on disk";
    text << ", " << p.repeated_steps << " steps repeated";
  } else {
    text << "number of steps unknown, schedule " << choice.schedule << ", at most " << choice.budget.memory
         << " units of " << text_of_bytes(run.state_bytes) << " in memory";
  }
  text << "; peak " << text_of_bytes(peak) << " of checkpoints, " << text_of_bytes(peak + resident_bytes)
       << " of the process";
  return text.str();
}

}  // namespace espalier::checkpoint
