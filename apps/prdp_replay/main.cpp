// What the refinement control decides about a given history of its metric.
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "espalier/implicit/refinement_control.hpp"

using espalier::implicit::RefinementControl;
using espalier::implicit::RefinementSettings;

namespace {

constexpr const char* help_text =
    "prdp_replay [options] FILE: the decisions of the refinement control about a history of its metric\n"
    "\n"
    "FILE has one value a line, the first one before any training; - is the standard input. Blank lines and lines\n"
    "that begin with # are skipped. FILE.json is the report of a training. For each value a line is printed: 1 where\n"
    "the level rises, else 0. Two more lines give the level, K, and the checkpoint, c, after the last value.\n"
    "\n"
    "  -prdp_tau_step X     a plateau is r > X [0.95]\n"
    "  -prdp_tau_stop X     progress since the checkpoint is rc < X [0.9]\n"
    "  -prdp_ema W          window of the exponential mean; off or 0: none [6]\n"
    "  -prdp_delta N        grace window, values of the metric [3]\n"
    "  -prdp_k0 K           first level [1]\n"
    "  -prdp_dk K           what a refinement adds [1]\n"
    "  -prdp_kmax K         largest level; 0: none [0]\n"
    "  -prdp_c0 C           first checkpoint; first: the first value [100]\n"
    "  -trace               a table instead: value, smoothed value, r, rc, decision, K, c\n"
    "  -options_file FILE   options from a file, one a line; those of other programs are ignored\n"
    "  -help                this text\n";

struct Request {
  RefinementSettings settings;
  std::string file;
  bool trace = false;
  bool help = false;
};

/// A value of the metric and the line that it stands in.
struct Value {
  double metric;
  long line;
};

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

std::string without_blanks(const std::string& text) {
  constexpr const char* blanks = " \t\r\f\v";
  const auto first = text.find_first_not_of(blanks);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

std::string place(const std::string& file, long line) {
  return (file == "-" ? "standard input" : file) + ":" + std::to_string(line);
}

std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream opened;
  if (file != "-") opened.open(file);
  std::istream& in = file == "-" ? std::cin : opened;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(without_blanks(line));
  if (!in.eof() || in.bad()) fail("cannot read " + file);
  return lines;
}

bool is_control_option(const std::string& name) { return name.rfind("-prdp_", 0) == 0; }

void set_control_option(RefinementSettings& settings, const std::string& name, const std::string& value) {
  settings.set(name.substr(std::string("-prdp_").size()), value);
}

// Options of trainings that say something about their solves, not about the decisions.
bool is_of_training(const std::string& name) {
  static const std::set<std::string> names = {"-prdp_knob",   "-prdp_metric",  "-prdp_tolerances", "-prdp_option",
                                              "-prdp_ladder", "-prdp_adjoint", "-prdp_fixed",      "-prdp_early_exit"};
  return names.count(name) > 0;
}

// Lines `-name value`; # begins a comment.
void read_options_file(RefinementSettings& settings, const std::string& file) {
  const auto lines = lines_of(file);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::istringstream words(lines[i].substr(0, lines[i].find('#')));
    std::string name;
    std::string value;
    std::string more;
    words >> name >> value >> more;
    if (!is_control_option(name) || is_of_training(name)) continue;
    const std::string where = place(file, static_cast<long>(i) + 1) + ": ";
    if (value.empty() || !more.empty()) fail(where + name + " needs one value");
    try {
      set_control_option(settings, name, value);
    } catch (const std::invalid_argument& error) {
      fail(where + error.what());
    }
  }
}

[[noreturn]] void fail_unknown(const std::string& option) {
  std::string known;
  for (const auto& name : RefinementSettings::names()) known += " -prdp_" + name;
  fail("there is no option " + option + "; known are" + known + " -trace -options_file -help");
}

