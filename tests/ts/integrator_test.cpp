// Forward runs: order of every method, counters, and what happens when something is wrong.
#include <cmath>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/ts/adams.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
namespace utf = boost::unit_test;

namespace {

bool mentions(const std::exception& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ts_integrator, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(every_method_has_its_order) {
  Setup setup;
  setup.stiffness = 0.5;
  const System system(setup);
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  ts::Integrator fine(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("8vr", 0.01));
  const at::Tensor exact = fine.forward(u0, {0, 1}, ts::Record::no).clone();
  for (const auto& method : ts::methods()) {
    // Multistep methods need some steps after those that start them: adams_test.cpp looks at them.
    if (method.ts_type == ts::adams_type) continue;
    // High orders reach rounding level at small steps.
    const double h = method.order >= 6 ? 0.5 : method.order >= 4 ? 0.25 : 0.05;
    std::vector<double> errors;
    for (const double step : {h, h / 2}) {
      ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method.name, step));
      errors.push_back((integrator.forward(u0, {0, 1}, ts::Record::no) - exact).norm().item<double>());
    }
    const double order = std::log2(errors[0] / errors[1]);
    BOOST_TEST_CONTEXT("method " << method.name << " errors " << errors[0] << " " << errors[1]) {
      BOOST_TEST(order >= method.order - 0.35);
      BOOST_TEST(order <= method.order + (method.order >= 6 ? 2.2 : 1.2));
    }
  }
}

BOOST_AUTO_TEST_CASE(network_evaluations_are_counted) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  for (const auto& method : ts::methods()) {
    if (method.stages == 0 || method.ts_type == ts::adams_type) continue;
    const System system;
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method.name, 0.1));
    integrator.forward(u0, {0, 0.3}, ts::Record::yes);
    integrator.adjoint(weights);
    const auto& counters = system.neural->counters();
    BOOST_TEST_CONTEXT("method " << method.name) {
      BOOST_TEST(integrator.steps() == 3);
      // First-same-as-last methods evaluate one stage less from the second step on, and skip it in the adjoint.
      BOOST_TEST(counters.forward <= 3 * method.stages);
      BOOST_TEST(counters.forward >= 3 * (method.stages - 1));
      BOOST_TEST(counters.adjoint <= 3 * method.stages);
      BOOST_TEST(counters.adjoint >= 3 * (method.stages - 1));
      // Their first stage is the last one of the step before, for some but for rounding: then it is not recognised.
      BOOST_TEST(counters.recomputed <= 3 * method.stages - counters.forward);
    }
  }
  for (const std::string method : {"l2", "3", "4", "5", "rk4"}) {
    const System system;
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method, 0.1));
    integrator.forward(u0, {0, 0.1}, ts::Record::yes);
    integrator.adjoint(weights);
    BOOST_TEST(system.neural->counters().forward == ts::find_method(method).stages);
    BOOST_TEST(system.neural->counters().adjoint == ts::find_method(method).stages);
  }
}

BOOST_AUTO_TEST_CASE(one_factorisation_serves_stages_steps_and_runs) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("5", 0.1));
  for (int run = 0; run < 3; ++run) {
    integrator.forward(u0, {0, 0.7}, ts::Record::yes);
    integrator.adjoint(weights);
  }
  // The steps are equal up to rounding; forward and adjoint round the shift differently.
  BOOST_TEST(system.linear->factorisations() == 1);
}

BOOST_AUTO_TEST_CASE(runs_without_gradient_keep_nothing_and_agree) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("3", 0.1));
  const at::Tensor recorded = integrator.forward(u0, {0, 0.2, 0.3}, ts::Record::yes).clone();
  const at::Tensor plain = integrator.forward(u0, {0, 0.2, 0.3}, ts::Record::no).clone();
  BOOST_TEST(at::equal(recorded, plain));
  TSTrajectory trajectory = nullptr;
  ESPALIER_CALL(TSGetTrajectory(integrator.ts(), &trajectory));
  BOOST_TEST((trajectory == nullptr));
  BOOST_CHECK_EXCEPTION(integrator.adjoint(random_tensor({2, samples, dof}, 2)), UserError,
                        [](const auto& e) { return mentions(e, "Record::yes"); });
}

BOOST_AUTO_TEST_CASE(the_number_of_observation_times_may_change) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.1));
  const at::Tensor once = integrator.forward(u0, {0, 0.4}, ts::Record::no).clone();
  const at::Tensor often = integrator.forward(u0, {0, 0.1, 0.2, 0.3, 0.4}, ts::Record::no).clone();
  const at::Tensor again = integrator.forward(u0, {0, 0.2, 0.4}, ts::Record::no).clone();
  BOOST_TEST(relative(often[3], once[0]) <= 1e-14);
  BOOST_TEST(relative(again[0], often[1]) <= 1e-14);
}

