// Nonlinear solves and their derivatives against dense ones.
#include "espalier/implicit/root_solve.hpp"

#include "core/scoped_options.hpp"
#include "espalier/model/gradient_check.hpp"
#include "implicit/ring.hpp"

using namespace ring;
using implicit::Differentiation;
using implicit::Guess;
using implicit::RootSolve;
using implicit::RootSolver;
using testing::ScopedOptions;
namespace utf = boost::unit_test;

namespace {

constexpr double step = 0.4;

struct Case {
  std::string name;
  RootSolver solver;
  Differentiation differentiation = Differentiation::implicit;
  double damping = 1;
};

const std::vector<Case> solvers = {{"newton", RootSolver::newton},
                                   {"picard", RootSolver::picard, Differentiation::implicit, 0.6},
                                   {"fixed point", RootSolver::fixed_point, Differentiation::implicit, 0.8},
                                   {"anderson", RootSolver::anderson, Differentiation::implicit, 0.7},
                                   {"unrolled", RootSolver::fixed_point, Differentiation::unrolled, 0.6}};

/// The implicit equations of the rings: theta steps, and the steady state for theta = 0.
struct Problem {
  explicit Problem(double method, int samples = 2)
      : layout(samples),
        parameters(Term::initial()),
        term(std::make_shared<Term>(layout, Kind::nonlinear, parameters)),
        theta(method),
        like(layout.create()) {
    const auto picard = std::make_shared<Term>(layout, Kind::frozen, parameters);
    if (theta > 0) {
      residual = std::make_shared<implicit::ThetaStep>(term, theta, step, picard);
    } else {
      residual = std::make_shared<implicit::SteadyState>(term, picard);
    }
  }
  Equation equation() const {
    if (theta > 0) return {1, -1, -step * (1 - theta), -step * theta, term->dense()};
    return {0, 1, 0, 1, term->dense()};
  }

  Layout layout;
  std::shared_ptr<nn::FlatParameters> parameters;
  std::shared_ptr<Term> term;
  double theta;
  petsc::VecHandle like;
  std::shared_ptr<implicit::Residual> residual;
};

implicit::RootSettings settings_of(const Case& c, long iterations = 12, const std::string& prefix = "") {
  implicit::RootSettings settings;
  settings.prefix = prefix;
  settings.solver = c.solver;
  settings.differentiation = c.differentiation;
  settings.damping = c.damping;
  settings.iterations = iterations;
  return settings;
}

struct Result {
  Matrix x;
  Matrix y_bar;
  Vector theta_bar;
};

Result run(Problem& problem, RootSolve& solver, const Matrix& y, const Matrix& x_bar) {
  const auto y_vec = problem.layout.vec_of(y);
  const auto x_bar_vec = problem.layout.vec_of(x_bar);
  const auto x = problem.layout.create();
  const auto y_bar = problem.layout.create();
  problem.parameters->zero_gradient();
  solver.solve(y_vec.get(), x.get());
  solver.adjoint(x_bar_vec.get(), y_bar.get());
  return {problem.layout.gather(x.get()), problem.layout.gather(y_bar.get()), theta_bar_of(*problem.parameters)};
}

/// The same densely. The derivative is taken at `at`, the solution of whoever is tested, where it is given.
Result dense(const Problem& problem, const RootSolve& solver, const Matrix& y, const Matrix& x_bar,
             const Matrix* at = nullptr, const Vector& weights = Vector::Ones(points)) {
  const Equation equation = problem.equation();
  Result result{y, y, Vector::Zero(parameter_count)};
  for (int s = 0; s < y.cols(); ++s) {
    Vector x;
    Matrix derivative;
    if (solver.settings().differentiation == Differentiation::unrolled) {
      derivative = equation.unrolled(x, y.col(s), static_cast<int>(solver.settings().iterations),
                                     solver.settings().damping * weights);
    } else {
      x = at != nullptr ? Vector(at->col(s)) : equation.solve(y.col(s));
      derivative = equation.derivative(x, y.col(s));
    }
    const Vector bar = derivative.transpose() * x_bar.col(s);
    result.x.col(s) = x;
    result.y_bar.col(s) = bar.head(points);
    result.theta_bar += bar.tail(parameter_count);
  }
  return result;
}

void check(const Result& ours, const Result& expected, double tolerance) {
  BOOST_TEST(relative(ours.x, expected.x) <= tolerance);
  BOOST_TEST(relative(ours.y_bar, expected.y_bar) <= tolerance);
  BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= tolerance);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_root_solve, *utf::label("gradient") * utf::label("implicit"))

