// Checkpoint schedules run by a machine that refuses whatever is not possible.
#include "espalier/checkpoint/schedule.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "checkpoint/schedule_machine.hpp"
#include "checkpoint/schedule_reference.hpp"

using namespace espalier::checkpoint;
using namespace espalier::checkpoint::test;
namespace utf = boost::unit_test;

namespace {

Machine run(const std::string& name, long m, const Budget& budget) {
  const auto schedule = make_schedule(name, m, budget);
  Budget limits = budget;
  if (name == "all") limits.memory = m * budget.stages;
  return Machine(*schedule, m, limits, {-1, 0, m % 2 == 0});  // a right number need not be announced at the end
}

long repeated(const std::string& name, long m, const Budget& budget) { return run(name, m, budget).advances - m; }

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

// Told before the first step, or told the same again where something is about to be stored, a schedule is as good as
// one that knew.
BOOST_AUTO_TEST_CASE(what_is_announced_in_time_counts) {
  for (const auto& name : schedule_names())
    for (const Budget& method : methods())
      for (const long told : {5L, 100L}) {
        const Budget budget = with_units(method, name == "all" ? 160 : 7, name == "disk" ? 2 : 0);
        const auto schedule = make_schedule(name, told, budget);
        BOOST_TEST_CONTEXT(text(name, 40, budget) << ", " << told << " announced at first") {
          BOOST_TEST(Machine(*schedule, 40, budget, {0, 40}).advances - 40 == plan(name, 40, budget).repeated_steps);
        }
      }
  // u_0 and the stages of steps 5 to 8, those of step 5 to be stored next.
  const Budget budget = {5, 0, 1, false};
  const auto schedule = make_schedule("mixed", 10, budget);
  BOOST_TEST(Machine(*schedule, 10, budget, {6, 10}).advances - 10 == 5);
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
