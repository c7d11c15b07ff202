#include "espalier/checkpoint/bytes.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>

namespace espalier::checkpoint {

namespace {

const std::map<std::string, double>& units() {
  static const std::map<std::string, double> all = {{"", 1},         {"B", 1},        {"kB", 1e3},    {"KB", 1e3},
                                                    {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},   {"KiB", 0x1p10},
                                                    {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  return all;
}

[[noreturn]] void fail(const std::string& text, const std::string& why) {
  throw std::invalid_argument(
      "\"" + text + "\" is no size in bytes" + why +
      ": write a number and B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB or TiB (of 1024)");
}

}  // namespace

double parse_bytes(const std::string& text) {
  // A number as it is written by hand: strtod would also take signs, blanks, hexadecimal digits, inf and nan.
  const auto end_of_number = text.find_first_not_of("0123456789.");
  const bool is_decimal = end_of_number != 0 && text.compare(0, 2, "0x") != 0 && text.compare(0, 2, "0X") != 0;
  char* end = nullptr;
  const double number = is_decimal ? std::strtod(text.c_str(), &end) : 0;
  if (!is_decimal || end == text.c_str()) fail(text, "");
  const auto rest = text.find_first_not_of(' ', static_cast<std::size_t>(end - text.c_str()));
  const auto unit = units().find(rest == std::string::npos ? "" : text.substr(rest));
  if (unit == units().end()) fail(text, "");
  const double bytes = number * unit->second;
  if (!std::isfinite(bytes)) fail(text, ", it is too large");
  return bytes;
}

std::string text_of_bytes(double bytes) {
  // What would be rounded to 1000 has the next unit.
  constexpr double next = 999.95;
  const char* const names[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t i = 0;
  for (; i < 4 && bytes >= next; ++i) bytes /= 1000;
  char text[64];
  std::snprintf(text, sizeof(text), "%.4g %s", bytes, names[i]);
  return text;
}

}  // namespace espalier::checkpoint
