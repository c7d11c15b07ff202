// NeuralTerm::attach_explicit(): the caller's own TSSolve and TSAdjointSolve with a network in them.
#include <petscts.h>

#include <boost/test/unit_test.hpp>
#include <functional>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "espalier/model/neural_term.hpp"
#include "io/temporary_folder.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::NeuralTerm;
using testing::entries_of;
using testing::mentions;
using testing::Numbers;
using testing::small_mlp;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

constexpr PetscInt width = 2;

/// The oscillator u_1' = u_2, u_2' = -u_1^3, one on each rank; the reference for all that follows.
PetscErrorCode oscillator(TS, PetscReal, Vec u, Vec f, void*) noexcept {
  return guard([&] {
    const Numbers x = entries_of(u);
    PetscScalar* y = nullptr;
    ESPALIER_CALL(VecGetArrayWrite(f, &y));
    y[0] = x[1];
    y[1] = -x[0] * x[0] * x[0];
    ESPALIER_CALL(VecRestoreArrayWrite(f, &y));
  });
}

void fill(Mat mat, const std::vector<double>& row_major) {
  PetscInt first = 0;
  ESPALIER_CALL(MatGetOwnershipRange(mat, &first, nullptr));
  const PetscInt rows[] = {first, first + 1};
  ESPALIER_CALL(MatSetValues(mat, 2, rows, 2, rows, row_major.data(), INSERT_VALUES));
  ESPALIER_CALL(MatAssemblyBegin(mat, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(mat, MAT_FINAL_ASSEMBLY));
}

PetscErrorCode oscillator_jacobian(TS, PetscReal, Vec u, Mat a, Mat, void*) noexcept {
  return guard([&] { fill(a, {0, 1, -3 * entries_of(u)[0] * entries_of(u)[0], 0}); });
}

petsc::MatHandle matrix() {
  petsc::MatHandle mat;
  ESPALIER_CALL(MatCreateAIJ(PETSC_COMM_WORLD, width, width, PETSC_DETERMINE, PETSC_DETERMINE, width, nullptr, 0,
                             nullptr, mat.out()));
  return mat;
}

/// What the caller puts into the TS before the network comes.
enum class Caller { nothing, oscillator, linear, two_matrices, no_jacobian };

struct Result {
  double loss = 0;      // of this rank, |u(0.5)|^2 / 2
  Numbers initial_bar;  // its gradients
  Numbers theta_bar;
};

class Problem {
 public:
  Problem(Caller caller, TSType type) : caller_(caller), type_(type) {}

  Result solve(NeuralTerm& term, const Numbers& start, bool adjoint) {
    const auto u = vector_of(start, PETSC_COMM_WORLD);
    petsc::TsHandle ts;
    ESPALIER_CALL(TSCreate(PETSC_COMM_WORLD, ts.out()));
    ESPALIER_CALL(TSSetProblemType(ts.get(), TS_NONLINEAR));
    ESPALIER_CALL(TSSetType(ts.get(), type_));
    const auto jacobian = matrix();
    const auto preconditioner = matrix();
    install(ts.get(), jacobian.get(), preconditioner.get());
    term.attach_explicit(ts.get(), u.get());
    ESPALIER_CALL(TSSetMaxTime(ts.get(), 0.5));
    ESPALIER_CALL(TSSetTimeStep(ts.get(), 0.05));
    ESPALIER_CALL(TSSetExactFinalTime(ts.get(), TS_EXACTFINALTIME_MATCHSTEP));
    TSAdapt adapt = nullptr;
    ESPALIER_CALL(TSGetAdapt(ts.get(), &adapt));
    ESPALIER_CALL(TSAdaptSetType(adapt, TSADAPTNONE));
    if (adjoint) ESPALIER_CALL(TSSetSaveTrajectory(ts.get()));
    ESPALIER_CALL(TSSetFromOptions(ts.get()));
    ESPALIER_CALL(TSSolve(ts.get(), u.get()));
    Result result;
    const Numbers end = entries_of(u.get());
    result.loss = testing::dot(end, end) / 2;
    if (!adjoint) return result;
    const auto lambda = vector_of(end, PETSC_COMM_WORLD);
    const auto mu = term.create_mu(PETSC_COMM_WORLD);
    ESPALIER_CALL(VecZeroEntries(mu.get()));
    Vec lambdas[] = {lambda.get()};
    Vec mus[] = {mu.get()};
    ESPALIER_CALL(TSSetCostGradients(ts.get(), 1, lambdas, mus));
    ESPALIER_CALL(TSAdjointSolve(ts.get()));
    result.initial_bar = entries_of(lambda.get());
    result.theta_bar = entries_of(mu.get());
    return result;
  }

 private:
  void install(TS ts, Mat jacobian, Mat preconditioner) const {
    switch (caller_) {
      case Caller::nothing:
        break;
      case Caller::oscillator:
        ESPALIER_CALL(TSSetRHSFunction(ts, nullptr, oscillator, nullptr));
        ESPALIER_CALL(TSSetRHSJacobian(ts, jacobian, jacobian, oscillator_jacobian, nullptr));
        break;
      case Caller::linear:
        fill(jacobian, {-0.5, 2, -1, 0});
        ESPALIER_CALL(TSSetRHSFunction(ts, nullptr, TSComputeRHSFunctionLinear, nullptr));
        ESPALIER_CALL(TSSetRHSJacobian(ts, jacobian, jacobian, TSComputeRHSJacobianConstant, nullptr));
        break;
      case Caller::two_matrices:  // one to multiply with, another one to precondition with
        ESPALIER_CALL(TSSetRHSFunction(ts, nullptr, oscillator, nullptr));
        ESPALIER_CALL(TSSetRHSJacobian(
            ts, jacobian, preconditioner,
            [](TS, PetscReal, Vec u, Mat a, Mat p, void*) noexcept {
              return guard([&] {
                fill(a, {0, 1, -3 * entries_of(u)[0] * entries_of(u)[0], 0});
                fill(p, {1, 0, 0, 1});
              });
            },
            nullptr));
        break;
      case Caller::no_jacobian:
        ESPALIER_CALL(TSSetRHSFunction(ts, nullptr, oscillator, nullptr));
        break;
    }
  }

  Caller caller_;
  TSType type_;
};

Numbers start() { return {1.0 + 0.25 * testing::rank_of(), -0.5}; }

/// The gradient against central differences in every entry; each rank's loss is a function of its own entries only,
/// and all ranks vary the same parameter at the same time.
void compare_with_differences(Problem& problem, NeuralTerm& term) {
  constexpr double h = 1e-5;
  const Result result = problem.solve(term, start(), true);
  auto& parameters = term.network().parameters();
  Numbers initial(width);
  for (std::size_t i = 0; i < initial.size(); ++i) {
    Numbers plus = start();
    Numbers minus = start();
    plus[i] += h;
    minus[i] -= h;
    initial[i] = (problem.solve(term, plus, false).loss - problem.solve(term, minus, false).loss) / (2 * h);
  }
  Numbers theta(static_cast<std::size_t>(parameters.count()));
  for (std::size_t i = 0; i < theta.size(); i += 3) {
    auto* entry = parameters.values().data_ptr<double>() + i;
    const double kept = *entry;
    *entry = kept + h;
    parameters.mark_changed();
    const double plus = problem.solve(term, start(), false).loss;
    *entry = kept - h;
    parameters.mark_changed();
    theta[i] = (plus - problem.solve(term, start(), false).loss) / (2 * h);
    *entry = kept;
    parameters.mark_changed();
    BOOST_TEST(std::abs(theta[i] - result.theta_bar[i]) < 1e-8, "parameter " << i);
  }
  BOOST_TEST(testing::distance(result.initial_bar, initial) < 1e-8);
  BOOST_TEST(testing::distance(result.theta_bar, Numbers(result.theta_bar.size(), 0)) > 1e-3);
  // The flat gradient is not touched by a mu of the caller's.
  BOOST_TEST(testing::gradient_of(term.network()) == Numbers(theta.size(), 0));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_graft, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(a_network_alone, *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  NeuralTerm term(small_mlp(width));
  Problem problem(Caller::nothing, TSRK);
  compare_with_differences(problem, term);
}

BOOST_AUTO_TEST_CASE(a_network_beside_the_callers_own,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  NeuralTerm term(small_mlp(width));
  Problem problem(Caller::oscillator, TSRK);
  compare_with_differences(problem, term);
}

BOOST_AUTO_TEST_CASE(a_network_beside_a_linear_system, *utf::label("gradient")) {
  NeuralTerm term(small_mlp(width));
  Problem problem(Caller::linear, TSRK);
  compare_with_differences(problem, term);

  // A network that is zero leaves the caller's system: u' = A u.
  NeuralTerm zero(small_mlp(width));
  zero.network().parameters().values().zero_();
  const double with_zero = problem.solve(zero, start(), false).loss;
  petsc::TsHandle ts;
  const auto a = matrix();
  fill(a.get(), {-0.5, 2, -1, 0});
  const auto u = vector_of(start(), PETSC_COMM_WORLD);
  ESPALIER_CALL(TSCreate(PETSC_COMM_WORLD, ts.out()));
  ESPALIER_CALL(TSSetType(ts.get(), TSRK));
  ESPALIER_CALL(TSSetRHSFunction(ts.get(), nullptr, TSComputeRHSFunctionLinear, nullptr));
  ESPALIER_CALL(TSSetRHSJacobian(ts.get(), a.get(), a.get(), TSComputeRHSJacobianConstant, nullptr));
  ESPALIER_CALL(TSSetTimeStep(ts.get(), 0.05));
  ESPALIER_CALL(TSSetMaxTime(ts.get(), 0.5));
  ESPALIER_CALL(TSSetExactFinalTime(ts.get(), TS_EXACTFINALTIME_MATCHSTEP));
  TSAdapt adapt = nullptr;
  ESPALIER_CALL(TSGetAdapt(ts.get(), &adapt));
  ESPALIER_CALL(TSAdaptSetType(adapt, TSADAPTNONE));
  ESPALIER_CALL(TSSolve(ts.get(), u.get()));
  const Numbers end = entries_of(u.get());
  BOOST_TEST(std::abs(testing::dot(end, end) / 2 - with_zero) < 1e-12);
}

BOOST_AUTO_TEST_CASE(a_caller_with_two_matrices, *utf::label("gradient")) {
  NeuralTerm term(small_mlp(width));
  Problem problem(Caller::two_matrices, TSRK);
  compare_with_differences(problem, term);
}

BOOST_AUTO_TEST_CASE(implicit_methods_of_the_caller, *utf::label("gradient")) {
  const testing::ScopedOptions options(
      "-ksp_type gmres -pc_type none -ksp_rtol 1e-13 -snes_rtol 1e-13 -snes_atol 1e-13");
  NeuralTerm term(small_mlp(width));
  Problem problem(Caller::oscillator, TSCN);
  compare_with_differences(problem, term);
}

BOOST_AUTO_TEST_CASE(without_a_jacobian_the_caller_is_told) {
  NeuralTerm term(small_mlp(width));
  Problem problem(Caller::no_jacobian, TSRK);
  BOOST_CHECK_EXCEPTION(problem.solve(term, start(), false), UserError, mentions("TSSetRHSJacobian", "before"));
}

BOOST_AUTO_TEST_CASE(a_state_that_does_not_fit_is_named_through_tssolve) {
  NeuralTerm term(small_mlp(3));
  Problem problem(Caller::nothing, TSRK);
  BOOST_CHECK_EXCEPTION(problem.solve(term, start(), false), UserError, mentions("width 3"));
}

BOOST_AUTO_TEST_CASE(one_network_in_several_solves, *utf::label("gradient")) {
  NeuralTerm term(small_mlp(width));
  Problem problem(Caller::oscillator, TSRK);
  const Result first = problem.solve(term, start(), true);
  const Result second = problem.solve(term, start(), true);
  BOOST_TEST(first.theta_bar == second.theta_bar);
  BOOST_TEST(first.initial_bar == second.initial_bar);
}

BOOST_AUTO_TEST_SUITE_END()
