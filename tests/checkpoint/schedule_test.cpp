// Checkpoint schedules run by a machine that refuses whatever is not possible.
#include "espalier/checkpoint/schedule.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using namespace espalier::checkpoint;
namespace utf = boost::unit_test;

namespace {

/// Carries out a schedule without doing anything else; throws std::runtime_error where it cannot.
class Machine {
 public:
  /// The run ends after `steps` steps, whatever the schedule was told.
  Machine(Schedule& schedule, long steps) : schedule_(schedule), end_(steps) {
    while (!run_is_over_) step_of_the_run();
    while (end_ > 0) follow(schedule_.next());
    // Tidies up, and then says that it is through.
    BOOST_CHECK_THROW(for (;;) follow(schedule_.next()), std::logic_error);
    require(slots_.empty(), "leaves nothing stored");
  }

  long advances = 0;  // steps taken, the run's own included
  long peak = 0;      // slots in use

 private:
  static void require(bool condition, const std::string& what) {
    if (!condition) throw std::runtime_error(what);
  }

  // As a trajectory does it: the run, not the schedule, knows where it ends.
  void step_of_the_run() {
    if (at_ > 0 && at_ >= schedule_.steps()) schedule_.announce(at_, 2 * at_);
    const Action action = schedule_.next();
    require(action.kind == Kind::advance || action.kind == Kind::store, "a run only advances and stores");
    if (action.kind == Kind::store) return follow(action);
    require(action.from == at_ && action.to > at_, "advances from where the run stands");
    for (; at_ < action.to; ++at_) {
      if (at_ == end_) break;
      ++advances;
    }
    recorded_ = at_ - 1;
    if (at_ < end_) return;
    run_is_over_ = true;
    schedule_.announce(end_, end_);
  }

  void follow(const Action& a) {
    switch (a.kind) {
      case Kind::advance:
        require(a.from == at_ && a.to > a.from && a.to <= end_, "advances over steps that are there");
        advances += a.to - a.from;
        at_ = a.to;
        recorded_ = a.to - 1;
        break;
      case Kind::store:
        require(slots_.count(a.slot) == 0, "stores into an empty slot");
        require(a.content == Content::state ? a.from == at_ : a.from == recorded_, "stores what is there");
        slots_[a.slot] = {a.content, a.from};
        peak = std::max(peak, static_cast<long>(slots_.size()));
        break;
      case Kind::restore:
        require(slots_.count(a.slot) == 1 && slots_[a.slot] == std::make_pair(a.content, a.from),
                "restores what is stored");
        at_ = a.content == Content::state ? a.from : -1;
        recorded_ = a.content == Content::state ? -1 : a.from;
        break;
      case Kind::discard:
        require(slots_.erase(a.slot) == 1, "discards what is stored");
        break;
      case Kind::reverse:
        require(run_is_over_ && a.from == end_ - 1 && recorded_ == a.from,
                "reverses the last step, whose stages are there");
        --end_;
        at_ = recorded_ = -1;
        require(schedule_.steps() == end_, "knows how many steps are left");
    }
  }

  Schedule& schedule_;
  long end_;
  long at_ = 0;
  long recorded_ = -1;
  bool run_is_over_ = false;
  std::map<long, std::pair<Content, long>> slots_;
};

/// The fewest repetitions by trying every place of the next stored state: t(m, s) = min_d d + t(d, s) + t(m - d, s -
/// 1).
std::vector<std::vector<long>> fewest_repetitions(long m_most, long s_most) {
  std::vector<std::vector<long>> t(static_cast<std::size_t>(s_most) + 1,
                                   std::vector<long>(static_cast<std::size_t>(m_most) + 1, 0));
  for (std::size_t s = 1; s < t.size(); ++s)
    for (std::size_t m = 2; m < t[s].size(); ++m) {
      // From one state only: m - 1 steps to the last one, and so on.
      t[s][m] = static_cast<long>(m * (m - 1) / 2);
      for (std::size_t d = 1; s > 1 && d < m; ++d)
        t[s][m] = std::min(t[s][m], static_cast<long>(d) + t[s][d] + t[s - 1][m - d]);
    }
  return t;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_schedule, *utf::label("unit") * utf::label("checkpointing") * utf::label("np1"))

BOOST_AUTO_TEST_CASE(binomial_schedules_are_legal_and_repeat_the_fewest_steps) {
  const auto best = fewest_repetitions(60, 12);
  for (long s = 1; s <= 12; ++s)
    for (long m = 1; m <= 60; ++m) {
      const auto schedule = make_schedule("binomial", m, {s});
      const Machine machine(*schedule, m);
      const long expected = best[static_cast<std::size_t>(s)][static_cast<std::size_t>(m)];
      BOOST_TEST_CONTEXT(m << " steps, " << s << " units") {
        BOOST_REQUIRE(machine.advances - m == expected);
        BOOST_REQUIRE(binomial_repetitions(m, s) == expected);
        BOOST_REQUIRE(machine.peak == std::min(s, std::max(m - 1, 1L)));
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
    const auto schedule = make_schedule("binomial", known.m, {known.s});
    const Machine machine(*schedule, known.m);
    BOOST_TEST_CONTEXT(known.m << " steps, " << known.s << " units") {
      BOOST_TEST(machine.advances - known.m == known.t);
      BOOST_TEST(binomial_repetitions(known.m, known.s) == known.t);
      BOOST_TEST(machine.peak == known.s);
    }
  }
  // Numbers that do not fit when they are multiplied out.
  BOOST_TEST(binomial_repetitions(1000000, 1000000) == 999999);
  BOOST_TEST(binomial_repetitions(100000, 1) == 100000L * 99999 / 2);
}

BOOST_AUTO_TEST_CASE(all_stages_stored_repeats_nothing) {
  for (const long m : {1L, 2L, 17L}) {
    const auto schedule = make_schedule("all", m, {});
    const Machine machine(*schedule, m);
    BOOST_TEST(machine.advances == m);
    BOOST_TEST(machine.peak == m - 1);
  }
}

// Every step is reversed within the units even so.
BOOST_AUTO_TEST_CASE(runs_may_be_shorter_or_longer_than_announced) {
  for (const auto& name : schedule_names())
    for (long s = 1; s <= 5; ++s)
      for (long told = 1; told <= 20; ++told)
        for (long m = 1; m <= 45; ++m) {
          const auto schedule = make_schedule(name, told, {s});
          BOOST_TEST_CONTEXT(name << ", " << m << " steps, " << told << " announced, " << s << " units") {
            const Machine machine(*schedule, m);
            BOOST_REQUIRE(machine.peak <= (name == "all" ? m - 1 : s));
          }
        }
}

BOOST_AUTO_TEST_CASE(impossible_schedules_are_refused) {
  BOOST_CHECK_THROW(make_schedule("binomial", 0, Budget{3}), std::invalid_argument);
  BOOST_CHECK_THROW(make_schedule("binomial", 3, Budget{0}), std::invalid_argument);
  BOOST_CHECK_THROW(make_schedule("best", 3, Budget{3}), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