BOOST_AUTO_TEST_CASE(a_rank_may_have_no_sample, *utf::label("np2") * utf::label("np3")) {
  const System system;
  const bool first = rank_of() == 0;
  const at::Tensor all = random_tensor({1, dof}, 1);
  const at::Tensor u0 = all.slice(0, 0, first ? 1 : 0).contiguous();
  const at::Tensor weights = random_tensor({1, 1, dof}, 2).slice(1, 0, first ? 1 : 0).contiguous();
  for (const std::string method : {"l2", "rk4", "cn"}) {
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method, 0.1));
    system.network->parameters().zero_gradient();
    const at::Tensor end = integrator.forward(u0, {0, 0.2}, ts::Record::yes).clone();
    integrator.adjoint(weights);
    BOOST_TEST(end.size(1) == (first ? 1 : 0));
    const double norm = system.network->parameters().gradient().norm().item<double>();
    BOOST_TEST((first ? norm > 0 : norm == 0));
  }
}

BOOST_AUTO_TEST_CASE(blow_up_is_reported_by_all_ranks, *utf::label("np1") * utf::label("np2")) {
  Setup setup;
  setup.stiffness = 4000;
  const System system(setup);
  const at::Tensor u0 = mine(random_tensor({samples, dof}, 1));
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("rk4", 0.1));
  BOOST_CHECK_EXCEPTION(integrator.forward(u0, {0, 100}, ts::Record::no), NumericalError, [](const auto& e) {
    return mentions(e, "not finite") && mentions(e, "step") && mentions(e, "time") && mentions(e, "index") &&
           mentions(e, "stage");
  });
  // The integrator is usable afterwards.
  const at::Tensor still = integrator.forward(at::zeros_like(u0), {0, 1e-4}, ts::Record::no).clone();
  BOOST_TEST(at::isfinite(still).all().item<bool>());
}

// Samples that are zero stay zero: only the last rank's overflow, and all ranks must learn of it.
BOOST_AUTO_TEST_CASE(a_rank_that_blows_up_alone_stops_all, *utf::label("np1") * utf::label("np2") * utf::label("np3")) {
  Setup stiff;
  stiff.stiffness = 4000;
  stiff.solver = model::LinearSolver::krylov;
  const System unstable(stiff);
  const System stable;
  const int last = size_of() - 1;
  const at::Tensor u0 = random_tensor({2, dof}, 1) * (rank_of() == last ? 1 : 0);
  for (const std::string method : {"l2", "rk4"}) {
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {unstable.linear, stable.linear}, settings(method, 0.1));
    BOOST_CHECK_EXCEPTION(integrator.forward(u0, {0, 100}, ts::Record::no), NumericalError, [&](const auto& e) {
      return mentions(e, "not finite") && mentions(e, "rank " + std::to_string(last));
    });
  }
}

/// Fails on the last rank from a certain time on.
class Failing : public model::Term {
 public:
  void apply(double t, Vec /*u*/, Vec y) override {
    if (t > 0.15 && rank_of() == size_of() - 1) throw NumericalError("out of luck", __FILE__, __LINE__);
    ESPALIER_CALL(VecZeroEntries(y));
  }
  std::shared_ptr<model::Linearization> linearize(double /*t*/, Vec /*u*/) override { return nullptr; }
};

BOOST_AUTO_TEST_CASE(a_term_that_fails_on_one_rank_stops_all, *utf::label("np1") * utf::label("np2")) {
  const System system;
  const at::Tensor u0 = random_tensor({2, dof}, 1);
  for (const std::string method : {"l2", "rk4"}) {
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {std::make_shared<Failing>(), system.linear},
                              settings(method, 0.1));
    BOOST_CHECK_EXCEPTION(integrator.forward(u0, {0, 1}, ts::Record::no), NumericalError,
                          [](const auto& e) { return mentions(e, "out of luck"); });
  }
}

// More steps than time over step size, run after run.
BOOST_AUTO_TEST_CASE(steps_that_do_not_divide_the_intervals) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({2, samples, dof}, 2);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.15));
  std::vector<at::Tensor> bars;
  for (int run = 0; run < 3; ++run) {
    integrator.forward(u0, {0, 0.2, 0.4}, ts::Record::yes);
    bars.push_back(integrator.adjoint(weights).clone());
  }
  BOOST_TEST(integrator.steps() == 4);
  BOOST_TEST((at::equal(bars[0], bars[1]) && at::equal(bars[0], bars[2])));
  integrator.forward(u0, {0, 0.2, 0.4}, ts::Record::no);
}

BOOST_AUTO_TEST_CASE(steps_that_miss_an_observation_by_rounding_meet_it) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.033333333));
  const at::Tensor states = integrator.forward(u0, {0, 0.1, 0.2, 0.3, 0.4}, ts::Record::no).clone();
  ts::Integrator exact(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.1 / 3));
  BOOST_TEST(relative(states, exact.forward(u0, {0, 0.1, 0.2, 0.3, 0.4}, ts::Record::no)) <= 1e-6);
}

