// Adams methods: order, where they start again, what the adjoint costs, and what is refused. That the adjoint is exact
// is shown with all other methods in integrator_gradient_test.cpp.
#include "espalier/ts/adams.hpp"

#include <cmath>
#include <tuple>
#include <utility>

#include "core/messages.hpp"
#include "io/temporary_folder.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
namespace utf = boost::unit_test;

namespace {

const std::vector<std::string> names = {"ab2", "ab3", "ab4", "am2", "am3", "am4"};

bool mentions(const std::exception& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

/// du/dt = -theta u^2 (2 + cos t): 1 / u = 1 / u_0 + theta (2 t + sin t).
class Decay : public nn::AutogradNetwork {
 public:
  Decay() { adopt({torch::ones({1}, torch::kDouble).requires_grad_(true)}); }
  std::int64_t inputs() const override { return 1; }
  std::int64_t outputs() const override { return 1; }
  std::size_t tape_bytes(std::int64_t n) const override { return static_cast<std::size_t>(n) * 64; }
  std::string fingerprint() const override { return "decay"; }
  at::Tensor evaluate(double t, const at::Tensor& u) override {
    return -parameters().tensors()[0] * u * u * (2 + std::cos(t));
  }
  static at::Tensor exact(const at::Tensor& u0, double t) { return 1 / (1 / u0 + 2 * t + std::sin(t)); }
};

/// Everything a recorded run and its adjoint give, as one list to compare.
std::vector<at::Tensor> record(const System& system, ts::Integrator& integrator, const std::vector<double>& times) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({static_cast<std::int64_t>(times.size()) - 1, samples, dof}, 2);
  const Gradient g = discrete_adjoint(system, integrator, u0, times, weights);
  return {g.snapshots, g.u0_bar, g.theta_bar};
}

ts::Integrator make(const System& system, const std::string& method, double step = 0.1) {
  return {PETSC_COMM_WORLD, shape_of(mine(random_tensor({samples, dof}, 1))), system.split(), settings(method, step)};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ts_adams, *utf::label("unit") * utf::label("sinode"))

// Through an observation time on the way, and with a short last step.
BOOST_AUTO_TEST_CASE(every_method_has_its_order) {
  const at::Tensor u0 = torch::tensor({{0.3}, {0.7}, {1.1}}, torch::kDouble);
  const std::vector<double> times = {0, 0.5, 0.99};
  for (const auto& name : names) {
    std::vector<double> errors;
    for (const double h : {0.0125, 0.00625}) {
      const auto term = std::make_shared<model::NeuralTerm>(std::make_shared<Decay>());
      ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {term, nullptr}, settings(name, h));
      const at::Tensor states = integrator.forward(u0, times, ts::Record::no);
      errors.push_back(
          (states - at::stack({Decay::exact(u0, 0.5), Decay::exact(u0, 0.99)})).abs().max().item<double>());
    }
    const double order = std::log2(errors[0] / errors[1]);
    BOOST_TEST_CONTEXT("method " << name << " errors " << errors[0] << " " << errors[1]) {
      BOOST_TEST(std::abs(order - ts::find_method(name).order) <= 0.15);
    }
  }
}

// One evaluation and one product for each step that starts nothing. Steps go on over observation times; another size
// of the step starts the method again.
BOOST_AUTO_TEST_CASE(evaluations_and_products_are_counted) {
  const auto forward = [](const std::string& method, long steps, long starting) {
    return steps + starting * (ts::find_method(method).order - 1);
  };
  for (const std::string method : {"ab2", "ab3", "ab4"}) {
    const long starting = ts::find_method(method).order - 1;
    for (const auto& [times, restarts, last] : {std::make_tuple(std::vector<double>{0, 0.4, 0.7, 1.0}, 0L, 0L),
                                                std::make_tuple(std::vector<double>{0, 0.5, 0.95}, 0L, 1L),
                                                std::make_tuple(std::vector<double>{0, 0.45, 0.95}, 1L, 1L)}) {
      const System system;
      auto integrator = make(system, method);
      record(system, integrator, times);
      const long expected = forward(method, integrator.steps(), starting * (1 + restarts) + last);
      const auto& counters = system.neural->counters();
      BOOST_TEST_CONTEXT("method " << method << " to " << times.back() << ", " << restarts << " restarts") {
        BOOST_TEST(integrator.steps() == 10);
        BOOST_TEST(counters.forward == expected);
        BOOST_TEST(counters.adjoint == expected);
        BOOST_TEST(counters.recomputed == 0);
      }
    }
  }
  for (const std::string method : {"am2", "am3", "am4"}) {
    const System system;
    auto integrator = make(system, method);
    record(system, integrator, {0, 0.4, 0.7, 1.0});
    BOOST_TEST_CONTEXT("method " << method) { BOOST_TEST(system.neural->counters().recomputed == 0); }
  }
}

