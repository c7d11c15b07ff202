// Linear solves and their derivatives against dense ones.
#include "espalier/implicit/linear_solve.hpp"

#include "core/scoped_options.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/model/sum_term.hpp"
#include "implicit/ring.hpp"

using namespace ring;
using implicit::LinearSolve;
using testing::ScopedOptions;
namespace utf = boost::unit_test;

namespace {

constexpr double step = 0.4;

/// A(theta) x + c(theta) = b for theta = 0, else a step of du/dt = A u + c.
struct Problem {
  explicit Problem(double method = 0, int samples = 2)
      : layout(samples),
        parameters(Term::initial()),
        term(std::make_shared<Term>(layout, Kind::linear, parameters)),
        theta(method),
        like(layout.create()) {
    // Not dominant: several iterations.
    parameters->values().copy_(torch::tensor({1.9, 0.8, -0.7, 0.3}, torch::kDouble));
    if (theta > 0) {
      residual = std::make_shared<implicit::ThetaStep>(term, theta, step);
    } else {
      residual = std::make_shared<implicit::LinearSystem>(term);
    }
  }
  Equation equation() const {
    if (theta > 0) return {1, -1, -step * (1 - theta), -step * theta, term->dense()};
    return {0, -1, 0, 1, term->dense()};
  }
  void check(LinearSolve& solver, double tolerance = 1e-10);

  Layout layout;
  std::shared_ptr<nn::FlatParameters> parameters;
  std::shared_ptr<Term> term;
  double theta;
  petsc::VecHandle like;
  std::shared_ptr<implicit::Residual> residual;
};

// Solution and derivatives are those of the dense equation.
void Problem::check(LinearSolve& solver, double tolerance) {
  const Matrix y = some_matrix(points, layout.samples, 1);
  const Matrix x_bar = some_matrix(points, layout.samples, 2);
  const auto x = layout.create();
  const auto y_bar = layout.create();
  parameters->zero_gradient();
  solver.solve(layout.vec_of(y).get(), x.get());
  solver.adjoint(layout.vec_of(x_bar).get(), y_bar.get());
  Matrix expected_x = y;
  Matrix expected_y_bar = y;
  Vector expected_theta_bar = Vector::Zero(parameter_count);
  for (int s = 0; s < layout.samples; ++s) {
    expected_x.col(s) = equation().solve(y.col(s));
    const Vector bar = equation().derivative(expected_x.col(s), y.col(s)).transpose() * x_bar.col(s);
    expected_y_bar.col(s) = bar.head(points);
    expected_theta_bar += bar.tail(parameter_count);
  }
  BOOST_TEST(relative(layout.gather(x.get()), expected_x) <= tolerance);
  BOOST_TEST(relative(layout.gather(y_bar.get()), expected_y_bar) <= tolerance);
  BOOST_TEST(relative(theta_bar_of(*parameters), expected_theta_bar) <= tolerance);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_linear_solve, *utf::label("gradient") * utf::label("implicit"))

BOOST_AUTO_TEST_CASE(equals_the_dense_solve_and_its_derivative,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options(
      "-ksp_rtol 1e-13 -j_pc_type jacobi -j_ksp_rtol 1e-13 -b_pc_type bjacobi -b_sub_pc_type lu -b_ksp_rtol 1e-13 "
      "-b_adjoint_pc_type jacobi");
  for (const double theta : {0.0, 0.5, 1.0})
    for (const std::string prefix : {"", "j_", "b_"}) {
      Problem problem(theta);
      LinearSolve solver(problem.residual, problem.like.get(), prefix);
      BOOST_TEST_CONTEXT("theta " << theta << ", prefix " << prefix) {
        problem.check(solver);
        BOOST_TEST(solver.iterations_forward() > 0);
        BOOST_TEST(solver.ksp_iterations_adjoint() > 0);
      }
    }
}

BOOST_AUTO_TEST_CASE(products_may_be_those_of_matrices, *utf::label("prdp") * utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-ksp_rtol 1e-13 -assembled -adjoint_assembled");
  Problem problem(1, 3);
  LinearSolve solver(problem.residual, problem.like.get());
  problem.check(solver);
  problem.parameters->values()[1] += 0.05;
  problem.parameters->mark_changed();
  problem.check(solver);
  for (KSP ksp : {solver.ksp(), solver.adjoint_ksp()}) {
    Mat mat = nullptr;
    PetscBool shell = PETSC_TRUE;
    ESPALIER_CALL(KSPGetOperators(ksp, &mat, nullptr));
    ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(mat), MATSHELL, &shell));
    BOOST_TEST((shell == PETSC_FALSE));
  }
}