Request read_arguments(const std::vector<std::string>& arguments) {
  Request request;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const auto value = [&]() -> const std::string& {
      if (i + 1 == arguments.size()) fail(word + " needs a value");
      return arguments[++i];
    };
    if (is_control_option(word)) {
      set_control_option(request.settings, word, value());
    } else if (word == "-options_file") {
      read_options_file(request.settings, value());
    } else if (word == "-trace") {
      request.trace = true;
    } else if (word == "-help" || word == "--help") {
      request.help = true;
    } else if (word.size() > 1 && word.front() == '-') {
      fail_unknown(word);
    } else if (!request.file.empty()) {
      fail("one history at a time: " + request.file + " or " + word);
    } else {
      request.file = word;
    }
  }
  if (!request.help && request.file.empty()) fail("which history? Name a file, or - for the standard input (-help)");
  return request;
}

// The metric of each epoch in the report of a training, counted from 1.
std::vector<Value> read_report(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) fail("cannot read " + file);
  const auto report = nlohmann::json::parse(stream, nullptr, false);
  const nlohmann::json::json_pointer place_of_course("/refinement/course");
  if (report.is_discarded() || !report.contains(place_of_course)) fail(file + " holds no course of a refined training");
  std::vector<Value> values;
  for (const auto& step : report.at(place_of_course)) {
    const auto metric = step.find("metric");
    const bool known = metric != step.end() && metric->is_number();
    values.push_back({known ? metric->get<double>() : std::nan(""), static_cast<long>(values.size()) + 1});
  }
  return values;
}

bool is_report(const std::string& file) {
  const std::string ending = ".json";
  return file.size() > ending.size() && file.compare(file.size() - ending.size(), ending.size(), ending) == 0;
}

std::vector<Value> read_values(const std::string& file) {
  if (is_report(file)) return read_report(file);
  const auto lines = lines_of(file);
  std::vector<Value> values;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& text = lines[i];
    if (text.empty() || text.front() == '#') continue;
    const long line = static_cast<long>(i) + 1;
    char* end = nullptr;
    errno = 0;
    const double metric = std::strtod(text.c_str(), &end);
    if (*end != '\0') fail(place(file, line) + ": \"" + text + "\" is not a number");
    if (errno == ERANGE && std::isinf(metric)) fail(place(file, line) + ": " + text + " is too large");
    values.push_back({metric, line});
  }
  if (values.empty()) fail((file == "-" ? "the standard input" : file) + " has no value");
  return values;
}

void warn_of(const Request& request, const Value& value) {
  if (std::isfinite(value.metric)) return;
  const bool stays = request.settings.ema != 0;
  std::fprintf(stderr, "prdp_replay: %s: warning: %g is not finite: no refinement%s\n",
               place(request.file, value.line).c_str(), value.metric,
               stays ? " here and after it, because the exponential mean keeps it" : "");
}

void print(const Request& request, const std::vector<Value>& values) {
  RefinementControl control(request.settings);
  if (request.trace)
    std::printf("#%21s %22s %22s %22s %8s %10s %22s\n", "value", "smoothed", "r", "rc", "decision", "K", "c");
  for (const Value& value : values) {
    warn_of(request, value);
    const auto& step = control.observe(value.metric);
    if (request.trace) {
      std::printf("%22.15g %22.15g %22.15g %22.15g %8d %10ld %22.15g\n", step.metric, step.smoothed, step.r, step.rc,
                  step.refine ? 1 : 0, step.level, step.checkpoint);
    } else {
      std::puts(step.refine ? "1" : "0");
    }
  }
  std::printf("K %ld\nc %.15g\n", control.level(), control.checkpoint());
  if (std::fflush(stdout) != 0) fail("cannot write the decisions");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Request request = read_arguments({argv + 1, argv + argc});
    if (request.help) {
      std::fputs(help_text, stdout);
      return 0;
    }
    request.settings.check();
    print(request, read_values(request.file));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "prdp_replay: %s\n", error.what());
    return 1;
  }
  return 0;
}
