#include "espalier/model/trainable_linear_term.hpp"

#include <torch/types.h>

#include <Eigen/Dense>
#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/model/neural_term.hpp"
#include "io/temporary_folder.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using Eigen::MatrixXd;
using model::LinearSolver;
using testing::entries_of;
using testing::mentions;
using testing::Numbers;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

constexpr PetscInt dof = 7;
constexpr double shift = 11;
const Numbers stencil = {0.3, 0.6, -2, 1.3, -0.2};
const std::vector<LinearSolver> solvers = {LinearSolver::lu_dense, LinearSolver::lu_sparse, LinearSolver::krylov,
                                           LinearSolver::lu_inverse};

using Made = std::shared_ptr<model::TrainableLinearTerm>;

Made make(const std::string& form, LinearSolver solver = LinearSolver::lu_dense) {
  if (form == "stencil") return std::make_shared<model::StencilLinearTerm>(dof, stencil, solver);
  return std::make_shared<model::DenseLinearTerm>(grid::periodic_stencil(dof, stencil).get(), solver);
}

nn::FlatParameters& parameters_of(const Made& term) { return *term->parameters().front(); }

/// A by its definition from the term's parameters.
MatrixXd matrix_of(const std::string& form, const nn::FlatParameters& theta) {
  const double* p = theta.values().data_ptr<double>();
  if (form == "dense") return Eigen::Map<const MatrixXd>(p, dof, dof);
  MatrixXd a = MatrixXd::Zero(dof, dof);
  const PetscInt width = static_cast<PetscInt>(theta.count());
  for (PetscInt i = 0; i < dof; ++i)
    for (PetscInt k = 0; k < width; ++k) a(i, (i + k - width / 2 + dof) % dof) += p[k];
  return a;
}

MatrixXd columns(const Numbers& numbers) {
  return Eigen::Map<const MatrixXd>(numbers.data(), dof, static_cast<Eigen::Index>(numbers.size()) / dof);
}

double error(Vec result, const MatrixXd& expected) {
  return testing::distance(entries_of(result), Numbers(expected.data(), expected.data() + expected.size()));
}

/// theta_bar of one pair of state and cotangent, by definition.
Numbers gradient(const std::string& form, const MatrixXd& u, const MatrixXd& w) {
  const MatrixXd a_bar = w * u.transpose();
  if (form == "dense") return {a_bar.data(), a_bar.data() + a_bar.size()};
  Numbers c_bar(stencil.size(), 0);
  const auto width = static_cast<PetscInt>(stencil.size());
  for (PetscInt i = 0; i < dof; ++i)
    for (PetscInt k = 0; k < width; ++k)
      c_bar[static_cast<std::size_t>(k)] += a_bar(i, (i + k - width / 2 + dof) % dof);
  return c_bar;
}

void change(nn::FlatParameters& theta) {
  theta.values().mul_(1.25).add_(0.01);
  theta.mark_changed();
}

