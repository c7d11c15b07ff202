// Checkpoint schedules run by a machine that refuses whatever is not possible.
#include "espalier/checkpoint/schedule.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace espalier::checkpoint;
namespace utf = boost::unit_test;

namespace {

/// What the run tells its schedule on the way: at u_at, that there are `steps` steps.
struct News {
  long at = -1;
  long steps = 0;
};

/// Carries out a schedule without doing anything else; throws std::runtime_error where it cannot.
class Machine {
 public:
  /// The run ends after `steps` steps, whatever the schedule was told.
  Machine(Schedule& schedule, long steps, const Budget& budget, const News& news = {})
      : schedule_(schedule), budget_(budget), news_(news), end_(steps) {
    while (!run_is_over_) step_of_the_run();
    while (end_ > 0) follow(schedule_.next());
    // Tidies up, and then says that it is through.
    BOOST_CHECK_THROW(for (;;) follow(schedule_.next()), std::logic_error);
    require(slots_.empty(), "leaves nothing stored");
  }

  long advances = 0;  // steps taken, the run's own included
  long peak_memory = 0;
  long peak_disk = 0;
  std::int64_t disk_writes = 0;
  std::int64_t disk_reads = 0;
  std::map<long, std::int64_t> accesses;  // of each slot in memory

 private:
  using Place = std::pair<Level, long>;

  static void require(bool condition, const std::string& what) {
    if (!condition) throw std::runtime_error(what);
  }

  // As a trajectory does it: the run, not the schedule, knows where it ends.
  void step_of_the_run() {
    if (at_ == news_.at) {
      news_.at = -1;
      schedule_.announce(at_, news_.steps);
    }
    if (at_ > 0 && at_ >= schedule_.steps()) schedule_.announce(at_, 2 * at_);
    const Action action = schedule_.next();
    require(action.kind != Kind::restore && action.kind != Kind::reverse, "a run advances, stores and discards");
    if (action.kind != Kind::advance) return follow(action);
    require(action.from == at_ && action.to > at_, "advances from where the run stands");
    for (; at_ < action.to; ++at_) {
      if (at_ == end_ || (at_ > action.from && at_ == news_.at)) break;
      ++advances;
    }
    recorded_ = at_ - 1;
    if (at_ < end_) return;
    run_is_over_ = true;
    schedule_.announce(end_, end_);
  }

  void follow(const Action& a) {
    const Place place(a.level, a.slot);
    switch (a.kind) {
      case Kind::advance:
        require(a.from == at_ && a.to > a.from && a.to <= end_, "advances over steps that are there");
        advances += a.to - a.from;
        at_ = a.to;
        recorded_ = a.to - 1;
        break;
      case Kind::store:
        store(a, place);
        break;
      case Kind::restore:
        require(slots_.count(place) == 1 && slots_[place] == std::make_pair(a.content, a.from),
                "restores what is stored");
        at_ = a.content == Content::state ? a.from : (a.content == Content::stages ? -1 : a.from + 1);
        recorded_ = a.content == Content::state ? -1 : a.from;
        note_access(a);
        break;
      case Kind::discard:
        require(slots_.count(place) == 1 && slots_[place] == std::make_pair(a.content, a.from),
                "discards what is stored");
        slots_.erase(place);
        (a.level == Level::memory ? memory_ : disk_) -= units(a.content);
        break;
      case Kind::reverse:
        require(run_is_over_ && a.from == end_ - 1 && recorded_ == a.from,
                "reverses the last step, whose stages are there");
        --end_;
        at_ = recorded_ = -1;
        require(schedule_.steps() == end_, "knows how many steps are left");
    }
  }

  void store(const Action& a, const Place& place) {
    require(a.slot >= 0 && slots_.count(place) == 0, "stores into an empty slot");
    require(a.content == Content::state || a.from == recorded_, "stores stages that are there");
    require(a.content == Content::stages || at_ == a.from + (a.content == Content::state ? 0 : 1),
            "stores a state that is there");
    slots_[place] = {a.content, a.from};
    (a.level == Level::memory ? memory_ : disk_) += units(a.content);
    peak_memory = std::max(peak_memory, memory_);
    peak_disk = std::max(peak_disk, disk_);
    require(memory_ <= budget_.memory && disk_ <= budget_.disk, "keeps within its budget");
    if (a.level == Level::disk) ++disk_writes;
    if (a.level == Level::memory) ++accesses[a.slot];
  }

