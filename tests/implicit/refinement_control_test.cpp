// The control of refinement: known histories, and another implementation that starts from scratch for every value.
#include "espalier/implicit/refinement_control.hpp"
#include "core/messages.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace espalier::implicit;
namespace utf = boost::unit_test;

namespace {

RefinementSettings settings_of(double tau_step, double tau_stop, double ema, long delta, double c0) {
  RefinementSettings s;
  s.tau_step = tau_step;
  s.tau_stop = tau_stop;
  s.ema = ema;
  s.delta = delta;
  s.c0 = c0;
  return s;
}

std::vector<double> powers(double base, int count) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(std::pow(base, i));
  return values;
}

/// Runs of equal values: {{0.5, 12}, {0.1, 14}}.
std::vector<double> runs(const std::vector<std::pair<double, int>>& pieces) {
  std::vector<double> values;
  for (const auto& [value, count] : pieces) values.insert(values.end(), static_cast<std::size_t>(count), value);
  return values;
}

/// The decisions as digits.
std::string digits(const RefinementControl& control) {
  std::string text;
  for (const auto& step : control.trace()) text += step.refine ? '1' : '0';
  return text;
}

struct Vector {
  RefinementSettings settings;
  std::vector<double> history;
  std::string decisions;
  double checkpoint;
};

const std::vector<Vector> vectors = {
    {settings_of(.98, .9, 6, 3, 100), runs({{1, 7}}), "0001000", 1},
    {settings_of(.98, .9, 0, 3, 100), runs({{1, 1}, {.5, 5}, {.4, 6}}), "000100001000", .4},
    {settings_of(.98, .9, 6, 3, 100), runs({{1, 1}, {.5, 1}, {.25, 12}, {.1, 14}}), std::string(26, '0') + "10",
     .102024771897},
    {settings_of(.98, .9, 6, 3, 100), {1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6}, "0001111", 1.38320257716},
    {settings_of(.98, .9, 0, 3, 1), {1, 1.1, 1.2, 1.3, 1.4}, "00011", 1.4},
    {settings_of(.98, .9, 6, 3, 100), powers(.9, 14), std::string(14, '0'), 100},
    {settings_of(.98, .9, 0, 2, 100), powers(.985, 16), "0010000001000000", .872822784019},
    {settings_of(.98, .9, 0, 3, 100), powers(.985, 10), std::string(10, '0'), 100},
    {settings_of(.92, .9, 0, 2, 100), {1.5, 1.4997, 1.4993, 1.4857, 1.34, 1.335, 1.33, 1.2, 1.199}, "001001001", 1.199},
    {settings_of(.98, .9, 0, 3, .5), {1, .5, .5, .5, .5}, "00000", .5},
    {settings_of(.98, .9, 0, 3, 1), {1, .97, .96, .955, .95, .949}, "000000", 1},
    {settings_of(.5, .9, 0, 3, 100), {1, 1, .75, .5}, "0000", 100},
    {settings_of(.75, .5, 0, 3, 1), {1, .5, .5, .5, .5}, "00000", 1}};

/// Algorithm 4 as it is written: all of it again for every value.
struct Literal {
  explicit Literal(const RefinementSettings& s) : s_(s), k(s.k0), c(s.c0) {}

  std::vector<double> smoothed() const {
    std::vector<double> mean = h_;
    if (s_.ema == 0) return mean;
    const double a = 2 / (s_.ema + 1);
    for (std::size_t i = 1; i < h_.size(); ++i) {
      volatile double product = a * h_[i];
      volatile double other = (1 - a) * mean[i - 1];
      mean[i] = product + other;
    }
    return mean;
  }

  bool observe(double metric) {
    h_.push_back(metric);
    if (s_.c0_first) c = refinements == 0 ? h_.front() : c;
    const auto n = static_cast<long>(h_.size());
    const std::vector<double> mean = smoothed();
    const double last = mean.back();
    if (n <= s_.delta || !std::isfinite(metric) || !std::isfinite(last)) return false;
    const double ratio = last / mean[static_cast<std::size_t>(n - s_.delta)];
    const double to_checkpoint = last / c;
    if (!std::isfinite(ratio) || !std::isfinite(to_checkpoint)) return false;
    if (ratio <= s_.tau_step || (s_.tau_stop <= to_checkpoint && to_checkpoint <= 1)) return false;
    c = last;
    ++refinements;
    k = s_.k0 + refinements * s_.dk;
    if (s_.kmax != 0) k = std::min(k, s_.kmax);
    return true;
  }