BOOST_AUTO_TEST_CASE(runs_give_the_same_bits_again, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const std::vector<double> times = {0.2, 0.45, 0.5, 0.9};
  for (const auto& name : names) {
    const System system;
    auto integrator = make(system, name);
    const auto once = record(system, integrator, times);
    // Runs without an adjoint, and an adjoint that stops on the way, leave nothing behind.
    const at::Tensor u0 = mine(random_tensor({samples, dof}, 1));
    integrator.forward(u0, times, ts::Record::yes);
    integrator.forward(u0, times, ts::Record::yes);
    at::Tensor broken = mine(random_tensor({3, samples, dof}, 2), 1);
    broken[1].fill_(std::nan(""));
    if (name[1] == 'b') BOOST_CHECK_THROW(integrator.adjoint(broken), NumericalError);
    const auto again = record(system, integrator, times);
    BOOST_TEST_CONTEXT("method " << name) {
      for (std::size_t i = 0; i < once.size(); ++i) BOOST_TEST(at::equal(once[i], again[i]));
    }
  }
}

BOOST_AUTO_TEST_CASE(order_two_moulton_is_crank_nicolson) {
  const System system;
  auto adams = make(system, "am2");
  auto theta = make(system, "cn");
  const auto ours = record(system, adams, {0, 0.3, 0.55});
  const auto theirs = record(system, theta, {0, 0.3, 0.55});
  for (std::size_t i = 0; i < ours.size(); ++i) BOOST_TEST(relative(ours[i], theirs[i]) <= 1e-10);
}

// In a TS of the caller's own, with ordinary vectors.
BOOST_AUTO_TEST_CASE(works_without_the_integrator) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {system.neural, nullptr}, settings("ab3", 0.1));
  const Gradient expected = discrete_adjoint(system, integrator, u0, {0, 0.7}, weights);

  const Option choice("-own_ts_adams_type", "ab3");
  petsc::VecHandle u;
  petsc::VecHandle lambda;
  const auto size = static_cast<PetscInt>(u0.numel());
  ESPALIER_CALL(VecCreateMPIWithArray(PETSC_COMM_WORLD, 1, size, PETSC_DETERMINE, u0.data_ptr<double>(), u.out()));
  const at::Tensor u_bar = weights.clone();
  ESPALIER_CALL(
      VecCreateMPIWithArray(PETSC_COMM_WORLD, 1, size, PETSC_DETERMINE, u_bar.data_ptr<double>(), lambda.out()));
  petsc::TsHandle ts;
  TSTrajectory trajectory = nullptr;
  ts::register_adams();
  ESPALIER_CALL(TSCreate(PETSC_COMM_WORLD, ts.out()));
  ESPALIER_CALL(TSSetOptionsPrefix(ts.get(), "own_"));
  ESPALIER_CALL(TSSetType(ts.get(), ts::adams_type));
  system.neural->attach_explicit(ts.get(), u.get());
  ESPALIER_CALL(TSSetMaxTime(ts.get(), 0.7));
  ESPALIER_CALL(TSSetTimeStep(ts.get(), 0.1));
  ESPALIER_CALL(TSSetExactFinalTime(ts.get(), TS_EXACTFINALTIME_MATCHSTEP));
  ESPALIER_CALL(TSSetSaveTrajectory(ts.get()));
  ESPALIER_CALL(TSGetTrajectory(ts.get(), &trajectory));
  ESPALIER_CALL(TSTrajectorySetType(trajectory, ts.get(), TSTRAJECTORYMEMORY));
  ESPALIER_CALL(TSTrajectorySetSolutionOnly(trajectory, PETSC_FALSE));
  ESPALIER_CALL(TSSetFromOptions(ts.get()));
  BOOST_TEST(std::string(ts::adams_method(ts.get())) == "ab3");
  ESPALIER_CALL(TSSolve(ts.get(), u.get()));
  const auto mu = system.neural->create_mu(PETSC_COMM_WORLD);
  Vec lambdas[] = {lambda.get()};
  Vec mus[] = {mu.get()};
  ESPALIER_CALL(TSSetCostGradients(ts.get(), 1, lambdas, mus));
  ESPALIER_CALL(TSAdjointSolve(ts.get()));
  PetscScalar* theta_bar = nullptr;
  ESPALIER_CALL(VecGetArray(mu.get(), &theta_bar));
  const at::Tensor ours = torch::from_blob(theta_bar, {expected.theta_bar.numel()}, torch::kDouble).clone();
  ESPALIER_CALL(VecRestoreArray(mu.get(), &theta_bar));
  BOOST_TEST(relative(u0, expected.snapshots[0]) <= 1e-13);
  BOOST_TEST(relative(u_bar[0], expected.u0_bar) <= 1e-12);
  BOOST_TEST(relative(ours, expected.theta_bar) <= 1e-12);
}

