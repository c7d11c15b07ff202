// The fewest repeated steps by slow and obvious ways.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "espalier/checkpoint/schedule.hpp"

namespace espalier::checkpoint::test {

/// table[s][m]
using Table = std::vector<std::vector<long>>;
inline Table table(long m_most, long s_most, long value) {
  return Table(static_cast<std::size_t>(s_most) + 1, std::vector<long>(static_cast<std::size_t>(m_most) + 1, value));
}
constexpr long never = std::numeric_limits<int>::max();

/// The fewest repetitions by trying every place of the next stored state: t(m, s) = min_d d + t(d, s) + t(m - d, s -
/// 1).
inline Table fewest_with_states(long m_most, long s_most) {
  Table t = table(m_most, s_most, 0);
  for (std::size_t s = 1; s < t.size(); ++s)
    for (std::size_t m = 2; m < t[s].size(); ++m) {
      // From one state only: m - 1 steps to the last one, and so on.
      t[s][m] = static_cast<long>(m * (m - 1) / 2);
      for (std::size_t d = 1; s > 1 && d < m; ++d)
        t[s][m] = std::min(t[s][m], static_cast<long>(d) + t[s][d] + t[s - 1][m - d]);
    }
  return t;
}

/// CAMS (Zhang & Constantinescu), stiffly accurate: P[s][m] with the first state stored, among s units. Next is a state
/// after k steps, or the stages of the k-th step, which contain the state after it.
inline Table fewest_of_cams_stiffly_accurate(long m_most, long s_most, std::size_t l) {
  Table p = table(m_most, s_most, 0);
  for (std::size_t s = 1; s < p.size(); ++s)
    for (std::size_t m = 2; m < p[s].size(); ++m) {
      p[s][m] = static_cast<long>(m * (m - 1) / 2);
      for (std::size_t k = 1; k < m; ++k) {
        const long n = static_cast<long>(k);
        if (s > 1) p[s][m] = std::min(p[s][m], n + p[s][k] + p[s - 1][m - k]);
        if (s > l) p[s][m] = std::min(p[s][m], n - 1 + p[s][k - 1] + p[s - l][m - k]);
      }
    }
  // The stages of step 0 may be stored instead of u_0.
  Table best = p;
  for (std::size_t s = l; s < p.size(); ++s)
    for (std::size_t m = 2; m < p[s].size(); ++m) best[s][m] = std::min(p[s][m], p[s - l + 1][m - 1]);
  return best;
}

/// The same for other methods: Q[s][m] where the stages of the first step are stored, and then a state or the next
/// stages.
inline Table fewest_of_cams(long m_most, long s_most, std::size_t l) {
  Table p = table(m_most, s_most, 0);
  Table q = table(m_most, s_most, never);
  for (std::size_t s = 1; s < p.size(); ++s)
    for (std::size_t m = 1; m < p[s].size(); ++m) {
      if (s >= l && m <= 2) q[s][m] = 0;
      if (s > l && m > 2) q[s][m] = std::min(p[s - l][m - 1], q[s - l][m - 1]);
      if (m == 1) continue;
      p[s][m] = static_cast<long>(m * (m - 1) / 2);
      for (std::size_t k = 1; s > 1 && k < m; ++k)
        p[s][m] = std::min(p[s][m], static_cast<long>(k) + p[s][k] + std::min(p[s - 1][m - k], q[s - 1][m - k]));
      if (s > 1 && s >= (m - 1) * (l + 1)) p[s][m] = 0;
    }
  for (std::size_t s = 1; s < p.size(); ++s)
    for (std::size_t m = 1; m < p[s].size(); ++m) p[s][m] = std::min(p[s][m], q[s][m]);
  return p;
}

inline Table fewest_of_cams(long m_most, long s_most, const Budget& method) {
  const auto l = static_cast<std::size_t>(method.stages);
  return method.stiffly_accurate ? fewest_of_cams_stiffly_accurate(m_most, s_most, l)
                                 : fewest_of_cams(m_most, s_most, l);
}

/// All that a machine can do, by breadth: the fewest steps after which m steps are reversed, less m.
class Search {
 public:
  Search(long m, const Budget& budget) : budget_(budget) {
    reach({m, 0, -1, 0, 0}, 0);
    while (true) {
      const auto [state, steps] = open_.front();
      open_.pop_front();
      if (steps > reached_[state]) continue;
      if (state.end == 0) {
        fewest = steps - m;
        return;
      }
      expand(state, steps);
    }
  }

  long fewest = 0;

 private:
  struct State {
    long end, at, recorded;
    unsigned states, stages;  // bit n: u_n or the stages of step n are stored
    bool operator<(const State& o) const {
      return std::tie(end, at, recorded, states, stages) < std::tie(o.end, o.at, o.recorded, o.states, o.stages);
    }
  };

  static long count(unsigned bits) {
    long n = 0;
    for (; bits != 0; bits &= bits - 1) ++n;
    return n;
  }

  void reach(const State& state, long steps) {
    const auto known = reached_.find(state);
    if (known != reached_.end() && known->second <= steps) return;
    reached_[state] = steps;
    open_.emplace_front(state, steps);
  }

  void expand(const State& s, long steps) {
    const long units = count(s.states) + budget_.stages * count(s.stages);
    if (s.recorded == s.end - 1) {
      const unsigned left = (1u << (s.end - 1)) - 1;
      return reach({s.end - 1, -1, -1, s.states & left, s.stages & left}, steps);
    }
    if (s.at >= 0 && units < budget_.memory) reach({s.end, s.at, s.recorded, s.states | 1u << s.at, s.stages}, steps);
    if (s.recorded >= 0 && units + budget_.stages <= budget_.memory)
      reach({s.end, s.at, s.recorded, s.states, s.stages | 1u << s.recorded}, steps);
    for (long n = 0; n < s.end; ++n) {
      const unsigned bit = 1u << n;
      if ((s.states & bit) != 0) {
        reach({s.end, s.at, s.recorded, s.states & ~bit, s.stages}, steps);
        reach({s.end, n, -1, s.states, s.stages}, steps);
      }
      if ((s.stages & bit) != 0) {
        reach({s.end, s.at, s.recorded, s.states, s.stages & ~bit}, steps);
        reach({s.end, budget_.stiffly_accurate ? n + 1 : -1, n, s.states, s.stages}, steps);
      }
    }
    // Only this takes a step: its result waits until all that takes none has been tried.
    const State next = {s.end, s.at + 1, s.at, s.states, s.stages};
    const auto known = reached_.find(next);
    if (s.at < 0 || s.at >= s.end || (known != reached_.end() && known->second <= steps + 1)) return;
    reached_[next] = steps + 1;
    open_.emplace_back(next, steps + 1);
  }

  Budget budget_;
  std::map<State, long> reached_;
  std::deque<std::pair<State, long>> open_;
};

inline long value(const Table& t, long m, long s) {
  return t[static_cast<std::size_t>(s)][static_cast<std::size_t>(m)];
}

}  // namespace espalier::checkpoint::test