 private:
  RefinementSettings s_;
  std::vector<double> h_;

 public:
  long k;
  double c;
  long refinements = 0;
};

bool same_bits(double a, double b) { return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0; }

/// Settings and histories that meet each other's thresholds: ratios of few binary fractions, so that many are ties.
class Draw {
 public:
  explicit Draw(unsigned seed) : random_(seed) {}

  RefinementSettings settings() {
    RefinementSettings s;
    s.tau_step = of({.5, .75, .9, .95, .98, 1, 1.5});
    s.tau_stop = of({.5, .75, .9, .95, 1, 2});
    s.ema = of({0, 0, 1, 3, 6, 8, 2.5});
    s.delta = static_cast<long>(of({1, 2, 2, 3, 3, 4, 7}));
    s.k0 = static_cast<long>(of({1, 2, 5}));
    s.dk = static_cast<long>(of({1, 2, 10}));
    s.kmax = static_cast<long>(of({0, 5, 9, 40}));
    s.c0 = of({.5, 1, 100});
    s.c0_first = of({0, 0, 1}) == 1;
    return s;
  }

  std::vector<double> history() {
    const bool with_accidents = of({0, 0, 1}) == 1;
    std::vector<double> values = {of({.3, 1, 2})};
    while (values.size() < 40) {
      const double factor = of({1, 1, 1, .5, .75, .9, .98, .985, .999, 1.0625, 1.1, 2, 1 - 1e-16});
      values.push_back(values.back() * factor);
      if (with_accidents && of({0, 0, 0, 0, 0, 0, 0, 0, 0, 1}) == 1) {
        values.insert(values.end() - 1, of({std::nan(""), INFINITY, -INFINITY, 0, -1}));
      }
    }
    return values;
  }

 private:
  double of(const std::vector<double>& choices) { return choices[random_() % choices.size()]; }
  std::mt19937 random_;
};