BOOST_AUTO_TEST_CASE(failures_are_reported_by_all_ranks, *utf::label("np1") * utf::label("np2")) {
  Setup stiff;
  stiff.stiffness = 4000;
  const System system(stiff);
  const at::Tensor u0 = mine(random_tensor({samples, dof}, 1));
  for (const std::string method : {"ab4", "am3"}) {
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {nullptr, system.linear}, settings(method, 0.1));
    BOOST_CHECK_EXCEPTION(integrator.forward(u0, {0, 200}, ts::Record::no), NumericalError,
                          [](const auto& e) { return mentions(e, "not finite") && mentions(e, "step"); });
    // The integrator is usable afterwards.
    integrator.forward(at::zeros_like(u0), {0, 0.3}, ts::Record::yes);
    BOOST_TEST(integrator.adjoint(at::zeros_like(u0).unsqueeze(0)).norm().item<double>() == 0);
  }
  const Option iterations("-snes_max_it", "1");
  auto integrator = make(system, "am4");
  BOOST_CHECK_EXCEPTION(integrator.forward(u0, {0, 0.5}, ts::Record::no), NumericalError,
                        [](const auto& e) { return mentions(e, "-snes_monitor"); });
}

BOOST_AUTO_TEST_CASE(what_it_cannot_do_is_refused, *utf::label("np1") * utf::label("np2")) {
  const System system;
  const at::Tensor u0 = mine(random_tensor({samples, dof}, 1));
  {
    const Option adapt("-ts_adapt_type", "basic");
    for (const auto& name : names)
      BOOST_CHECK_EXCEPTION(make(system, name), UserError, [&](const auto& e) {
        return mentions(e, "-ts_adapt_type must be none") && mentions(e, name);
      });
  }
  {
    const Option other("-ts_adams_type", "ab3");
    BOOST_CHECK_EXCEPTION(make(system, "ab4"), UserError,
                          [](const auto& e) { return mentions(e, "-method") && mentions(e, "-ts_adams_type"); });
    make(system, "ab3");
    make(system, "rk4");
  }
  {
    const Option other("-ts_type", ts::adams_type);
    BOOST_CHECK_EXCEPTION(make(system, "rk4"), UserError, [](const auto& e) { return mentions(e, "-method"); });
  }
  for (const auto& [option, value] : {std::make_pair("-ts_adams_type", "ab9"), std::make_pair("-method", "ab9")}) {
    const Option unknown(option, value);
    const auto lists = [](const auto& e) { return mentions(e, "ab9") && mentions(e, "ab4") && mentions(e, "am3"); };
    if (std::string(option) == "-method") {
      ts::IntegratorSettings read;
      BOOST_CHECK_EXCEPTION(read.read(PETSC_COMM_WORLD), UserError, lists);
    } else {
      BOOST_CHECK_EXCEPTION(make(system, "ab4"), UserError, lists);
    }
  }
  const Option solution_only("-ts_trajectory_solution_only", "1");
  auto integrator = make(system, "ab2");
  integrator.forward(u0, {0, 0.5}, ts::Record::yes);
  BOOST_CHECK_EXCEPTION(integrator.adjoint(at::zeros_like(u0).unsqueeze(0)), UserError,
                        [](const auto& e) { return mentions(e, "-ts_trajectory_solution_only"); });
}

BOOST_AUTO_TEST_CASE(view_says_which_one) {
  const System system;
  for (const std::string method : {"ab3", "am4"}) {
    auto integrator = make(system, method);
    const testing::TemporaryFolder folder;
    petsc::ViewerHandle viewer;
    ESPALIER_CALL(PetscViewerASCIIOpen(PETSC_COMM_WORLD, folder.file("view").c_str(), viewer.out()));
    ESPALIER_CALL(TSView(integrator.ts(), viewer.get()));
    viewer.reset();
    const std::string text = testing::contents(folder.file("view"));
    BOOST_TEST(text.find("Adams type " + method) != std::string::npos);
    BOOST_TEST(text.find("Order: " + method.substr(2)) != std::string::npos);
  }
}

BOOST_AUTO_TEST_SUITE_END()