BOOST_AUTO_TEST_CASE(every_solver_equals_the_dense_solve_and_its_derivative,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const Matrix y = some_matrix(points, 2, 1);
  const Matrix x_bar = some_matrix(points, 2, 2);
  for (const double theta : {1.0, 0.5, 0.0})
    for (const auto& c : solvers) {
      // The steady state is no attractor of x <- x - F.
      const bool sweeps = c.solver == RootSolver::fixed_point || c.solver == RootSolver::anderson;
      if (theta == 0 && sweeps) continue;
      Problem problem(theta);
      RootSolve solver(problem.residual, problem.like.get(), settings_of(c));
      const Result ours = run(problem, solver, y, x_bar);
      BOOST_TEST_CONTEXT(c.name << ", theta " << theta) {
        check(ours, dense(problem, solver, y, x_bar), 1e-10);
        // At the same x: the dot product of the cotangents with every direction.
        const Result there = dense(problem, solver, y, x_bar, &ours.x);
        BOOST_TEST(relative(ours.y_bar, there.y_bar) <= 1e-12);
        BOOST_TEST(relative(ours.theta_bar, there.theta_bar) <= 1e-12);
        BOOST_TEST(solver.iterations_forward() > 0);
      }
    }
}

BOOST_AUTO_TEST_CASE(remainders_fall_quadratically, *utf::label("np1") * utf::label("np2")) {
  const Matrix y = some_matrix(points, 2, 1);
  const Matrix x_bar = some_matrix(points, 2, 2);
  const Matrix y_tan = some_matrix(points, 2, 3);
  const Vector theta_tan = some_matrix(parameter_count, 1, 4);
  for (const auto& c : solvers) {
    Problem problem(0.5);
    RootSolve solver(problem.residual, problem.like.get(), settings_of(c));
    Eigen::Map<Vector> theta(problem.parameters->values().data_ptr<double>(), parameter_count);
    const Vector start = theta;
    const Result ours = run(problem, solver, y, x_bar);
    const auto value = [&](const Matrix& at_y, const Vector& at_theta) {
      theta = at_theta;
      problem.parameters->mark_changed();
      const auto y_vec = problem.layout.vec_of(at_y);
      const auto x = problem.layout.create();
      solver.solve(y_vec.get(), x.get(), implicit::Record::no);
      return problem.layout.gather(x.get()).cwiseProduct(x_bar).sum();
    };
    const auto in_y = model::taylor_test([&](double e) { return value(y + e * y_tan, start); },
                                         ours.y_bar.cwiseProduct(y_tan).sum(), 1e-1, 4);
    const auto in_theta = model::taylor_test([&](double e) { return value(y, start + e * theta_tan); },
                                             ours.theta_bar.dot(theta_tan), 1e-1, 4);
    BOOST_TEST_CONTEXT(c.name) {
      BOOST_TEST(std::abs(in_y.slope() - 2) <= 0.1);
      BOOST_TEST(std::abs(in_theta.slope() - 2) <= 0.1);
    }
  }
}

BOOST_AUTO_TEST_CASE(unrolled_sweeps_approach_the_implicit_derivative, *utf::label("np1") * utf::label("np2")) {
  const Matrix y = some_matrix(points, 2, 1);
  const Matrix x_bar = some_matrix(points, 2, 2);
  Problem problem(0.5);
  RootSolve newton(problem.residual, problem.like.get());
  RootSolve unrolled(problem.residual, problem.like.get(), settings_of(solvers.back()));
  const Result expected = run(problem, newton, y, x_bar);
  double before = 1;
  for (const long iterations : {4, 8, 16, 64}) {
    unrolled.set_iterations(iterations);
    const Result ours = run(problem, unrolled, y, x_bar);
    const double error = relative(ours.theta_bar, expected.theta_bar) + relative(ours.y_bar, expected.y_bar);
    BOOST_TEST(error < 0.3 * before);
    before = error;
  }
  BOOST_TEST(before <= 1e-11);
}

BOOST_AUTO_TEST_CASE(weighted_sweeps, *utf::label("np1") * utf::label("np2")) {
  const Matrix y = some_matrix(points, 2, 1);
  const Matrix x_bar = some_matrix(points, 2, 2);
  const Vector weights = (some_matrix(points, 1, 5).array() * 0.3 + 0.7).matrix();
  for (const std::size_t which : {2, 3, 4}) {
    Problem problem(0.5);
    RootSolve solver(problem.residual, problem.like.get(), settings_of(solvers[which]));
    solver.set_weights(problem.layout.vec_of(weights.replicate(1, 2)).get());
    check(run(problem, solver, y, x_bar), dense(problem, solver, y, x_bar, nullptr, weights), 1e-10);
  }
}

