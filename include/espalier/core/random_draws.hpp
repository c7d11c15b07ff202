// Random draws that are the same on every platform: the C++ standard fixes the output of std::mt19937_64, but not that
// of its distributions and of std::shuffle.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace espalier::core {

/// Uniform in {0, ..., bound - 1}.
inline std::uint64_t uniform_below(std::mt19937_64& engine, std::uint64_t bound) {
  // Draws from the incomplete last interval of length `bound` would favour small numbers: draw again.
  const std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t limit = largest - largest % bound;
  std::uint64_t x = engine();
  while (x >= limit) x = engine();
  return x % bound;
}

/// Uniform in [0, 1), 53 bits.
inline double uniform_unit(std::mt19937_64& engine) { return std::ldexp(static_cast<double>(engine() >> 11U), -53); }

/// Standard normal, from two uniform draws r and s: sqrt(-2 log(1 - r)) cos(2 pi s) (Box & Muller 1958).
inline double standard_normal(std::mt19937_64& engine) {
  constexpr double two_pi = 6.283185307179586476925;
  const double radius = std::sqrt(-2 * std::log1p(-uniform_unit(engine)));
  return radius * std::cos(two_pi * uniform_unit(engine));
}

/// Puts `count` values, drawn at random, in front, in random order (Fisher-Yates): all of them for a shuffle.
inline void draw_to_front(std::mt19937_64& engine, std::vector<std::int64_t>& values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) std::swap(values[i], values[i + uniform_below(engine, values.size() - i)]);
}

/// Passes `count` different numbers of {0, ..., bound - 1} to `insert`, every subset equally likely, with `count` draws
/// (R. Floyd, in Bentley & Floyd 1987). insert(number) returns false, and does nothing, for a number that it has had.
template <class Insert>
void draw_subset(std::mt19937_64& engine, std::uint64_t bound, std::uint64_t count, const Insert& insert) {
  for (std::uint64_t last = bound - count; last < bound; ++last)
    if (!insert(uniform_below(engine, last + 1))) insert(last);
}

}  // namespace espalier::core
