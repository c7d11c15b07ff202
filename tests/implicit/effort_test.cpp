// Solves of exactly K iterations, and their gradients by as many of the transposed system.
#include "espalier/implicit/effort.hpp"

#include "core/scoped_options.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/implicit/root_solve.hpp"
#include "implicit/krylov_references.hpp"
#include "implicit/ring.hpp"

using namespace ring;
using implicit::Effort;
using implicit::LinearSolve;
using implicit::RootSolve;
using testing::ScopedOptions;
namespace utf = boost::unit_test;

namespace {

constexpr int samples = 3;
constexpr double step = 0.4;

struct Result {
  Matrix x;
  Matrix y_bar;
  Vector theta_bar;
};

/// A(theta) x + c(theta) = b, or a step of a nonlinear equation.
struct Problem {
  explicit Problem(Kind kind, int count = samples)
      : layout(count),
        parameters(Term::initial()),
        term(std::make_shared<Term>(layout, kind, parameters)),
        like(layout.create()) {
    if (kind == Kind::linear) {
      parameters->values().copy_(torch::tensor({-2.9, 0.8, -0.5, 0.3}, torch::kDouble));
      residual = std::make_shared<implicit::LinearSystem>(term);
    } else {
      residual = std::make_shared<implicit::ThetaStep>(term, 1.0, step);
    }
  }
  Matrix a() const { return term->dense().jacobian(Vector::Zero(points)); }
  // -F(0, b).
  Matrix right(const Matrix& b) const { return (b.array() - term->dense().theta(3)).matrix(); }
  Result run(implicit::DifferentiableSolve& solver, const Matrix& y, const Matrix& x_bar) {
    const auto y_vec = layout.vec_of(y);
    const auto x_bar_vec = layout.vec_of(x_bar);
    const auto x = layout.create();
    const auto y_bar = layout.create();
    parameters->zero_gradient();
    solver.solve(y_vec.get(), x.get());
    solver.adjoint(x_bar_vec.get(), y_bar.get());
    return {layout.gather(x.get()), layout.gather(y_bar.get()), theta_bar_of(*parameters)};
  }