void check_solve(model::LinearTerm& term, const MatrixXd& a, double at_shift) {
  const Numbers numbers = some_numbers(3 * dof, 2);
  const auto b = vector_of(numbers);
  const auto x = unwritten_like(b.get());
  MatrixXd shifted = -a;
  shifted.diagonal().array() += at_shift;
  term.solve(at_shift, b.get(), x.get(), false);
  BOOST_TEST(error(x.get(), shifted.partialPivLu().solve(columns(numbers))) <= 1e-12);
  term.solve(at_shift, b.get(), x.get(), true);
  BOOST_TEST(error(x.get(), shifted.transpose().partialPivLu().solve(columns(numbers))) <= 1e-12);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_trainable_linear_term, *utf::label("gradient") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(products_follow_the_parameters) {
  for (const std::string form : {"stencil", "dense"})
    for (const auto solver : solvers) {
      const Made term = make(form, solver);
      for (int version = 0; version < 3; ++version) {
        const MatrixXd a = matrix_of(form, parameters_of(term));
        const Numbers numbers = some_numbers(4 * dof, version);
        const auto u = vector_of(numbers);
        const auto y = unwritten_like(u.get());
        term->apply(0, u.get(), y.get());
        BOOST_TEST(error(y.get(), a * columns(numbers)) <= 1e-14);
        const auto linearization = term->linearize(0, u.get());
        linearization->jvp(u.get(), y.get());
        BOOST_TEST(error(y.get(), a * columns(numbers)) <= 1e-14);
        linearization->vjp(u.get(), y.get());
        BOOST_TEST(error(y.get(), a.transpose() * columns(numbers)) <= 1e-14);
        BOOST_TEST(model::dot_product_error(*term, 0, u.get(), 1) <= 1e-12);
        change(parameters_of(term));
      }
    }
}

// The caller's vectors change between linearize(), vjp() and accumulate(), and batches change their size.
BOOST_AUTO_TEST_CASE(gradients_belong_to_the_state_and_the_last_cotangent) {
  for (const std::string form : {"stencil", "dense"}) {
    const Made term = make(form);
    auto& theta = parameters_of(term);
    for (const std::size_t samples : {3, 1, 0, 5, 5}) {
      const Numbers numbers_u = some_numbers(samples * dof, 1);
      const Numbers numbers_w = some_numbers(samples * dof, 2);
      const auto u = vector_of(numbers_u);
      const auto w = vector_of(numbers_w);
      const auto y = unwritten_like(u.get());
      const auto first = term->linearize(0, u.get());
      ESPALIER_CALL(VecScale(u.get(), 3.0));
      const auto second = term->linearize(0, u.get());
      ESPALIER_CALL(VecSet(u.get(), std::nan("")));
      first->vjp(y.get(), u.get());
      first->vjp(w.get(), y.get());
      second->vjp(w.get(), y.get());
      ESPALIER_CALL(VecSet(w.get(), std::nan("")));
      theta.gradient().fill_(0.5);
      first->accumulate(2);
      second->accumulate(-0.25);
      Numbers expected = gradient(form, columns(numbers_u), columns(numbers_w));
      for (double& entry : expected) entry = 0.5 + (2 - 3 * 0.25) * entry;
      const double* result = theta.gradient().data_ptr<double>();
      BOOST_TEST(testing::distance(Numbers(result, result + theta.count()), expected) <= 1e-13, form << " " << samples);
    }
  }
}

BOOST_AUTO_TEST_CASE(factorisations_are_renewed_once_per_version_and_shift) {
  for (const std::string form : {"stencil", "dense"})
    for (const auto solver : {LinearSolver::lu_dense, LinearSolver::lu_sparse, LinearSolver::lu_inverse}) {
      const Made term = make(form, solver);
      for (int version = 1; version <= 3; ++version) {
        for (const double at_shift : {shift, 2 * shift, shift * (1 + 1e-15), 2 * shift})
          check_solve(*term, matrix_of(form, parameters_of(term)), at_shift);
        BOOST_TEST(term->factorisations() == 2 * version);
        change(parameters_of(term));
      }
      parameters_of(term).mark_changed();
      BOOST_TEST(term->factorisations() == 6);
    }
}

// As in a trainer: the parameters move into a buffer with others, where an optimiser changes them.
BOOST_AUTO_TEST_CASE(parameters_that_move_are_followed) {
  for (const std::string form : {"stencil", "dense"}) {
    const Made term = make(form, LinearSolver::lu_inverse);
    const auto other = testing::small_mlp(dof);
    check_solve(*term, matrix_of(form, parameters_of(term)), shift);
    auto whole = nn::FlatParameters::joined({&other->parameters(), &parameters_of(term)});
    const MatrixXd before = matrix_of(form, parameters_of(term));
    check_solve(*term, before, shift);
    change(whole);
    const MatrixXd after = matrix_of(form, parameters_of(term));
    BOOST_TEST((after - before).norm() > 0.1);
    check_solve(*term, after, shift);
    const auto u = vector_of(some_numbers(2 * dof, 1));
    const auto y = unwritten_like(u.get());
    const auto linearization = term->linearize(0, u.get());
    linearization->vjp(u.get(), y.get());
    linearization->accumulate(1);
    BOOST_TEST(
        whole.gradient().narrow(0, other->parameters().count(), parameters_of(term).count()).norm().item<double>() >
        0.1);
  }
}

BOOST_AUTO_TEST_CASE(bad_input_is_refused) {
  BOOST_CHECK_EXCEPTION(model::StencilLinearTerm(3, stencil, LinearSolver::krylov), UserError, mentions("5", "points"));
  BOOST_CHECK_THROW(model::StencilLinearTerm(8, {1, 2}, LinearSolver::krylov), UserError);
  const Made term = make("dense");
  const auto wrong = vector_of(Numbers(dof + 1, 1.0));
  BOOST_CHECK_EXCEPTION(term->linearize(0, wrong.get()), UserError, mentions("8", "7"));
  const auto network = std::make_shared<model::NeuralTerm>(testing::small_mlp(dof, 3, true));
  BOOST_CHECK_EXCEPTION(model::joined_parameters({network, term}), UserError, mentions("-network_precision double"));
}

BOOST_AUTO_TEST_SUITE_END()
