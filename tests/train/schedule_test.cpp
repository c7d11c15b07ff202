#include <boost/test/unit_test.hpp>
#include <cmath>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/train/schedule.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;

namespace {

constexpr double pi = 3.14159265358979323846;

ScheduleOptions named(const std::string& name) {
  ScheduleOptions options;
  options.name = name;
  options.horizon = 20;
  return options;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_schedule, *utf::label("unit") * utf::label("np1") * utf::tolerance(1e-14))

BOOST_AUTO_TEST_CASE(constant_with_warm_up) {
  auto options = named("constant");
  BOOST_TEST(Schedule(options).factor(7, 3, 10) == 1.0);
  options.warmup = 2;
  const Schedule schedule(options);
  BOOST_TEST(schedule.factor(0, 0, 10) == 0.05);  // the first of 20 steps
  BOOST_TEST(schedule.factor(0, 9, 10) == 0.5);
  BOOST_TEST(schedule.factor(1, 9, 10) == 1.0);
  BOOST_TEST(schedule.factor(2, 0, 10) == 1.0);
}

BOOST_AUTO_TEST_CASE(cosine_falls_to_its_floor) {
  auto options = named("cosine");
  options.floor = 0.1;
  const Schedule schedule(options);
  BOOST_TEST(schedule.factor(0, 0, 5) == 1.0);
  BOOST_TEST(schedule.factor(10, 0, 5) == 0.55);
  BOOST_TEST(schedule.factor(5, 2, 4) == 0.1 + 0.9 * (1 + std::cos(pi * 5.5 / 20)) / 2);
  BOOST_TEST(schedule.factor(20, 0, 5) == 0.1);
  BOOST_TEST(schedule.factor(25, 0, 5) == 0.1);
}

// A quarter of the epochs constant, then a cosine to 1e-3 of the rate.
BOOST_AUTO_TEST_CASE(cosine_after_warm_up_and_hold) {
  auto options = named("cosine");
  options.floor = 1e-3;
  options.warmup = 1;
  options.hold = 4;
  const Schedule schedule(options);
  BOOST_TEST(schedule.factor(0, 0, 4) == 0.25);
  BOOST_TEST(schedule.factor(4, 3, 4) == 1.0);
  BOOST_TEST(schedule.factor(5, 0, 4) == 1.0);
  BOOST_TEST(schedule.factor(12, 2, 4) == 1e-3 + 0.999 / 2);
  BOOST_TEST(schedule.factor(20, 0, 4) == 1e-3);
}

// lr0 decay^(step / 100) with 8 steps an epoch.
BOOST_AUTO_TEST_CASE(exponential_in_steps) {
  auto options = named("exponential");
  options.factor = 0.94;
  options.every = 12.5;
  const Schedule schedule(options);
  BOOST_TEST(schedule.factor(3, 5, 8) == std::pow(0.94, 29.0 / 100));
  options.floor = 0.9;
  BOOST_TEST(Schedule(options).factor(1000, 0, 8) == 0.9);
}

BOOST_AUTO_TEST_CASE(steps) {
  auto options = named("step");
  options.factor = 0.5;
  options.every = 3;
  const Schedule schedule(options);
  BOOST_TEST(schedule.factor(2, 9, 10) == 1.0);
  BOOST_TEST(schedule.factor(3, 0, 10) == 0.5);
  BOOST_TEST(schedule.factor(8, 9, 10) == 0.25);
  options.every = 0.2;  // (1 + 1 * 0.2) / 0.2 is rounded to a number below 6
  BOOST_TEST(Schedule(options).factor(1, 1, 5) == std::pow(0.5, 6));
}

BOOST_AUTO_TEST_CASE(plateau_waits_for_its_patience) {
  auto options = named("plateau");
  options.factor = 0.5;
  options.patience = 2;
  options.floor = 0.2;
  Schedule schedule(options);
  schedule.epoch_done(1);
  for (int i = 0; i < 2; ++i) schedule.epoch_done(0.99995);  // a relative 5e-5 is no improvement
  BOOST_TEST(schedule.factor(3, 0, 1) == 1.0);
  schedule.epoch_done(1);
  BOOST_TEST(schedule.factor(4, 0, 1) == 0.5);
  for (int i = 0; i < 2; ++i) schedule.epoch_done(1);
  schedule.epoch_done(0.5);  // in time
  for (int i = 0; i < 2; ++i) schedule.epoch_done(0.6);
  BOOST_TEST(schedule.factor(9, 0, 1) == 0.5);
  schedule.epoch_done(0.6);
  BOOST_TEST(schedule.factor(10, 0, 1) == 0.25);
  for (int i = 0; i < 9; ++i) schedule.epoch_done(0.6);
  BOOST_TEST(schedule.factor(19, 0, 1) == 0.2);
}

BOOST_AUTO_TEST_CASE(plateau_continues_from_its_state) {
  auto options = named("plateau");
  options.patience = 1;
  Schedule whole(options);
  Schedule first(options);
  for (const double loss : {1.0, 0.8, 0.9, 0.9, 0.85}) {
    whole.epoch_done(loss);
    first.epoch_done(loss);
  }
  Schedule second(options);
  second.restore(first.state());
  for (const double loss : {0.82, 0.7, 0.75, 0.75, 0.75}) {
    whole.epoch_done(loss);
    second.epoch_done(loss);
    BOOST_TEST(whole.factor(0, 0, 1) == second.factor(0, 0, 1));
    BOOST_TEST((whole.state() == second.state()));
  }
  BOOST_TEST(whole.factor(0, 0, 1) < 1);
  BOOST_CHECK_THROW(second.restore({}), espalier::UserError);
}

BOOST_AUTO_TEST_CASE(bad_settings_are_refused) {
  BOOST_CHECK_THROW(Schedule(named("linear")), espalier::UserError);
  auto options = named("cosine");
  options.warmup = 15;
  options.hold = 5;
  BOOST_CHECK_THROW(Schedule{options}, espalier::UserError);
  options = named("step");
  options.floor = 2;
  BOOST_CHECK_THROW(Schedule{options}, espalier::UserError);
}

BOOST_AUTO_TEST_SUITE_END()
