// What a checkpoint schedule will do, before the run.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "espalier/checkpoint/bytes.hpp"
#include "espalier/checkpoint/schedule.hpp"

namespace checkpoint = espalier::checkpoint;

namespace {

constexpr const char* help_text =
    "checkpoint_plan -steps M (-units S | -state_bytes B -checkpoint_ram R) [options]: what a checkpoint schedule "
    "does\n"
    "\n"
    "A run of M steps is followed by its adjoint, which needs the stages of each step from the last one back. What is "
    "not\n"
    "stored is computed again. A unit is a vector as long as a state. Each line of the output is a name and a value.\n"
    "\n"
    "  -steps M              steps of the run\n"
    "  -schedule NAME        all, binomial, multistage, mixed, disk, online; auto: the one that repeats fewest [auto]\n"
    "  -units S              units in memory\n"
    "  -disk_units D         units on disk [0]\n"
    "  -stages L             units that the stages of a step take [1]\n"
    "  -stiffly_accurate     the last stage is the state after the step\n"
    "  -state_bytes B        size of a state: peaks in bytes are printed too\n"
    "  -checkpoint_ram R     instead of -units: what memory there is, such as 512MB\n"
    "  -checkpoint_disk R    instead of -disk_units: what room there is on disk\n"
    "  -actions              then every action, one a line\n"
    "  -help                 this text\n"
    "\n"
    "Sizes are numbers with B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB or TiB (powers of 1024).\n";

struct Request {
  long steps = 0;
  std::string schedule = "auto";
  std::optional<long> units;
  std::optional<long> disk_units;
  long stages = 1;
  bool stiffly_accurate = false;
  std::optional<double> state_bytes;
  std::optional<double> ram;
  std::optional<double> disk;
  bool actions = false;
  bool help = false;
};

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

long whole_number(const std::string& option, const std::string& text, long least) {
  constexpr long most = 2147483647;
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0') fail(option + " " + text + ": must be a whole number");
  if (errno == ERANGE || number > most) fail(option + " " + text + ": must be below 2147483648");
  if (number < least) fail(option + " " + text + ": must be at least " + std::to_string(least));
  return number;
}

double size(const std::string& option, const std::string& text) {
  try {
    return checkpoint::parse_bytes(text);
  } catch (const std::invalid_argument& error) {
    fail(option + ": " + error.what());
  }
}

Request read_arguments(const std::vector<std::string>& arguments) {
  Request request;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const auto value = [&]() -> const std::string& {
      if (i + 1 == arguments.size()) fail(word + " needs a value");
      return arguments[++i];
    };
    if (word == "-steps") {
      request.steps = whole_number(word, value(), 1);
    } else if (word == "-schedule") {
      request.schedule = value();
    } else if (word == "-units") {
      request.units = whole_number(word, value(), 0);
    } else if (word == "-disk_units") {
      request.disk_units = whole_number(word, value(), 0);
    } else if (word == "-stages") {
      request.stages = whole_number(word, value(), 1);
    } else if (word == "-stiffly_accurate") {
      request.stiffly_accurate = true;
    } else if (word == "-state_bytes") {
      request.state_bytes = size(word, value());
    } else if (word == "-checkpoint_ram") {
      request.ram = size(word, value());
    } else if (word == "-checkpoint_disk") {
      request.disk = size(word, value());
    } else if (word == "-actions") {
      request.actions = true;
    } else if (word == "-help" || word == "--help") {
      request.help = true;
    } else {
      fail("there is no option " + word +
           "; known are -steps -schedule -units -disk_units -stages -stiffly_accurate -state_bytes -checkpoint_ram "
           "-checkpoint_disk -actions -help");
    }
  }
  return request;
}

// How many states `room` holds, or the number that was given in its place.
long units_of(const Request& request, const std::string& option, const std::optional<long>& units,
              const std::string& room_option, const std::optional<double>& room) {
  constexpr double most = 9e15;
  if (!room) return units.value_or(0);
  if (units) fail(option + " or " + room_option + ", not both");
  if (!request.state_bytes) fail(room_option + " needs -state_bytes, the size of a state");
  const double states = std::min(*room / *request.state_bytes, most);
  if (states < 1 && *room > 0)
    fail(room_option + " " + checkpoint::text_of_bytes(*room) + " holds no state: the least is " +
         checkpoint::text_of_bytes(*request.state_bytes));
  return static_cast<long>(states);
}