BOOST_AUTO_TEST_CASE(what_is_kept_grows_with_the_sweeps_of_unrolled_solves_only,
                     *utf::label("np1") * utf::label("np2")) {
  Problem problem(0.5);
  const auto y = problem.layout.vec_of(some_matrix(points, 2, 1));
  const auto x = problem.layout.create();
  const double vector = 2.0 * problem.layout.count * sizeof(double);
  for (const std::string tolerance : {"1e-2", "1e-13"}) {
    const ScopedOptions options("-snes_rtol " + tolerance);
    RootSolve solver(problem.residual, problem.like.get(), settings_of(solvers[2]));
    solver.solve(y.get(), x.get());
    BOOST_TEST(solver.checkpoint_bytes() == 2 * vector);
    const auto first = solver.take_kept();
    solver.solve(y.get(), x.get());
    BOOST_TEST(solver.checkpoint_bytes() == 4 * vector);
    solver.solve(y.get(), x.get(), implicit::Record::no);
    BOOST_TEST(solver.checkpoint_bytes() == 2 * vector);
  }
  for (const long iterations : {3, 30}) {
    RootSolve solver(problem.residual, problem.like.get(), settings_of(solvers.back(), iterations));
    solver.solve(y.get(), x.get());
    BOOST_TEST(solver.checkpoint_bytes() == static_cast<double>(iterations + 1) * vector);
    solver.take_kept();
    BOOST_TEST(solver.checkpoint_bytes() == 0);
  }
}

BOOST_AUTO_TEST_CASE(solves_wait_for_their_adjoints_in_any_order) {
  const Matrix x_bar = some_matrix(points, 2, 2);
  for (const auto& c : solvers) {
    Problem problem(0.5);
    RootSolve solver(problem.residual, problem.like.get(), settings_of(c));
    const Matrix one = some_matrix(points, 2, 1);
    const Matrix two = some_matrix(points, 2, 6);
    const Result expected = run(problem, solver, one, x_bar);
    const auto x = problem.layout.create();
    const auto y_bar = problem.layout.create();
    solver.solve(problem.layout.vec_of(one).get(), x.get());
    const auto first = solver.take_kept();
    run(problem, solver, two, x_bar);
    problem.parameters->zero_gradient();
    solver.adjoint(*first, problem.layout.vec_of(x_bar).get(), y_bar.get());
    BOOST_TEST(relative(problem.layout.gather(y_bar.get()), expected.y_bar) <= 1e-13);
    BOOST_TEST(relative(theta_bar_of(*problem.parameters), expected.theta_bar) <= 1e-13);
  }
}

BOOST_AUTO_TEST_CASE(the_last_solution_is_a_better_guess) {
  Problem problem(0.5);
  const ScopedOptions options("-near_guess last -near_solver anderson");
  implicit::RootSettings settings;
  settings.prefix = "near_";
  settings.read(problem.layout.comm);
  RootSolve solver(problem.residual, problem.like.get(), settings);
  const Matrix x_bar = some_matrix(points, 2, 2);
  const Matrix y = some_matrix(points, 2, 1);
  run(problem, solver, y, x_bar);
  const long first = solver.iterations_forward();
  const Result again = run(problem, solver, y, x_bar);
  BOOST_TEST(first > 3);
  BOOST_TEST(solver.iterations_forward() - first <= 1);
  check(again, dense(problem, solver, y, x_bar), 1e-10);
}

BOOST_AUTO_TEST_CASE(preconditioners_get_the_matrices_of_all_samples,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options("-p_pc_type bjacobi -p_sub_pc_type lu -p_adjoint_sub_pc_type lu");
  for (const int samples : {1, 3})
    for (const std::size_t which : {0, 1}) {
      Problem problem(0.5, samples);
      const Matrix y = some_matrix(points, samples, 1);
      const Matrix x_bar = some_matrix(points, samples, 2);
      RootSolve solver(problem.residual, problem.like.get(), settings_of(solvers[which], 1, "p_"));
      check(run(problem, solver, y, x_bar), dense(problem, solver, y, x_bar), 1e-10);
      // One block on one rank: exact.
      if (problem.layout.ranks == 1 && which == 0) {
        BOOST_TEST(solver.ksp_iterations_forward() <= 2 * solver.iterations_forward());
        BOOST_TEST(solver.ksp_iterations_adjoint() <= 2);
      }
    }
}

