#include "espalier/model/shell_operators.hpp"

#include <boost/test/unit_test.hpp>

#include "core/rank.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/petsc/gradient_vec.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::JacobianOperator;
using model::LinearizationMemo;
using model::NeuralTerm;
using model::ParameterOperator;
using testing::distance;
using testing::entries_of;
using testing::gradient_of;
using testing::Numbers;
using testing::QuadraticTerm;
using testing::small_mlp;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t width = 3;

std::size_t local_length() {
  const int rank = testing::rank_of();
  return static_cast<std::size_t>(width * (rank == 0 ? 4 : 2));
}

petsc::VecHandle state(int seed) { return vector_of(some_numbers(local_length(), seed), PETSC_COMM_WORLD); }

Numbers combine(double a, const Numbers& x, double b, const Numbers& y) {
  Numbers result(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = a * x[i] + b * y[i];
  return result;
}

/// A network's two shells at one point, as TSAdjoint uses them.
struct Adjoint {
  explicit Adjoint(bool shared)
      : network(small_mlp(width)),
        term(network),
        u(state(1)),
        w(state(2)),
        jacobian(u.get()),
        parameters(u.get(), static_cast<PetscInt>(network->parameters().count()), shared ? &jacobian : nullptr,
                   {&network->parameters()}) {
    linearization = term.linearize(0, u.get());
    jacobian.set(linearization, 0, 1);
    parameters.set(linearization, 1);
  }

  /// (df/dtheta)^T w by the linearisation itself.
  Numbers expected(Vec cotangent) {
    const Numbers held = gradient_of(*network);
    const auto u_bar = unwritten_like(u.get());
    NeuralTerm fresh(small_mlp(width));
    const auto there = fresh.linearize(0, u.get());
    there->vjp(cotangent, u_bar.get());
    there->accumulate(1);
    return gradient_of(fresh.network());
  }

  std::shared_ptr<nn::Mlp> network;
  NeuralTerm term;
  petsc::VecHandle u;
  petsc::VecHandle w;
  JacobianOperator jacobian;
  ParameterOperator parameters;
  std::shared_ptr<model::Linearization> linearization;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(model_shell_operators, *utf::label("unit") * utf::label("np1") * utf::label("np2"))

BOOST_AUTO_TEST_CASE(the_jacobian_shell_multiplies_like_the_term, *utf::label("gradient")) {
  QuadraticTerm term;
  const auto u = state(1);
  const auto v = state(2);
  const auto other = state(3);
  const auto linearization = term.linearize(0, u.get());
  const auto result = unwritten_like(u.get());
  linearization->jvp(v.get(), result.get());
  const Numbers jv = entries_of(result.get());
  linearization->vjp(v.get(), result.get());
  const Numbers jtv = entries_of(result.get());
  const Numbers x = entries_of(v.get());

  JacobianOperator shell(u.get());
  struct Case {
    double shift, scale;
  };
  for (const Case& c : {Case{0, 1}, Case{3, -1}, Case{0, -1}, Case{2, 0.5}}) {
    shell.set(linearization, c.shift, c.scale);
    BOOST_TEST(shell.shift() == c.shift);
    ESPALIER_CALL(VecSet(result.get(), std::nan("")));
    ESPALIER_CALL(MatMult(shell.mat(), v.get(), result.get()));
    BOOST_TEST(distance(entries_of(result.get()), combine(c.shift, x, c.scale, jv)) <= 1e-14);
    ESPALIER_CALL(VecSet(result.get(), std::nan("")));
    ESPALIER_CALL(MatMultTranspose(shell.mat(), v.get(), result.get()));
    const Numbers transposed = combine(c.shift, x, c.scale, jtv);
    BOOST_TEST(distance(entries_of(result.get()), transposed) <= 1e-14);
    ESPALIER_CALL(MatMultTransposeAdd(shell.mat(), v.get(), other.get(), result.get()));
    BOOST_TEST(distance(entries_of(result.get()), combine(1, transposed, 1, entries_of(other.get()))) <= 1e-14);
    ESPALIER_CALL(VecCopy(other.get(), result.get()));
    ESPALIER_CALL(MatMultTransposeAdd(shell.mat(), v.get(), result.get(), result.get()));
    BOOST_TEST(distance(entries_of(result.get()), combine(1, transposed, 1, entries_of(other.get()))) <= 1e-14);
    ESPALIER_CALL(MatMultAdd(shell.mat(), v.get(), other.get(), result.get()));
    BOOST_TEST(distance(entries_of(result.get()),
                        combine(1, combine(c.shift, x, c.scale, jv), 1, entries_of(other.get()))) <= 1e-14);
  }
}

BOOST_AUTO_TEST_CASE(setting_a_shell_changes_its_state) {
  QuadraticTerm term;
  const auto u = state(1);
  JacobianOperator shell(u.get());
  const auto before = petsc::state_of(reinterpret_cast<PetscObject>(shell.mat()));
  shell.set(term.linearize(0, u.get()), 1, 1);
  BOOST_TEST(!(petsc::state_of(reinterpret_cast<PetscObject>(shell.mat())) == before));
}

BOOST_AUTO_TEST_CASE(a_failing_product_fails_as_itself) {
  struct Failing : model::Linearization {
    void jvp(Vec, Vec) override { throw NumericalError("no jvp", __FILE__, __LINE__); }
    void vjp(Vec, Vec) override { throw NumericalError("no vjp", __FILE__, __LINE__); }
  };
  const auto u = state(1);
  const auto y = unwritten_like(u.get());
  JacobianOperator shell(u.get());
  shell.set(std::make_shared<Failing>(), 0, 1);
  BOOST_CHECK_THROW(ESPALIER_CALL(MatMult(shell.mat(), u.get(), y.get())), NumericalError);
  BOOST_CHECK_THROW(ESPALIER_CALL(MatMultTranspose(shell.mat(), u.get(), y.get())), NumericalError);
  BOOST_TEST(!shell.last_product_was(Failing(), u.get()));
}

BOOST_AUTO_TEST_CASE(the_memo_shares_one_linearisation_at_one_point) {
  QuadraticTerm term;
  LinearizationMemo memo;
  const auto u = state(1);
  const auto first = memo.at(term, 0.5, u.get());
  BOOST_TEST((memo.at(term, 0.5, u.get()) == first));
  BOOST_TEST(term.linearizations == 1);
  BOOST_TEST((memo.at(term, 0.75, u.get()) != first));
  ESPALIER_CALL(VecScale(u.get(), 2));
  memo.at(term, 0.75, u.get());
  BOOST_TEST(term.linearizations == 3);
  const auto same_entries = state(1);
  memo.at(term, 0.75, same_entries.get());
  BOOST_TEST(term.linearizations == 4);
}

BOOST_AUTO_TEST_CASE(the_memo_sees_changed_parameters, *utf::label("gradient")) {
  NeuralTerm term(small_mlp(width));
  LinearizationMemo memo;
  const auto u = state(1);
  const auto w = state(2);
  const auto a = unwritten_like(u.get());
  const auto b = unwritten_like(u.get());
  memo.at(term, 0, u.get());
  term.network().parameters().values().mul_(1.25);
  term.network().parameters().mark_changed();
  memo.at(term, 0, u.get())->vjp(w.get(), a.get());
  NeuralTerm fresh(std::shared_ptr<nn::Network>(std::shared_ptr<void>(), &term.network()));
  fresh.linearize(0, u.get())->vjp(w.get(), b.get());
  BOOST_TEST(entries_of(a.get()) == entries_of(b.get()));
}

BOOST_AUTO_TEST_CASE(parameter_products_agree_for_both_kinds_of_vectors, *utf::label("gradient")) {
  for (const bool shared : {false, true}) {
    Adjoint adjoint(shared);
    const Numbers expected = adjoint.expected(adjoint.w.get());
    const auto count = static_cast<PetscInt>(expected.size());
    auto& gradient = adjoint.network->parameters().gradient();
    for (const double sign : {1.0, -1.0}) {
      adjoint.parameters.set(adjoint.linearization, sign);

      // Written: the flat gradient keeps what it held.
      gradient.fill_(0.5);
      const auto ordinary = vector_of(Numbers(expected.size(), std::nan("")), PETSC_COMM_WORLD);
      ESPALIER_CALL(MatMultTranspose(adjoint.parameters.mat(), adjoint.w.get(), ordinary.get()));
      BOOST_TEST(distance(entries_of(ordinary.get()), combine(sign, expected, 0, expected)) <= 1e-15);
      BOOST_TEST(gradient_of(*adjoint.network) == Numbers(expected.size(), 0.5));

      // Pending: nothing happens until it is added to mu.
      const auto mu = petsc::create_gradient_vec(PETSC_COMM_WORLD, count);
      petsc::VecHandle product;
      ESPALIER_CALL(VecDuplicate(mu.get(), product.out()));
      gradient.zero_();
      ESPALIER_CALL(MatMultTranspose(adjoint.parameters.mat(), adjoint.w.get(), product.get()));
      BOOST_TEST(gradient_of(*adjoint.network) == Numbers(expected.size(), 0));
      ESPALIER_CALL(VecScale(product.get(), 3));
      ESPALIER_CALL(VecAXPY(mu.get(), -0.5, product.get()));
      BOOST_TEST(distance(gradient_of(*adjoint.network), combine(-1.5 * sign, expected, 0, expected)) <= 1e-14);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_product_that_the_jacobian_took_is_not_taken_again, *utf::label("gradient")) {
  Adjoint adjoint(true);
  const Numbers expected = adjoint.expected(adjoint.w.get());
  const auto u_bar = unwritten_like(adjoint.u.get());
  const auto theta_bar = vector_of(Numbers(expected.size(), 0), PETSC_COMM_WORLD);
  const auto multiply = [&](Vec w) {
    ESPALIER_CALL(MatMultTranspose(adjoint.parameters.mat(), w, theta_bar.get()));
    return entries_of(theta_bar.get());
  };
  ESPALIER_CALL(MatMultTranspose(adjoint.jacobian.mat(), adjoint.w.get(), u_bar.get()));
  BOOST_TEST(adjoint.term.counters().adjoint == 1);
  BOOST_TEST(distance(multiply(adjoint.w.get()), expected) <= 1e-15);
  BOOST_TEST(adjoint.term.counters().adjoint == 1);
  ESPALIER_CALL(MatMultTransposeAdd(adjoint.jacobian.mat(), adjoint.w.get(), u_bar.get(), u_bar.get()));
  BOOST_TEST(distance(multiply(adjoint.w.get()), expected) <= 1e-15);
  BOOST_TEST(adjoint.term.counters().adjoint == 2);

  // Another cotangent, or the same Vec with other entries, is another product.
  const auto other = state(7);
  BOOST_TEST(distance(multiply(other.get()), adjoint.expected(other.get())) <= 1e-15);
  BOOST_TEST(adjoint.term.counters().adjoint == 3);
}

BOOST_AUTO_TEST_CASE(what_changed_since_is_taken_again, *utf::label("gradient")) {
  Adjoint adjoint(true);
  const auto u_bar = unwritten_like(adjoint.u.get());
  const auto count = adjoint.expected(adjoint.w.get()).size();
  const auto theta_bar = vector_of(Numbers(count, 0), PETSC_COMM_WORLD);
  ESPALIER_CALL(MatMultTranspose(adjoint.jacobian.mat(), adjoint.w.get(), u_bar.get()));
  ESPALIER_CALL(VecScale(adjoint.w.get(), 2));
  ESPALIER_CALL(MatMultTranspose(adjoint.parameters.mat(), adjoint.w.get(), theta_bar.get()));
  BOOST_TEST(distance(entries_of(theta_bar.get()), adjoint.expected(adjoint.w.get())) <= 1e-15);

  // A parameter product of another w in between overwrote what the Jacobian's had left.
  const auto other = state(7);
  ESPALIER_CALL(MatMultTranspose(adjoint.jacobian.mat(), adjoint.w.get(), u_bar.get()));
  ESPALIER_CALL(MatMultTranspose(adjoint.parameters.mat(), other.get(), theta_bar.get()));
  ESPALIER_CALL(MatMultTranspose(adjoint.parameters.mat(), adjoint.w.get(), theta_bar.get()));
  BOOST_TEST(distance(entries_of(theta_bar.get()), adjoint.expected(adjoint.w.get())) <= 1e-15);
}

BOOST_AUTO_TEST_CASE(an_empty_linearisation_is_zero) {
  const auto u = state(1);
  ParameterOperator parameters(u.get(), 5, nullptr, {});
  parameters.set(nullptr, -1);
  const auto ordinary = vector_of(Numbers(5, 7), PETSC_COMM_WORLD);
  ESPALIER_CALL(MatMultTranspose(parameters.mat(), u.get(), ordinary.get()));
  BOOST_TEST(entries_of(ordinary.get()) == Numbers(5, 0));
  const auto mu = petsc::create_gradient_vec(PETSC_COMM_WORLD, 5);
  petsc::VecHandle product;
  ESPALIER_CALL(VecDuplicate(mu.get(), product.out()));
  ESPALIER_CALL(MatMultTranspose(parameters.mat(), u.get(), product.get()));
  ESPALIER_CALL(VecAXPY(mu.get(), 1, product.get()));
}

BOOST_AUTO_TEST_SUITE_END()