std::string refusal(const std::string& name, const std::string& value) {
  RefinementSettings s;
  return espalier::testing::message_of<std::invalid_argument>([&] { s.set(name, value); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_refinement_control, *utf::label("prdp"))

BOOST_AUTO_TEST_CASE(known_histories, *utf::label("unit") * utf::label("np1")) {
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    const auto& v = vectors[i];
    const auto control = RefinementControl::replay(v.settings, v.history);
    BOOST_TEST_CONTEXT("vector " << i) {
      BOOST_TEST(digits(control) == v.decisions);
      BOOST_TEST(std::abs(control.checkpoint() / v.checkpoint - 1) <= 1e-11);
      BOOST_TEST(control.level() == 1 + std::count(v.decisions.begin(), v.decisions.end(), '1'));
    }
  }
  // What the trace says: ratios where they are needed.
  const auto control = RefinementControl::replay(settings_of(.9, .9, 0, 2, 1), {2, 1, 1.5, 1.5});
  const auto& trace = control.trace();
  BOOST_TEST((std::isnan(trace[1].r) && std::isnan(trace[1].rc)));
  BOOST_TEST((trace[2].r == 1.5 && trace[2].rc == 1.5 && trace[2].refine && trace[2].checkpoint == 1.5));
  BOOST_TEST((trace[3].r == 1 && trace[3].rc == 1 && !trace[3].refine && trace[3].level == 2));
}

BOOST_AUTO_TEST_CASE(random_histories_agree_with_the_algorithm_taken_literally,
                     *utf::label("unit") * utf::label("np1")) {
  Draw draw(1);
  long wrong = 0;
  long refinements = 0;
  long capped = 0;
  for (int i = 0; i < 3000; ++i) {
    RefinementSettings s = draw.settings();
    if (s.kmax != 0) s.kmax = std::max(s.kmax, s.k0);
    Literal literal(s);
    RefinementControl control(s);
    for (const double metric : draw.history()) {
      const bool refine = literal.observe(metric);
      const auto& step = control.observe(metric);
      const bool same = step.refine == refine && step.level == literal.k && same_bits(step.checkpoint, literal.c) &&
                        control.level() == literal.k && same_bits(control.checkpoint(), literal.c);
      wrong += same ? 0 : 1;
      refinements += refine ? 1 : 0;
      capped += refine && s.kmax == literal.k ? 1 : 0;
    }
  }
  BOOST_TEST(wrong == 0);
  BOOST_TEST(refinements > 4000);  // the draws do lead somewhere
  BOOST_TEST(capped > 300);
}

BOOST_AUTO_TEST_CASE(replay_goes_on_bit_for_bit, *utf::label("unit") * utf::label("np1")) {
  Draw draw(2);
  for (int i = 0; i < 200; ++i) {
    RefinementSettings s = draw.settings();
    s.kmax = 0;
    const auto history = draw.history();
    const auto whole = RefinementControl::replay(s, history);
    const auto middle = history.begin() + i % 30;
    auto resumed = RefinementControl::replay(s, RefinementControl::replay(s, {history.begin(), middle}).history());
    for (auto it = middle; it != history.end(); ++it) resumed.observe(*it);
    BOOST_TEST(digits(resumed) == digits(whole));
    BOOST_TEST(resumed.level() == whole.level());
    BOOST_TEST(same_bits(resumed.checkpoint(), whole.checkpoint()));
    BOOST_TEST(same_bits(resumed.trace().back().smoothed, whole.trace().back().smoothed));
  }
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_give_no, *utf::label("unit") * utf::label("np1")) {
  const double nan = std::nan("");
  auto s = settings_of(.98, .9, 0, 2, 100);
  // Without the mean, ratios with the bad value are not finite either; later ones are.
  BOOST_TEST(digits(RefinementControl::replay(s, {1, nan, 1, 1})) == "0001");
  BOOST_TEST(digits(RefinementControl::replay(s, {1, 1, INFINITY, 1, 1})) == "00001");
  BOOST_TEST(digits(RefinementControl::replay(s, {1, 0, 1, 0, 0})) == "00000");
  s.ema = 6;
  BOOST_TEST(digits(RefinementControl::replay(s, {1, nan, 1, 1, 1, 1, 1})) == "0000000");
  s.c0_first = true;
  BOOST_TEST(std::isnan(RefinementControl(s).checkpoint()));
  BOOST_TEST(RefinementControl::replay(s, {3}).checkpoint() == 3);
}

BOOST_AUTO_TEST_CASE(settings_refuse_what_makes_no_sense, *utf::label("unit") * utf::label("np1")) {
  RefinementSettings s;
  s.set("ema", "off");
  s.set("c0", "first");
  s.set("kmax", "40");
  s.set("tau_stop", ".5");
  BOOST_TEST((s.ema == 0 && s.c0_first && s.kmax == 40 && s.tau_stop == .5));
  s.set("c0", "3");
  BOOST_TEST((!s.c0_first && s.c0 == 3));
  s.set("tau_step", "2");
  BOOST_CHECK_NO_THROW(s.check());
  const std::vector<std::pair<std::string, std::vector<std::string>>> bad = {
      {"tau_step", {"0", "-1", "2.01", "nan", "inf", "", "1x", "off"}},
      {"tau_stop", {"0", "3"}},
      {"ema", {"0.5", "-1", "inf", "nan", "on"}},
      {"delta", {"0", "-3", "1.5", "3000000000", "99999999999999999999"}},
      {"k0", {"0", "", "a"}},
      {"dk", {"0", "-1"}},
      {"kmax", {"-1", "1e3"}},
      {"c0", {"0", "-1", "inf", "First"}}};
  for (const auto& [name, values] : bad)
    for (const auto& value : values)
      BOOST_TEST(refusal(name, value).rfind("-prdp_" + name + " " + value + ": ", 0) == 0, name << " " << value);
  BOOST_TEST(refusal("tau", "1").find("no option -prdp_tau; known are -prdp_tau_step") != std::string::npos);
  // A refused value leaves no trace; a cap below the first level is seen when all is there.
  BOOST_CHECK_THROW(s.set("delta", "0"), std::invalid_argument);
  BOOST_TEST(s.delta == 3);
  s.set("k0", "41");
  BOOST_CHECK_THROW(s.check(), std::invalid_argument);
  BOOST_CHECK_THROW(RefinementControl{s}, std::invalid_argument);
  s.set("kmax", "41");
  BOOST_CHECK_NO_THROW(RefinementControl{s});
}

BOOST_AUTO_TEST_SUITE_END()