  void note_access(const Action& a) {
    if (a.level == Level::disk) ++disk_reads;
    if (a.level == Level::memory) ++accesses[a.slot];
  }

  long units(Content content) const {
    if (content == Content::state) return 1;
    return budget_.stages + (content == Content::state_and_stages && !budget_.stiffly_accurate ? 1 : 0);
  }

  Schedule& schedule_;
  Budget budget_;
  News news_;
  long end_;
  long at_ = 0;
  long recorded_ = -1;
  bool run_is_over_ = false;
  std::map<Place, std::pair<Content, long>> slots_;
  long memory_ = 0;
  long disk_ = 0;
};

Machine run(const std::string& name, long m, const Budget& budget) {
  const auto schedule = make_schedule(name, m, budget);
  Budget limits = budget;
  if (name == "all") limits.memory = m * budget.stages;
  return Machine(*schedule, m, limits);
}

long repeated(const std::string& name, long m, const Budget& budget) { return run(name, m, budget).advances - m; }

/// table[s][m]
using Table = std::vector<std::vector<long>>;
Table table(long m_most, long s_most, long value) {
  return Table(static_cast<std::size_t>(s_most) + 1, std::vector<long>(static_cast<std::size_t>(m_most) + 1, value));
}
constexpr long never = std::numeric_limits<int>::max();

/// The fewest repetitions by trying every place of the next stored state: t(m, s) = min_d d + t(d, s) + t(m - d, s -
/// 1).
Table fewest_with_states(long m_most, long s_most) {
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
Table fewest_of_cams_stiffly_accurate(long m_most, long s_most, std::size_t l) {
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
Table fewest_of_cams(long m_most, long s_most, std::size_t l) {
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

Table fewest_of_cams(long m_most, long s_most, const Budget& method) {
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

long value(const Table& t, long m, long s) { return t[static_cast<std::size_t>(s)][static_cast<std::size_t>(m)]; }

/// Methods of 1 to 4 stages, stiffly accurate or not.
std::vector<Budget> methods() {
  std::vector<Budget> all;
  for (long l = 1; l <= 4; ++l)
    for (const bool stiffly_accurate : {false, true}) all.push_back({0, 0, l, stiffly_accurate});
  return all;
}

Budget with_units(const Budget& method, long memory, long disk = 0) {
  return {memory, disk, method.stages, method.stiffly_accurate};
}

std::string text(const std::string& name, long m, const Budget& b) {
  return name + ", " + std::to_string(m) + " steps, " + std::to_string(b.memory) + " + " + std::to_string(b.disk) +
         " units, " + std::to_string(b.stages) + " stages" + (b.stiffly_accurate ? ", stiffly accurate" : "");
}

/// More than the budget may be needed where everything fitted exactly into it, and then the run went on.
long allowance(const std::string& name, const Budget& b, const std::vector<long>& announced) {
  if ((name != "mixed" && name != "multistage") || b.stiffly_accurate) return 0;
  const bool fitted =
      std::any_of(announced.begin(), announced.end(), [&](long steps) { return (steps - 1) * b.stages == b.memory; });
  return fitted ? b.stages + 1 : 0;
}

void check_run(const std::string& name, const Budget& budget, long told, const News& news, long m) {
  BOOST_TEST_CONTEXT(text(name, m, budget) << ", " << told << " announced, at " << news.at << " then " << news.steps) {
    std::vector<long> announced = {told, news.steps};
    for (long n = told; n < m; n *= 2) announced.push_back(2 * n);
    for (long n = std::max(news.steps, 1L); n < m; n *= 2) announced.push_back(2 * n);
    Budget limits = budget;
    limits.memory = name == "all" ? m * budget.stages : budget.memory + allowance(name, budget, announced);
    const auto schedule = make_schedule(name, told, budget);
    try {
      const Machine machine(*schedule, m, limits, news);
    } catch (const std::runtime_error& error) {
      BOOST_ERROR(std::string("refused: ") + error.what());
      throw;
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_schedule,
                      *utf::label("unit") * utf::label("checkpoint") * utf::label("checkpointing") * utf::label("np1"))

BOOST_AUTO_TEST_CASE(binomial_schedules_are_legal_and_repeat_the_fewest_steps) {
  const auto best = fewest_with_states(60, 12);
  for (long s = 1; s <= 12; ++s)
    for (long m = 1; m <= 60; ++m) {
      const Machine machine = run("binomial", m, {s});
      BOOST_TEST_CONTEXT(m << " steps, " << s << " units") {
        BOOST_REQUIRE(machine.advances - m == value(best, m, s));
        BOOST_REQUIRE(binomial_repetitions(m, s) == value(best, m, s));
        BOOST_REQUIRE(machine.peak_memory == std::min(s, std::max(m - 1, 1L)));
      }
    }
}

// Published counts, from Griewank and Walther's formula.
BOOST_AUTO_TEST_CASE(known_counts_of_repeated_steps) {
  struct Known {
    long m, s, t;
  };
  for (const Known known : {Known{10, 5, 13},
                            {30, 5, 62},
                            {100, 10, 222},
                            {100, 30, 168},
                            {300, 10, 836},
                            {300, 30, 568},
                            {1000, 30, 2472}}) {
    const Machine machine = run("binomial", known.m, {known.s});
    BOOST_TEST_CONTEXT(known.m << " steps, " << known.s << " units") {
      BOOST_TEST(machine.advances - known.m == known.t);
      BOOST_TEST(binomial_repetitions(known.m, known.s) == known.t);
      BOOST_TEST(machine.peak_memory == known.s);
    }
  }
  // Numbers that do not fit when they are multiplied out.
  BOOST_TEST(binomial_repetitions(1000000, 1000000) == 999999);
  BOOST_TEST(binomial_repetitions(100000, 1) == 100000L * 99999 / 2);
}

// From the program of Zhang and Constantinescu, for 1 to 4 stages.
BOOST_AUTO_TEST_CASE(known_counts_with_stages) {
  struct Known {
    long m, s;
    std::vector<long> general, stiffly_accurate;
  };
  for (const Known& known : {Known{10, 5, {6, 9, 11, 12}, {4, 8, 11, 12}},
                             {30, 5, {44, 55, 59, 61}, {33, 52, 59, 61}},
                             {100, 10, {144, 176, 188, 198}, {123, 167, 183, 198}},
                             {100, 30, {74, 89, 94, 97}, {69, 84, 91, 95}},
                             {300, 10, {648, 754, 790, 808}, {537, 744, 783, 801}},
                             {300, 30, {291, 358, 433, 470}, {269, 357, 433, 470}},
                             {1000, 30, {1553, 1792, 1871, 1913}, {1473, 1757, 1834, 1889}}})
    for (const Budget& method : methods()) {
      const Budget budget = with_units(method, known.s);
      const auto& counts = method.stiffly_accurate ? known.stiffly_accurate : known.general;
      BOOST_TEST_CONTEXT(text("multistage", known.m, budget)) {
        BOOST_TEST(repeated("multistage", known.m, budget) == counts[static_cast<std::size_t>(method.stages - 1)]);
      }
    }
  // With u_0 and the stages of steps 5 to 8, or as in the recurrences of Zhang and Constantinescu only of four of them.
  BOOST_TEST(repeated("mixed", 10, {5, 0, 1, false}) == 5);
}

BOOST_AUTO_TEST_CASE(multistage_schedules_repeat_as_many_steps_as_their_recurrences_say) {
  for (const Budget& method : methods()) {
    const auto best = fewest_of_cams(60, 12, method);
    for (long s = 12; s >= 1; --s)
      for (long m = 60; m >= 1; --m) BOOST_TEST_CONTEXT(text("multistage", m, with_units(method, s))) {
          BOOST_REQUIRE(repeated("multistage", m, with_units(method, s)) == value(best, m, s));
        }
  }
}

BOOST_AUTO_TEST_CASE(mixed_schedules_are_the_best_of_all) {
  for (const Budget& method : methods())
    for (long s = 4; s >= 1; --s)
      for (long m = 6; m >= 1; --m) BOOST_TEST_CONTEXT(text("mixed", m, with_units(method, s))) {
          BOOST_REQUIRE(repeated("mixed", m, with_units(method, s)) == Search(m, with_units(method, s)).fewest);
        }
}

BOOST_AUTO_TEST_CASE(mixed_schedules_are_never_worse_than_the_others) {
  for (const Budget& method : methods()) {
    const auto cams = fewest_of_cams(150, 40, method);
    for (long s = 40; s >= 1; --s)
      for (long m = 150; m >= 1; --m) BOOST_TEST_CONTEXT(text("mixed", m, with_units(method, s))) {
          const auto mixed = plan("mixed", m, with_units(method, s)).repeated_steps;
          BOOST_REQUIRE(mixed <= value(cams, m, s));
          BOOST_REQUIRE(mixed <= binomial_repetitions(m, s));
          BOOST_REQUIRE((mixed == 0 || (m - 1) * method.stages > s));
        }
  }
}

// Beyond the tables.
BOOST_AUTO_TEST_CASE(very_long_runs_are_planned_too) {
  struct Run {
    long m;
    Budget budget;
  };
  for (const auto& [m, budget] : {Run{66000, {12, 0, 2, false}}, Run{66000, {12, 0, 1, true}},
                                  Run{5000, {5000, 0, 4, false}}, Run{6000, {6000, 0, 1, false}}}) {
    const Plan mixed = plan("mixed", m, budget);
    const Plan multistage = plan("multistage", m, budget);
    BOOST_TEST(repeated("mixed", m, budget) == mixed.repeated_steps);
    BOOST_TEST(repeated("multistage", m, budget) == multistage.repeated_steps);
    BOOST_TEST(mixed.repeated_steps <= multistage.repeated_steps);
    BOOST_TEST(multistage.repeated_steps < binomial_repetitions(m, budget.memory));
  }
  // All stages but those of two steps, and those of every fourth step; no step twice.
  BOOST_TEST(plan("mixed", 100000, {399989, 0, 4, false}).repeated_steps == 2);
  BOOST_TEST(plan("mixed", 20000, {20000, 0, 4, false}).repeated_steps == 20000 - 1 - 4999);
}

BOOST_AUTO_TEST_CASE(all_stages_stored_repeats_nothing) {
  for (const long m : {1L, 2L, 17L})
    for (const bool stiffly_accurate : {false, true}) {
      const Machine machine = run("all", m, {0, 0, 3, stiffly_accurate});
      BOOST_TEST(machine.advances == m);
      BOOST_TEST(machine.peak_memory == 3 * (m - 1));
    }
}

// For every schedule, method and budget.
BOOST_AUTO_TEST_CASE(plans_say_what_the_schedules_do) {
  for (const auto& name : schedule_names())
    for (const Budget& method : methods())
      for (long s = 12; s >= 1; --s)
        for (long m = 60; m >= 1; --m) {
          const long disk = name == "disk" ? 1 + (m + s) % 4 : 0;
          const Budget budget = with_units(method, s - (name == "disk" && m % 3 == 0 ? 1 : 0), disk);
          const Plan told = plan(name, m, budget);
          const Machine machine = run(name, m, budget);
          BOOST_TEST_CONTEXT(text(name, m, budget)) {
            BOOST_REQUIRE((told.schedule == name && told.steps == m));
            BOOST_REQUIRE(told.repeated_steps == machine.advances - m);
            BOOST_REQUIRE(told.peak_memory_units == machine.peak_memory);
            BOOST_REQUIRE(told.peak_disk_units == machine.peak_disk);
            BOOST_REQUIRE(told.disk_writes == machine.disk_writes);
            BOOST_REQUIRE(told.disk_reads == machine.disk_reads);
          }
        }
}

// Optimal in repeated steps; and no other choice of the states that are stored as the first, second, ... at a time and
// go to disk accesses it less.
BOOST_AUTO_TEST_CASE(the_disk_is_accessed_as_little_as_possible) {
  for (long memory = 0; memory <= 4; ++memory)
    for (long disk = 1; disk <= 4; ++disk)
      for (long m = 1; m <= 40; ++m) {
        const auto accesses = run("binomial", m, {memory + disk}).accesses;
        const long used = static_cast<long>(accesses.size());
        std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
        for (unsigned on_disk = 0; on_disk < 1u << used; ++on_disk) {
          long in_memory = 0;
          std::int64_t count = 0;
          for (const auto& [slot, n] : accesses) {
            const bool chosen = (on_disk >> slot & 1u) != 0;
            in_memory += chosen ? 0 : 1;
            count += chosen ? n : 0;
          }
          if (in_memory <= memory && used - in_memory <= disk) fewest = std::min(fewest, count);
        }
        const Machine machine = run("disk", m, {memory, disk});
        BOOST_TEST_CONTEXT(text("disk", m, {memory, disk})) {
          BOOST_REQUIRE(machine.advances - m == binomial_repetitions(m, memory + disk));
          BOOST_REQUIRE(machine.disk_writes + machine.disk_reads == fewest);
        }
      }
}

// Without the stages that a step has, the states alone count. A run that may end after any step cannot do better than
// these ratios with two to six units: tried out for every way to give up states.
BOOST_AUTO_TEST_CASE(runs_of_unknown_length_repeat_few_steps_more) {
  for (long s = 2; s <= 30; ++s) {
    const double most = s == 2 ? 14.0 / 11 : (s == 3 ? 15.0 / 13 : (s == 4 ? 9.0 / 8 : (s == 5 ? 10.0 / 9 : 1.1)));
    double worst = 1;
    for (long m = 20000; m >= 2; m -= m > 2000 ? 6007 : (m > 130 ? 61 : 1)) {
      const auto count = static_cast<double>(plan("online", m, {s, 0, 1000}).repeated_steps);
      worst = std::max(worst, count / static_cast<double>(binomial_repetitions(m, s)));
    }
    BOOST_TEST_CONTEXT(s << " units") { BOOST_TEST(worst <= most * (1 + 1e-12)); }
  }
}

// The guess does not matter, stages only help, and what is held when the run ends is used as well as it can be.
BOOST_AUTO_TEST_CASE(runs_of_unknown_length_ignore_guesses_and_use_stages) {
  for (const long m : {1L, 2L, 7L, 50L, 211L}) {
    for (const long guess : {1L, 10L, 50L, 1000L}) {
      const auto schedule = make_schedule("online", guess, {6, 0, 2});
      const Machine machine(*schedule, m, {6, 0, 2});
      BOOST_TEST(machine.advances - m == plan("online", m, {6, 0, 2}).repeated_steps);
    }
    BOOST_TEST(plan("online", m, {6, 0, 2}).repeated_steps <= plan("online", m, {6, 0, 1000}).repeated_steps);
    BOOST_TEST(plan("online", m, {6, 0, 2}).repeated_steps >= plan("mixed", m, {6, 0, 2}).repeated_steps);
  }
}

// Every step is reversed within the units even so.
BOOST_AUTO_TEST_CASE(runs_may_be_shorter_or_longer_than_announced) {
  for (const auto& name : schedule_names())
    for (const Budget& method : {Budget{0, 0, 1, false}, Budget{0, 0, 1, true}, Budget{0, 0, 3, false}})
      for (const long s : {1L, 2L, 3L, 5L, 8L})
        for (const long told : {1L, 2L, 3L, 4L, 6L, 9L, 13L, 20L})
          for (long m = 1; m <= 45; ++m) check_run(name, with_units(method, s, name == "disk" ? 2 : 0), told, {}, m);
}

BOOST_AUTO_TEST_CASE(the_number_of_steps_may_change_on_the_way) {
  for (const auto& name : schedule_names())
    for (const Budget& method : {Budget{0, 0, 1, false}, Budget{0, 0, 2, false}, Budget{0, 0, 2, true}})
      for (const long s : {1L, 4L, 8L})
        for (const long told : {5L, 9L, 20L})
          for (long at = 0; at < told; at += 2)
            for (const long steps : {at + 1, at + 2, at + 7, at + 30})
              for (const long m : {at + 1, steps, steps + 1})
                check_run(name, with_units(method, s, name == "disk" ? 2 : 0), told, {at, steps}, m);
}

BOOST_AUTO_TEST_CASE(the_best_schedule_repeats_the_fewest_steps) {
  BOOST_TEST(best_schedule(10, {5, 0, 4, false}) == "mixed");
  BOOST_TEST(best_schedule(10, {5, 0, 6, false}) == "binomial");
  BOOST_TEST(best_schedule(100, {10, 30, 4, false}) == "disk");
  BOOST_TEST(best_schedule(100, {0, 3, 4, false}) == "disk");
  BOOST_TEST(best_schedule(10, {40, 30, 4, false}) == "mixed");
  BOOST_CHECK_THROW(best_schedule(10, {}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(impossible_schedules_are_refused) {
  for (const auto& name : schedule_names()) {
    BOOST_CHECK_THROW(make_schedule(name, 0, Budget{3, 3}), std::invalid_argument);
    BOOST_CHECK_THROW(make_schedule(name, 3, Budget{3, 3, 0}), std::invalid_argument);
    BOOST_CHECK_THROW(make_schedule(name, 3, Budget{-1, 3}), std::invalid_argument);
    BOOST_CHECK_THROW(plan(name, 3, Budget{3, -1}), std::invalid_argument);
    if (name == "all") continue;
    const bool on_disk = name == "disk";
    BOOST_CHECK_EXCEPTION(
        plan(name, 3, Budget{on_disk ? 3 : 0, on_disk ? 0 : 3}), std::invalid_argument,
        [](const auto& e) { return std::string(e.what()).find("at least 1 unit") != std::string::npos; });
  }
  BOOST_CHECK_THROW(make_schedule("best", 3, Budget{3}), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