BOOST_AUTO_TEST_CASE(an_adjoint_that_is_not_finite_is_reported_by_all_ranks, *utf::label("np1") * utf::label("np2")) {
  const System system;
  const at::Tensor u0 = random_tensor({2, dof}, 1);
  at::Tensor weights = random_tensor({1, 2, dof}, 2);
  if (rank_of() == 0) weights[0][1][3] = std::nan("");
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.1));
  integrator.forward(u0, {0, 0.2}, ts::Record::yes);
  BOOST_CHECK_EXCEPTION(integrator.adjoint(weights), NumericalError,
                        [](const auto& e) { return mentions(e, "adjoint is not finite") && mentions(e, "rank 0"); });
}

BOOST_AUTO_TEST_CASE(options_that_would_change_the_integrator_are_refused) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const auto make = [&](const std::string& method) {
    return ts::Integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings(method, 0.1));
  };
  const auto names_method = [](const auto& e) { return mentions(e, "-method"); };
  {
    const Option option("-ts_arkimex_type", "4");
    BOOST_CHECK_EXCEPTION(make("l2"), UserError, names_method);
  }
  {
    const Option option("-ts_arkimex_fully_implicit", "1");
    BOOST_CHECK_EXCEPTION(make("l2"), UserError, names_method);
  }
  {
    const Option option("-ts_rk_type", "5dp");
    BOOST_CHECK_EXCEPTION(make("rk4"), UserError, names_method);
  }
  {
    const Option option("-ts_exact_final_time", "stepover");
    BOOST_CHECK_EXCEPTION(make("l2"), UserError, [](const auto& e) { return mentions(e, "matchstep"); });
  }
  const Option option("-ts_max_steps", "2");
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.1));
  BOOST_CHECK_EXCEPTION(integrator.forward(u0, {0, 0.5}, ts::Record::no), UserError,
                        [](const auto& e) { return mentions(e, "-ts_max_steps"); });
}

BOOST_AUTO_TEST_CASE(every_ts_can_be_configured) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  auto with_hook = settings("l2", 0.1);
  std::vector<TS> seen;
  with_hook.configure = [&](TS ts) { seen.push_back(ts); };
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), with_hook);
  BOOST_TEST(seen.size() == 1U);
  integrator.forward(u0, {0, 0.1, 0.2}, ts::Record::no);
  BOOST_TEST(seen.size() == 2U);
  BOOST_TEST((seen.back() == integrator.ts()));
}

BOOST_AUTO_TEST_CASE(wrong_input_is_refused) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  BOOST_CHECK_EXCEPTION(ts::Integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("rk5x", 0.1)),
                        UserError, [](const auto& e) { return mentions(e, "rk5x") && mentions(e, "ars122"); });
  BOOST_CHECK_EXCEPTION(ts::Integrator(PETSC_COMM_WORLD, shape_of(u0), {system.neural, nullptr}, settings("l2", 0.1)),
                        UserError, [](const auto& e) { return mentions(e, "explicit and an implicit part"); });
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.1));
  BOOST_CHECK_THROW(integrator.forward(u0.slice(0, 0, 2), {0, 0.1}, ts::Record::no), UserError);
  BOOST_CHECK_THROW(integrator.forward(u0, {0, 0.2, 0.1}, ts::Record::no), UserError);
  BOOST_CHECK_THROW(integrator.forward(u0, {0}, ts::Record::no), UserError);
  integrator.forward(u0, {0, 0.1}, ts::Record::yes);
  BOOST_CHECK_THROW(integrator.adjoint(random_tensor({2, samples, dof}, 2)), UserError);
  const Option other("-ts_type", "rk");
  BOOST_CHECK_EXCEPTION(ts::Integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.1)), UserError,
                        [](const auto& e) { return mentions(e, "-method"); });
}

BOOST_AUTO_TEST_CASE(a_failed_linear_solve_of_the_adjoint_stops_the_run) {
  Setup setup;
  setup.solver = model::LinearSolver::krylov;
  const System system(setup);
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const Option iterations("-adjoint_ksp_max_it", "1");
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), settings("l2", 0.1));
  integrator.forward(u0, {0, 0.1}, ts::Record::yes);
  BOOST_CHECK_THROW(integrator.adjoint(random_tensor({1, samples, dof}, 2)), Error);
  // Its solver is not left in the place of the forward one.
  const long adjoint_iterations = integrator.ksp_iterations_adjoint();
  integrator.forward(u0, {0, 0.1}, ts::Record::no);
  BOOST_TEST(integrator.ksp_iterations_adjoint() == adjoint_iterations);
}

BOOST_AUTO_TEST_SUITE_END()