BOOST_AUTO_TEST_CASE(a_solve_that_does_not_converge_says_why, *utf::label("np1") * utf::label("np2")) {
  const Matrix y = some_matrix(points, 2, 1);
  const auto failure = [&](const std::string& options, double theta, std::size_t which, const Matrix& data) {
    const ScopedOptions scoped(options);
    Problem problem(theta);
    RootSolve solver(problem.residual, problem.like.get(), settings_of(solvers[which], 2000, "q_"));
    return message_of<NumericalError>([&] { run(problem, solver, data, y); });
  };
  const auto holds = [](const std::string& text, const std::vector<std::string>& parts) {
    for (const auto& part : parts) BOOST_TEST(text.find(part) != std::string::npos, "no " << part << " in: " << text);
  };
  holds(failure("-q_snes_max_it 6", 0.5, 2, y),
        {"-q_snes", "DIVERGED_MAX_IT after 6", "residual norms 2.", ", ..., ", "-q_solver"});
  holds(failure("", 0, 2, y), {"DIVERGED_DTOL", "residual norms"});
  holds(failure("-q_ksp_max_it 1", 0.5, 0, y), {"DIVERGED_LINEAR_SOLVE", "-q_ksp_*: DIVERGED_ITS", "residual norms"});
  holds(failure("-q_adjoint_ksp_max_it 2", 0.5, 0, y),
        {"adjoint's linear solve (-q_adjoint_ksp_*)", "DIVERGED_ITS after 2", "residual norms", "-q_adjoint_ksp_rtol"});
  holds(failure("", 0, 4, 40 * y), {"not finite in sweep", "residual norms"});
  Matrix broken = y;
  broken(points - 1, 1) = std::nan("");
  for (const std::size_t which : {0, 1, 2, 3, 4}) holds(failure("", 0.5, which, broken), {"not finite"});
}

BOOST_AUTO_TEST_CASE(a_term_that_fails_on_one_rank_fails_on_all, *utf::label("np1") * utf::label("np2")) {
  const Matrix y = some_matrix(points, 2, 1);
  const ScopedOptions options("-r_pc_type bjacobi");
  for (const std::string prefix : {"", "r_"})
    for (const auto& c : solvers)
      for (const Fault fault : {Fault::apply, Fault::linearize, Fault::jvp, Fault::vjp}) {
        if (fault == Fault::jvp && c.solver != RootSolver::newton) continue;
        Problem problem(0.5);
        RootSolve solver(problem.residual, problem.like.get(), settings_of(c, 5, prefix));
        problem.term->fault = fault;
        const std::string text = message_of<UserError>([&] { run(problem, solver, y, y); });
        BOOST_TEST(text == "a fault of the last rank");
      }
}

BOOST_AUTO_TEST_CASE(settings_and_calls_that_do_not_go_together) {
  Problem problem(0.5);
  implicit::RootSettings settings;
  settings.differentiation = Differentiation::unrolled;
  const auto make = [&] { RootSolve(problem.residual, problem.like.get(), settings); };
  BOOST_TEST(message_of<UserError>(make).find("-solver fixed_point") != std::string::npos);

  settings.differentiation = Differentiation::implicit;
  settings.solver = RootSolver::picard;
  const auto plain = std::make_shared<implicit::ThetaStep>(problem.term, 0.5, step);
  const auto y = problem.layout.vec_of(some_matrix(points, 2, 1));
  const auto x = problem.layout.create();
  RootSolve picard(plain, problem.like.get(), settings);
  BOOST_TEST(message_of<UserError>([&] { picard.solve(y.get(), x.get()); }).find("-solver newton") !=
             std::string::npos);

  RootSolve newton(problem.residual, problem.like.get());
  BOOST_CHECK_THROW(newton.adjoint(y.get(), x.get()), UserError);
  newton.solve(y.get(), x.get());
  problem.parameters->mark_changed();
  BOOST_CHECK_THROW(newton.adjoint(y.get(), x.get()), UserError);
  BOOST_CHECK_THROW(newton.set_weights(y.get()), UserError);
  BOOST_CHECK_THROW(implicit::ThetaStep(problem.term, 0, step), UserError);
  BOOST_CHECK_THROW(implicit::root_solve(newton, torch::zeros({4}, torch::kDouble)), UserError);
}

BOOST_AUTO_TEST_CASE(terms_finish_once_in_a_backward_pass_through_many_solves) {
  const torch::AutoGradMode with_grad(true);
  Problem problem(0.5);
  RootSolve solver(problem.residual, problem.like.get());
  at::Tensor x = torch::ones({2, points}, torch::kDouble).requires_grad_(true);
  for (int k = 0; k < 3; ++k) x = implicit::root_solve(solver, x);
  BOOST_TEST(solver.checkpoint_bytes() == 3 * 2 * 2.0 * points * sizeof(double));
  x.sum().backward();
  BOOST_TEST(problem.term->finished == 1);
  x = at::Tensor();
  BOOST_TEST(solver.checkpoint_bytes() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