BOOST_AUTO_TEST_CASE(remainders_fall_quadratically, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-ksp_rtol 1e-13");
  Problem problem;
  LinearSolve solver(problem.residual, problem.like.get());
  Eigen::Map<Vector> theta(problem.parameters->values().data_ptr<double>(), parameter_count);
  const Vector start = theta;
  const Matrix b = some_matrix(points, 2, 1);
  const Matrix x_bar = some_matrix(points, 2, 2);
  const Vector theta_tan = some_matrix(parameter_count, 1, 4);
  const auto x = problem.layout.create();
  const auto b_bar = problem.layout.create();
  problem.parameters->zero_gradient();
  solver.solve(problem.layout.vec_of(b).get(), x.get());
  solver.adjoint(problem.layout.vec_of(x_bar).get(), b_bar.get());
  const double derivative = theta_bar_of(*problem.parameters).dot(theta_tan);
  const auto value = [&](double e) {
    theta = start + e * theta_tan;
    problem.parameters->mark_changed();
    solver.solve(problem.layout.vec_of(b).get(), x.get(), implicit::Record::no);
    return problem.layout.gather(x.get()).cwiseProduct(x_bar).sum();
  };
  BOOST_TEST(std::abs(model::taylor_test(value, derivative, 1e-2).slope() - 2) <= 0.1);
}

BOOST_AUTO_TEST_CASE(a_factorisation_follows_the_parameters) {
  // Without iterations a stale factorisation gives a wrong solution.
  const ScopedOptions options("-ksp_type preonly -pc_type lu -adjoint_ksp_type preonly");
  Problem problem(0, 3);
  LinearSolve solver(problem.residual, problem.like.get());
  problem.check(solver);
  problem.parameters->values()[1] += 0.05;
  problem.parameters->mark_changed();
  problem.check(solver);
}

BOOST_AUTO_TEST_CASE(a_torch_model_around_the_solve) {
  const torch::AutoGradMode with_grad(true);
  const ScopedOptions options("-ksp_rtol 1e-13");
  Problem problem;
  LinearSolve solver(problem.residual, problem.like.get());
  const at::Tensor z = torch::linspace(-1, 1, 2 * points, torch::kDouble).reshape({2, points}).requires_grad_(true);
  problem.parameters->zero_gradient();
  // A solve of the result of a solve.
  const at::Tensor x = implicit::linear_solve(solver, z.sin());
  implicit::linear_solve(solver, x.tanh()).pow(2).sum().backward();

  const auto dense = problem.term->dense();
  const Matrix a = dense.jacobian(Vector::Zero(points));
  at::Tensor matrix = torch::empty({points, points}, torch::kDouble);
  Eigen::Map<Matrix>(matrix.data_ptr<double>(), points, points) = a.transpose();
  const at::Tensor reference_z = z.detach().clone().requires_grad_(true);
  const auto solve = [&](const at::Tensor& b) { return at::linalg_solve(matrix, (b - dense.theta(3)).t()).t(); };
  solve(solve(reference_z.sin()).tanh()).pow(2).sum().backward();
  BOOST_TEST((z.grad() - reference_z.grad()).norm().item<double>() <= 1e-10 * reference_z.grad().norm().item<double>());
  BOOST_TEST(problem.parameters->gradient().norm().item<double>() > 0);
  const torch::NoGradGuard no_grad;
  BOOST_TEST(!implicit::linear_solve(solver, z).requires_grad());
}