  Layout layout;
  std::shared_ptr<nn::FlatParameters> parameters;
  std::shared_ptr<Term> term;
  petsc::VecHandle like;
  std::shared_ptr<implicit::Residual> residual;
};

// x by `forward` steps from -F(0, b), lambda by `adjoint` steps of the transposed system from x_bar;
// b_bar = lambda, theta_bar = -F_theta(x)^T lambda.
Result literal(const Problem& problem, const std::string& method, const Matrix& b, const Matrix& x_bar, int forward,
               int adjoint) {
  const auto solve = [&](const Matrix& a, const Vector& right, int steps) {
    if (method == "jacobi") return krylov_references::jacobi(a, right, steps);
    return krylov_references::solve(method, a, right, Vector::Ones(points), 2, steps);
  };
  const Matrix right = problem.right(b);
  Result result{b, b, Vector::Zero(parameter_count)};
  for (int s = 0; s < b.cols(); ++s) {
    result.x.col(s) = solve(problem.a(), right.col(s), forward);
    result.y_bar.col(s) = solve(problem.a().transpose(), x_bar.col(s), adjoint);
    result.theta_bar -= problem.term->dense().f_theta(result.x.col(s)).transpose() * result.y_bar.col(s);
  }
  return result;
}

double distance(const Result& ours, const Result& expected) {
  return std::max({relative(ours.x, expected.x), relative(ours.y_bar, expected.y_bar),
                   relative(ours.theta_bar, expected.theta_bar)});
}

// Samples of different size, so that common coefficients would show.
Matrix data(int seed) {
  Matrix b = some_matrix(points, samples, seed);
  b.col(1) *= 30;
  return b;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_effort, *utf::label("gradient") * utf::label("implicit") * utf::label("prdp"))

BOOST_AUTO_TEST_CASE(linear_solves_take_exactly_as_many_steps_in_both_directions,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options(
      "-e_ksp_espalier_gmres_restart 2 -e_adjoint_ksp_espalier_gmres_restart 2 -j_ksp_type richardson -j_pc_type "
      "jacobi -j_adjoint_ksp_type richardson");
  const Matrix b = data(1);
  const Matrix x_bar = data(2);
  for (const std::string method : {"jacobi", "espalier_steepest", "espalier_cg", "espalier_bcgs", "espalier_gmres"}) {
    const ScopedOptions type("-e_ksp_type " + method + " -e_adjoint_ksp_type " + method);
    Problem problem(Kind::linear);
    LinearSolve solver(problem.residual, problem.like.get(), method == "jacobi" ? "j_" : "e_");
    solver.set_samples(samples);
    // Effort changes between solves, and goes back to none.
    for (const auto& [forward, adjoint] : {std::pair(1, 1), std::pair(6, 2), std::pair(3, 4)}) {
      const long before = solver.ksp_iterations_forward();
      const long before_adjoint = solver.ksp_iterations_adjoint();
      solver.set_effort({forward}, {adjoint});
      BOOST_TEST_CONTEXT(method << ", steps " << forward << " and " << adjoint) {
        BOOST_TEST(distance(problem.run(solver, b, x_bar), literal(problem, method, b, x_bar, forward, adjoint)) <=
                   1e-12);
        BOOST_TEST(solver.ksp_iterations_forward() - before == forward);
        BOOST_TEST(solver.ksp_iterations_adjoint() - before_adjoint == adjoint);
      }
      KSPNormType norm = KSP_NORM_DEFAULT;
      ESPALIER_CALL(KSPGetNormType(solver.ksp(), &norm));
      BOOST_TEST(norm == KSP_NORM_NONE);
    }
    if (method == "espalier_steepest" || method == "espalier_cg") continue;  // they do not converge here
    solver.set_effort({}, {});
    Result exact = literal(problem, "jacobi", b, x_bar, 300, 300);
    BOOST_TEST(distance(problem.run(solver, b, x_bar), exact) <= 1e-8, method);
  }
}

BOOST_AUTO_TEST_CASE(a_tolerance_ends_solves_before, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-j_ksp_type richardson -j_pc_type jacobi -j_adjoint_ksp_type richardson");
  const Matrix b = data(1);
  const Matrix x_bar = data(2);
  Problem problem(Kind::linear);
  LinearSolve solver(problem.residual, problem.like.get(), "j_");
  const auto residual_after = [&](int steps) {
    const Matrix x = literal(problem, "jacobi", b, x_bar, steps, 1).x;
    return (problem.a() * x - problem.right(b)).norm() / problem.right(b).norm();
  };
  solver.set_effort({1000, 1e-5}, {1000, 1e-3});
  problem.run(solver, b, x_bar);
  const int took = static_cast<int>(solver.iterations_forward());
  BOOST_TEST(residual_after(took) <= 1.001e-5);
  BOOST_TEST(residual_after(took - 1) > 0.999e-5);
  BOOST_TEST(solver.ksp_iterations_adjoint() < took);
  // Without K the options decide, but for the tolerance.
  solver.set_effort({0, 1e-5}, {});
  problem.run(solver, b, x_bar);
  BOOST_TEST(solver.iterations_forward() == 2 * took);
  // K first.
  solver.set_effort({took - 2, 1e-5}, {3});
  BOOST_TEST(distance(problem.run(solver, b, x_bar), literal(problem, "jacobi", b, x_bar, took - 2, 3)) <= 1e-12);
}

BOOST_AUTO_TEST_CASE(petscs_gmres_counts_its_restarts, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-g_ksp_gmres_restart 2 -g_adjoint_ksp_gmres_restart 2 -h_ksp_gmres_restart 20");
  const Matrix b = data(1).leftCols(1);
  const Matrix x_bar = data(2).leftCols(1);
  Problem problem(Kind::linear, 1);
  LinearSolve solver(problem.residual, problem.like.get(), "g_");
  solver.set_effort({3}, {1});
  BOOST_TEST(distance(problem.run(solver, b, x_bar), literal(problem, "espalier_gmres", b, x_bar, 3, 1)) <= 1e-12);
  BOOST_TEST(solver.ksp_iterations_forward() == 6);
  BOOST_TEST(solver.ksp_iterations_adjoint() == 2);
  // Between restarts only: the tolerance is reached by the first product, or on the way.
  for (const double tolerance : {0.99, 1e-3, 1e-4, 1e-5}) {
    solver.set_effort({50, tolerance}, {1});
    const long before = solver.ksp_iterations_forward();
    problem.run(solver, b, x_bar);
    const long took = solver.ksp_iterations_forward() - before;
    BOOST_TEST(took % 2 == 0);
    BOOST_TEST((took > 0 && took < 100));
  }
  // A cycle that can go no further is no failure.
  LinearSolve longer(problem.residual, problem.like.get(), "h_");
  for (const double tolerance : {0.0, 1e-12}) {
    longer.set_effort({2, tolerance}, {});
    BOOST_TEST(relative(problem.run(longer, b, x_bar).x, literal(problem, "jacobi", b, x_bar, 300, 1).x) <= 1e-11);
  }
}

BOOST_AUTO_TEST_CASE(unrolled_sweeps_of_a_constant_operator_equal_implicit_ones,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options("-j_ksp_type richardson -j_pc_type jacobi -j_adjoint_ksp_type richardson");
  const Matrix b = data(1);
  const Matrix x_bar = data(2);
  Problem problem(Kind::linear);
  implicit::RootSettings settings;
  settings.solver = implicit::RootSolver::fixed_point;
  settings.differentiation = implicit::Differentiation::unrolled;
  settings.guess = implicit::Guess::zero;
  RootSolve unrolled(problem.residual, problem.like.get(), settings);
  LinearSolve implicit_one(problem.residual, problem.like.get(), "j_");
  unrolled.set_weights(problem.layout.vec_of(problem.a().diagonal().cwiseInverse().replicate(1, samples)).get());
  for (const long k : {1, 2, 7}) {
    unrolled.set_effort({k}, {});
    implicit_one.set_effort({k}, {k});
    const Result one = problem.run(unrolled, b, x_bar);
    const Result other = problem.run(implicit_one, b, x_bar);
    BOOST_TEST(relative(one.x, other.x) <= 1e-12);
    BOOST_TEST(relative(one.y_bar, other.y_bar) <= 1e-12);
    // Of the parameters, only d is no coefficient of A.
    BOOST_TEST(std::abs(one.theta_bar(3) - other.theta_bar(3)) <= 1e-12 * std::abs(other.theta_bar(3)));
  }
}

BOOST_AUTO_TEST_CASE(newton_steps, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options("-n_snes_linesearch_type basic -n_ksp_rtol 1e-14 -n_adjoint_ksp_rtol 1e-14");
  const Matrix y = 3 * some_matrix(points, samples, 1);
  const Matrix x_bar = some_matrix(points, samples, 2);
  Problem problem(Kind::nonlinear);
  const Equation equation{1, -1, 0, -step, problem.term->dense()};
  implicit::RootSettings settings;
  settings.prefix = "n_";
  RootSolve solver(problem.residual, problem.like.get(), settings);
  const auto newton = [&](int steps) {
    Result result{y, y, Vector::Zero(parameter_count)};
    for (int s = 0; s < samples; ++s) {
      Vector x = y.col(s);
      for (int k = 0; k < steps; ++k) x -= equation.f_x(x).partialPivLu().solve(equation.f(x, y.col(s)));
      const Vector bar = equation.derivative(x, y.col(s)).transpose() * x_bar.col(s);
      result.x.col(s) = x;
      result.y_bar.col(s) = bar.head(points);
      result.theta_bar += bar.tail(parameter_count);
    }
    return result;
  };
  for (const int steps : {1, 2, 1, 3}) {
    const long before = solver.iterations_forward();
    solver.set_effort({steps}, {});
    BOOST_TEST(distance(problem.run(solver, y, x_bar), newton(steps)) <= 1e-11, steps << " steps");
    BOOST_TEST(solver.iterations_forward() - before == steps);
  }
  BOOST_TEST(relative(newton(1).x, newton(30).x) > 1e-3);
  // To the tolerance of the effort, and of the options.
  solver.set_effort({40, 1e-3}, {});
  const long before = solver.iterations_forward();
  problem.run(solver, y, x_bar);
  BOOST_TEST(solver.iterations_forward() - before <= 4);
  solver.set_effort({}, {});
  BOOST_TEST(distance(problem.run(solver, y, x_bar), newton(30)) <= 1e-10);
  // More steps than there is anything to gain, with a line search.
  RootSolve searching(problem.residual, problem.like.get());
  searching.set_effort({25}, {});
  BOOST_TEST(distance(problem.run(searching, y, x_bar), newton(30)) <= 1e-10);
}

BOOST_AUTO_TEST_CASE(failures_and_refusals, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options(
      "-j_ksp_type richardson -j_pc_type jacobi -j_adjoint_ksp_type richardson -s_ksp_type espalier_steepest "
      "-s_adjoint_ksp_type espalier_steepest");
  const Matrix b = data(1);
  Matrix broken = b;
  broken(points - 1, 1) = std::nan("");
  for (const std::string prefix : {"j_", "s_", ""})
    for (const double tolerance : {0.0, 1e-5}) {
      Problem problem(Kind::linear);
      LinearSolve solver(problem.residual, problem.like.get(), prefix);
      solver.set_effort({4, tolerance}, {4, tolerance});
      const std::string forward = message_of<NumericalError>([&] { problem.run(solver, broken, b); });
      const std::string adjoint = message_of<NumericalError>([&] { problem.run(solver, b, broken); });
      BOOST_TEST(forward.find("not finite") != std::string::npos, forward);
      BOOST_TEST(adjoint.find("the adjoint's") != std::string::npos, adjoint);
      problem.term->fault = Fault::jvp;
      BOOST_TEST(message_of<UserError>([&] { problem.run(solver, b, b); }) == "a fault of the last rank");
    }
  Problem problem(Kind::linear);
  LinearSolve solver(problem.residual, problem.like.get());
  BOOST_CHECK_THROW(solver.set_effort({-1}, {}), UserError);
  BOOST_CHECK_THROW(solver.set_effort({}, {3, 1}), UserError);
  BOOST_CHECK_THROW(solver.set_samples(0), UserError);
  BOOST_CHECK_THROW(solver.set_samples(4 * points * samples), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
