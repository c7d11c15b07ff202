#include "espalier/train/refinement.hpp"

#include <petscsys.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"

using namespace espalier;
using train::Refinement;
using train::RefinementKnob;
using train::RefinementLevel;
using train::RefinementOptions;

namespace utf = boost::unit_test;

namespace {

RefinementOptions options(long kmax = 5) {
  RefinementOptions o;
  o.enabled = true;
  o.control.tau_step = 0.98;
  o.control.ema = 0;
  o.control.delta = 2;
  o.control.kmax = kmax;
  return o;
}

/// What the solves were told, by the level of each call.
struct Told {
  std::vector<RefinementLevel> all;
  Refinement refine(const RefinementOptions& o, const Refinement::Metrics& metrics = {}) {
    return Refinement(PETSC_COMM_WORLD, o, metrics, [this](const RefinementLevel& now) { all.push_back(now); });
  }
};

train::HistoryRow after_epoch(Refinement& refinement, double validation) {
  train::HistoryRow row;
  row.record.validation = validation;
  refinement.epoch_done(row);
  return row;
}

std::string refusal(const RefinementOptions& o) {
  return testing::message_of<UserError>([&] { Told().refine(o); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_refinement, *utf::label("prdp"))

// A plateau at 1 (c: 100 -> 1), another at 0.5: c -> 0.5.
BOOST_AUTO_TEST_CASE(levels_follow_the_metric, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  Told told;
  Refinement refinement = told.refine(options());
  BOOST_TEST(told.all.size() == 1);
  refinement.begin(1);
  after_epoch(refinement, 1);
  const auto row = after_epoch(refinement, 1);
  BOOST_TEST(row.extra.at("level") == 1);
  BOOST_TEST(row.extra.at("refinement_metric") == 1);
  BOOST_TEST(row.extra.at("refinement_r") == 1);
  BOOST_TEST(row.extra.at("refinement_rc") == 0.01);
  BOOST_TEST(refinement.level() == 2);
  after_epoch(refinement, 0.5);
  const auto fourth = after_epoch(refinement, 0.5);
  BOOST_TEST(fourth.extra.at("level") == 2);
  BOOST_TEST(refinement.level() == 3);
  BOOST_TEST(told.all.size() == 3);
  BOOST_TEST(told.all.back().forward.iterations == 3);
  BOOST_TEST(told.all.back().adjoint.iterations == 3);
  const std::vector<long> expected = {1, 1, 2, 2};
  BOOST_TEST(refinement.levels() == expected, boost::test_tools::per_element());

  core::RunReport report(PETSC_COMM_WORLD, "test");
  refinement.report(report);
  // 1 - 6 / (5 * 4), 1 - 2 / 5
  const auto& metrics = report.json().at("metrics");
  BOOST_TEST(metrics.at("savings_percent").get<double>() == 70, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(metrics.at("savings_ic_percent").get<double>() == 60, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(metrics.at("savings_pr_percent").get<double>() == 10, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(metrics.at("k_max").get<double>() == 2);
  BOOST_TEST(report.json().at("refinement").at("course").size() == 5);
}

// The ranks need not agree on what they measure: rank 0 decides.
BOOST_AUTO_TEST_CASE(rank_0_decides_for_all, *utf::label("unit") * utf::label("np2") * utf::label("np4")) {
  const int rank = testing::rank_of();
  Told told;
  RefinementOptions o = options();
  o.metric = "own";
  double value = 1;
  Refinement refinement = told.refine(o, {{"own", [&] { return rank == 0 ? 1.0 : value *= 0.5; }}});
  refinement.begin(0);
  after_epoch(refinement, 0);
  after_epoch(refinement, 0);
  BOOST_TEST(refinement.level() == 2);
}

BOOST_AUTO_TEST_CASE(without_refinement_the_level_stays, *utf::label("unit")) {
  Told told;
  RefinementOptions o = options();
  o.enabled = false;
  {
    Refinement refinement = told.refine(o);
    refinement.begin(1);
    for (int i = 0; i < 5; ++i) after_epoch(refinement, 1);
    BOOST_TEST(refinement.level() == 5);
    BOOST_TEST(refinement.levels().front() == 5);
  }
  o.fixed = 3;
  BOOST_TEST(told.refine(o).level() == 3);
}

BOOST_AUTO_TEST_CASE(knobs_of_other_kinds, *utf::label("unit")) {
  Told told;
  RefinementOptions o = options(0);
  o.adjoint = 7;
  o.early_exit = 1e-3;
  told.refine(o);
  BOOST_TEST(told.all.back().forward.iterations == 1);
  BOOST_TEST(told.all.back().forward.tolerance == 1e-3);
  BOOST_TEST(told.all.back().adjoint.iterations == 7);

  o = options(0);
  o.knob = RefinementKnob::tolerance;
  o.tolerances = {0.5, 0.1};
  Refinement by_tolerance = told.refine(o);
  BOOST_TEST(told.all.back().forward.tolerance == 0.5);
  by_tolerance.begin(1);
  for (int i = 0; i < 9; ++i) after_epoch(by_tolerance, 2 + i);  // refines each time: the last level stays
  BOOST_TEST(told.all.back().forward.tolerance == 0.1);
  BOOST_TEST(by_tolerance.level() == 2);

  o = options(0);
  o.knob = RefinementKnob::option;
  o.option = "test_refinement_ladder";
  o.ladder = {"jacobi", "ilu"};
  Refinement by_option = told.refine(o);
  BOOST_TEST(told.all.back().options_changed);
  char value[16] = {};
  ESPALIER_CALL(PetscOptionsGetString(nullptr, nullptr, "-test_refinement_ladder", value, sizeof value, nullptr));
  BOOST_TEST(value == std::string("jacobi"));
  ESPALIER_CALL(PetscOptionsClearValue(nullptr, "-test_refinement_ladder"));
}

BOOST_AUTO_TEST_CASE(a_restart_goes_on_where_it_was, *utf::label("unit")) {
  Told told;
  Refinement whole = told.refine(options());
  Refinement first = told.refine(options());
  const std::vector<double> course = {1, 1, 0.5, 0.5, 0.5, 0.4, 0.4};
  for (auto* refinement : {&whole, &first}) refinement->begin(1);
  for (std::size_t i = 0; i < 4; ++i) after_epoch(first, course[i]);
  train::RestartState state;
  first.save(state);
  Refinement second = told.refine(options());
  second.restore(state);
  BOOST_TEST(told.all.back().forward.iterations == first.level());
  for (std::size_t i = 0; i < course.size(); ++i) {
    after_epoch(whole, course[i]);
    if (i >= 4) after_epoch(second, course[i]);
  }
  BOOST_TEST(second.level() == whole.level());
  BOOST_TEST(second.levels() == whole.levels(), boost::test_tools::per_element());
  BOOST_CHECK_THROW(second.restore(train::RestartState()), UserError);
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_refine_nothing, *utf::label("unit")) {
  Told told;
  Refinement refinement = told.refine(options());
  refinement.begin(std::numeric_limits<double>::infinity());
  for (int i = 0; i < 4; ++i) after_epoch(refinement, std::nan(""));
  BOOST_TEST(refinement.level() == 1);
}

BOOST_AUTO_TEST_CASE(settings_that_do_not_go_together, *utf::label("unit")) {
  RefinementOptions o = options();
  o.metric = "loss";
  BOOST_TEST(refusal(o).find("-prdp_metric loss: there is no such metric, choose one of validation") !=
             std::string::npos);
  o = options();
  o.control.tau_step = 2.5;
  BOOST_TEST(refusal(o).find("tau_step") != std::string::npos);
  o = options();
  o.knob = RefinementKnob::tolerance;
  BOOST_TEST(refusal(o).find("-prdp_tolerances") != std::string::npos);
  o.tolerances = {2};
  BOOST_TEST(refusal(o).find("between 0 and 1") != std::string::npos);
  o = options();
  o.knob = RefinementKnob::option;
  BOOST_TEST(refusal(o).find("-prdp_ladder") != std::string::npos);
  o.ladder = {"a"};
  BOOST_TEST(refusal(o).find("-prdp_option") != std::string::npos);
  o = options(0);
  o.enabled = false;
  BOOST_TEST(refusal(o).find("-prdp_kmax or -prdp_fixed") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