checkpoint::Budget budget_of(const Request& request) {
  if (request.steps == 0) fail("how many steps? Give -steps (-help)");
  if (request.state_bytes && *request.state_bytes <= 0) fail("-state_bytes must be positive");
  return {units_of(request, "-units", request.units, "-checkpoint_ram", request.ram),
          units_of(request, "-disk_units", request.disk_units, "-checkpoint_disk", request.disk), request.stages,
          request.stiffly_accurate};
}

bool has_budget(const Request& request) { return request.units || request.ram || request.disk_units || request.disk; }

checkpoint::Plan plan_of(const Request& request, const checkpoint::Budget& budget) {
  if (request.schedule != "all" && !has_budget(request))
    fail("which budget? Give -units or -checkpoint_ram, -disk_units or -checkpoint_disk; -schedule all needs none");
  const bool is_auto = request.schedule == "auto";
  const std::string name = is_auto ? checkpoint::best_schedule(request.steps, budget) : request.schedule;
  const checkpoint::Plan plan = checkpoint::plan(name, request.steps, budget);
  const long least = plan.peak_memory_units;
  if (name == "all" && (request.units || request.ram) && budget.memory < least)
    fail("-schedule all stores the stages of every step: the least is " + std::to_string(least) + " units, not " +
         std::to_string(budget.memory) + "; choose another schedule for less");
  return plan;
}

void print_peak(const Request& request, const char* where, long units) {
  std::printf("peak_%sunits %ld\n", where, units);
  if (request.state_bytes) std::printf("peak_%sbytes %.0f\n", where, static_cast<double>(units) * *request.state_bytes);
}

void print(const Request& request, const checkpoint::Budget& budget, const checkpoint::Plan& plan) {
  std::printf("schedule %s\n", plan.schedule.c_str());
  std::printf("steps %ld\n", plan.steps);
  std::printf("units %ld\n", budget.memory);
  std::printf("disk_units %ld\n", budget.disk);
  std::printf("stages %ld\n", budget.stages);
  std::printf("stiffly_accurate %d\n", budget.stiffly_accurate ? 1 : 0);
  std::printf("extra_steps %lld\n", static_cast<long long>(plan.repeated_steps));
  print_peak(request, "", plan.peak_memory_units);
  print_peak(request, "disk_", plan.peak_disk_units);
  std::printf("disk_writes %lld\n", static_cast<long long>(plan.disk_writes));
  std::printf("disk_reads %lld\n", static_cast<long long>(plan.disk_reads));
}

void print(const checkpoint::Action& action) {
  static const char* const kinds[] = {"advance", "store", "restore", "discard", "reverse"};
  static const char* const contents[] = {"state", "stages", "state_and_stages"};
  const char* const kind = kinds[static_cast<int>(action.kind)];
  if (action.kind == checkpoint::Kind::advance) {
    std::printf("%s %ld %ld\n", kind, action.from, action.to);
  } else if (action.kind == checkpoint::Kind::reverse) {
    std::printf("%s %ld\n", kind, action.from);
  } else {
    const char* const level = action.level == checkpoint::Level::disk ? "disk" : "memory";
    std::printf("%s %s %ld %s %ld\n", kind, contents[static_cast<int>(action.content)], action.from, level,
                action.slot);
  }
}

void print_actions(const Request& request, const checkpoint::Budget& budget, const std::string& name) {
  const auto schedule = checkpoint::make_schedule(name, request.steps, budget);
  while (schedule->steps() > 0) print(schedule->next());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Request request = read_arguments({argv + 1, argv + argc});
    if (request.help) {
      std::fputs(help_text, stdout);
      return 0;
    }
    const checkpoint::Budget budget = budget_of(request);
    const checkpoint::Plan plan = plan_of(request, budget);
    print(request, budget, plan);
    if (request.actions) print_actions(request, budget, plan.schedule);
    if (std::fflush(stdout) != 0) fail("cannot write the plan");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "checkpoint_plan: %s\n", error.what());
    return 1;
  }
  return 0;
}