BOOST_AUTO_TEST_CASE(failures_are_told_on_all_ranks, *utf::label("np1") * utf::label("np2")) {
  const auto run = [](const std::string& options, Kind kind, double entry, Fault fault) {
    const ScopedOptions scoped(options);
    Problem problem;
    problem.term = std::make_shared<Term>(problem.layout, kind, problem.parameters);
    problem.term->fault = fault;
    problem.residual = std::make_shared<implicit::LinearSystem>(problem.term);
    LinearSolve solver(problem.residual, problem.like.get(), "z_");
    Matrix b = some_matrix(points, 2, 1);
    b(points - 1, 1) = entry;
    const auto b_vec = problem.layout.vec_of(b);
    const auto x = problem.layout.create();
    return message_of<Error>([&] {
      solver.solve(b_vec.get(), x.get());
      solver.adjoint(b_vec.get(), x.get());
    });
  };
  const auto holds = [](const std::string& text, const std::vector<std::string>& parts) {
    for (const auto& part : parts) BOOST_TEST(text.find(part) != std::string::npos, "no " << part << " in: " << text);
  };
  holds(run("-z_ksp_max_it 7", Kind::linear, 1, Fault::none),
        {"the linear solve (-z_ksp_*)", "DIVERGED_ITS after 7", "residual norms ", ", ..., ", "-z_ksp_max_it"});
  holds(run("-z_adjoint_ksp_max_it 2", Kind::linear, 1, Fault::none), {"the adjoint's", "-z_adjoint_ksp_max_it"});
  holds(run("", Kind::linear, std::nan(""), Fault::none), {"NANORINF", "not finite"});
  holds(run("", Kind::nonlinear, 1, Fault::none), {"not linear in x", "RootSolve"});
  for (const std::string options : {"", "-z_pc_type bjacobi"})
    for (const Fault fault : {Fault::apply, Fault::linearize, Fault::jvp, Fault::vjp})
      BOOST_TEST(run(options, Kind::linear, 1, fault) == "a fault of the last rank");
}

BOOST_AUTO_TEST_CASE(a_preconditioner_without_matrices_is_refused) {
  const ScopedOptions options("-w_pc_type ilu");
  const auto term = std::make_shared<testing::QuadraticTerm>();
  const auto like = testing::vector_of({1, 2, 3});
  LinearSolve solver(std::make_shared<implicit::LinearSystem>(term), like.get(), "w_");
  const auto x = testing::unwritten_like(like.get());
  BOOST_TEST(message_of<UserError>([&] { solver.solve(like.get(), x.get()); }).find("-pc_type none") !=
             std::string::npos);
}

// The matrices of a sum may lack a term: enough for a preconditioner, not for the products.
BOOST_AUTO_TEST_CASE(products_by_a_part_of_the_matrix_are_refused, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-v_assembled -v_pc_type bjacobi");
  const auto grid =
      std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{8, 0, 1, {}, {}}});
  const auto diffusion = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{0.3});
  const auto sum = std::make_shared<model::SumTerm>(
      std::vector<std::shared_ptr<model::Term>>{diffusion, std::make_shared<testing::QuadraticTerm>()});
  const auto like =
      testing::vector_of(testing::some_numbers(static_cast<std::size_t>(grid->local_cells()), 1), PETSC_COMM_WORLD);
  LinearSolve solver(std::make_shared<implicit::LinearSystem>(sum), like.get(), "v_");
  const auto x = testing::unwritten_like(like.get());
  BOOST_TEST(message_of<UserError>([&] { solver.solve(like.get(), x.get()); }).find("-v_assembled") !=
             std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
