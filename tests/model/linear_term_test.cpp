#include "espalier/model/linear_term.hpp"

#include <Eigen/Dense>
#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/model/gradient_check.hpp"
#include "io/temporary_folder.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::LinearSolver;
using model::LinearTerm;
using testing::entries_of;
using testing::mentions;
using testing::Numbers;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

constexpr PetscInt dof = 6;
const std::vector<LinearSolver> solvers = {LinearSolver::lu_dense, LinearSolver::lu_sparse, LinearSolver::krylov,
                                           LinearSolver::lu_inverse};
const std::vector<LinearSolver> direct_solvers = {LinearSolver::lu_dense, LinearSolver::lu_sparse,
                                                  LinearSolver::lu_inverse};

/// Not symmetric, without its diagonal entry in row 2.
Eigen::MatrixXd example(double factor = 1) {
  Eigen::MatrixXd a = Eigen::MatrixXd::Zero(dof, dof);
  for (PetscInt i = 0; i < dof; ++i) {
    if (i != 2) a(i, i) = -2.0 - 0.1 * static_cast<double>(i);
    a(i, (i + 1) % dof) = 1.5;
    a(i, (i + 4) % dof) = -0.25 * static_cast<double>(i + 1);
  }
  return factor * a;
}

void fill(Mat mat, const Eigen::MatrixXd& a) {
  for (PetscInt i = 0; i < a.rows(); ++i)
    for (PetscInt j = 0; j < a.cols(); ++j)
      if (a(i, j) != 0) ESPALIER_CALL(MatSetValue(mat, i, j, a(i, j), INSERT_VALUES));
  ESPALIER_CALL(MatAssemblyBegin(mat, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(mat, MAT_FINAL_ASSEMBLY));
}

petsc::MatHandle sparse(const Eigen::MatrixXd& a) {
  petsc::MatHandle mat;
  ESPALIER_CALL(MatCreateSeqAIJ(PETSC_COMM_SELF, static_cast<PetscInt>(a.rows()), static_cast<PetscInt>(a.cols()),
                                static_cast<PetscInt>(a.cols()), nullptr, mat.out()));
  fill(mat.get(), a);
  return mat;
}

petsc::MatHandle dense(const Eigen::MatrixXd& a) {
  petsc::MatHandle mat;
  ESPALIER_CALL(MatCreateSeqDense(PETSC_COMM_SELF, static_cast<PetscInt>(a.rows()), static_cast<PetscInt>(a.cols()),
                                  nullptr, mat.out()));
  fill(mat.get(), a);
  return mat;
}

Eigen::MatrixXd columns(const Numbers& numbers) {
  return Eigen::Map<const Eigen::MatrixXd>(numbers.data(), dof, static_cast<Eigen::Index>(numbers.size()) / dof);
}

double error(Vec result, const Eigen::MatrixXd& expected) {
  const Numbers numbers(expected.data(), expected.data() + expected.size());
  const double scale = std::max(1.0, testing::distance(numbers, Numbers(numbers.size(), 0)));
  return testing::distance(entries_of(result), numbers) / scale;
}

void check_products(LinearTerm& term, const Eigen::MatrixXd& a, std::size_t samples) {
  const Numbers numbers = some_numbers(samples * dof, 1);
  const auto u = vector_of(numbers);
  const auto y = unwritten_like(u.get());
  term.apply(0.5, u.get(), y.get());
  BOOST_TEST(error(y.get(), a * columns(numbers)) <= 1e-12);
  const auto linearization = term.linearize(0.5, u.get());
  ESPALIER_CALL(VecSet(y.get(), std::nan("")));
  linearization->jvp(u.get(), y.get());
  BOOST_TEST(error(y.get(), a * columns(numbers)) <= 1e-12);
  ESPALIER_CALL(VecSet(y.get(), std::nan("")));
  linearization->vjp(u.get(), y.get());
  BOOST_TEST(error(y.get(), a.transpose() * columns(numbers)) <= 1e-12);
}

// Columns without entries are more than Eigen's triangular solves take.
Eigen::MatrixXd exact(const Eigen::MatrixXd& matrix, const Eigen::MatrixXd& right) {
  return right.size() == 0 ? right : Eigen::MatrixXd(matrix.householderQr().solve(right));
}

void check_solves(LinearTerm& term, const Eigen::MatrixXd& a, double shift, std::size_t samples) {
  const Numbers numbers = some_numbers(samples * dof, 2);
  const auto b = vector_of(numbers);
  const auto x = unwritten_like(b.get());
  Eigen::MatrixXd shifted = -a;
  shifted.diagonal().array() += shift;
  term.solve(shift, b.get(), x.get(), false);
  const Eigen::MatrixXd right = columns(numbers);
  BOOST_TEST(error(x.get(), exact(shifted, right)) <= 1e-12);
  term.solve(shift, b.get(), x.get(), true);
  BOOST_TEST(error(x.get(), exact(shifted.transpose(), right)) <= 1e-12);
  BOOST_TEST(entries_of(b.get()) == numbers);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_linear_term, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(products_equal_dense_algebra, *utf::label("gradient")) {
  for (const auto solver : solvers)
    for (const bool from_dense : {false, true}) {
      const auto matrix = from_dense ? dense(example()) : sparse(example());
      LinearTerm term(matrix.get(), solver);
      for (const std::size_t samples : {1, 4, 2, 0, 4, 4, 1}) check_products(term, example(), samples);
      BOOST_TEST(term.dof() == dof);
      BOOST_TEST((term.solver() == solver));
      BOOST_TEST(term.factorisations() == 0);
    }
}

BOOST_AUTO_TEST_CASE(solves_equal_dense_algebra, *utf::label("gradient")) {
  for (const auto solver : direct_solvers) {
    for (const bool from_dense : {false, true}) {
      const auto matrix = from_dense ? dense(example()) : sparse(example());
      LinearTerm term(matrix.get(), solver);
      for (const std::size_t samples : {3, 1, 0, 5, 3})
        for (const double shift : {10.0, 0.5}) check_solves(term, example(), shift, samples);
      for (const std::size_t samples : {2, 4}) {  // products and solves share work space
        check_products(term, example(), samples);
        check_solves(term, example(), 10.0, samples);
      }
      BOOST_TEST(term.factorisations() == 2);
    }
  }
}

BOOST_AUTO_TEST_CASE(equal_shifts_share_a_factorisation) {
  for (const auto solver : direct_solvers) {
    const auto matrix = sparse(example());
    LinearTerm term(matrix.get(), solver);
    const double shift = 1 / (0.1 * 0.7);
    check_solves(term, example(), shift, 2);
    BOOST_TEST(term.factorisations() == 1);
    check_solves(term, example(), std::nextafter(shift, 100.0), 2);
    check_solves(term, example(), shift * (1 - 4e-16), 2);
    check_solves(term, example(), shift * (1 + 2e-14), 2);
    BOOST_TEST(term.factorisations() == 1);
    check_solves(term, example(), shift * (1 + 1e-9), 2);
    BOOST_TEST(term.factorisations() == 2);
    check_solves(term, example(), shift, 2);
    BOOST_TEST(term.factorisations() == 2);
  }
}

BOOST_AUTO_TEST_CASE(a_changed_matrix_is_factorised_anew, *utf::label("gradient")) {
  for (const auto solver : direct_solvers) {
    const auto matrix = sparse(example());
    LinearTerm term(matrix.get(), solver);
    check_solves(term, example(), 10, 3);
    check_products(term, example(), 3);
    fill(matrix.get(), example(1.5));
    term.mark_changed();
    check_solves(term, example(1.5), 10, 3);
    check_products(term, example(1.5), 3);
    BOOST_TEST(term.factorisations() == 2);
  }
}

BOOST_AUTO_TEST_CASE(many_shifts_push_out_the_oldest) {
  const auto matrix = sparse(example());
  LinearTerm term(matrix.get(), LinearSolver::lu_dense);
  for (int k = 1; k <= 20; ++k) check_solves(term, example(), 5.0 * k, 1);
  BOOST_TEST(term.factorisations() == 20);
  check_solves(term, example(), 5.0 * 20, 1);
  BOOST_TEST(term.factorisations() == 20);
  check_solves(term, example(), 5.0, 1);
  BOOST_TEST(term.factorisations() == 21);
}

BOOST_AUTO_TEST_CASE(a_singular_shift_is_a_numerical_error_and_not_kept) {
  for (const auto solver : direct_solvers) {
    Eigen::MatrixXd triangular = Eigen::MatrixXd::Zero(dof, dof);
    for (PetscInt i = 0; i < dof; ++i) triangular(i, i) = static_cast<double>(i + 1);
    triangular(0, 3) = 2;
    const auto matrix = sparse(triangular);
    LinearTerm term(matrix.get(), solver);
    const auto b = vector_of(some_numbers(2 * dof, 1));
    const auto x = unwritten_like(b.get());
    for (int repetition = 0; repetition < 2; ++repetition)
      BOOST_CHECK_EXCEPTION(term.solve(3.0, b.get(), x.get(), false), NumericalError, mentions("singular", "3"));
    check_solves(term, triangular, 3.5, 2);
  }
}

BOOST_AUTO_TEST_CASE(sizes_that_do_not_fit_are_the_users_errors) {
  const auto matrix = sparse(example());
  LinearTerm term(matrix.get(), LinearSolver::lu_dense);
  const auto wrong = vector_of(Numbers(dof + 1, 1.0));
  const auto one = vector_of(Numbers(dof, 1.0));
  const auto two = vector_of(Numbers(2 * dof, 1.0));
  const auto y = unwritten_like(wrong.get());
  BOOST_CHECK_EXCEPTION(term.apply(0, wrong.get(), y.get()), UserError, mentions("7", "6"));
  BOOST_CHECK_THROW(term.solve(1, wrong.get(), y.get(), false), UserError);
  BOOST_CHECK_THROW(term.apply(0, two.get(), one.get()), UserError);
  BOOST_CHECK_THROW(term.apply(0, one.get(), two.get()), UserError);
  BOOST_CHECK_THROW(term.solve(10, two.get(), one.get(), false), UserError);
  check_products(term, example(), 2);
  check_solves(term, example(), 10, 2);

  const auto oblong = dense(Eigen::MatrixXd::Ones(2, 3));
  BOOST_CHECK_EXCEPTION(LinearTerm(oblong.get(), LinearSolver::lu_dense), UserError, mentions("square"));
}

BOOST_AUTO_TEST_CASE(a_distributed_matrix_is_refused, *utf::label("np2")) {
  const int size = testing::size_of();
  if (size == 1) return;
  petsc::MatHandle matrix;
  ESPALIER_CALL(MatCreateAIJ(PETSC_COMM_WORLD, 1, 1, 2, 2, 1, nullptr, 0, nullptr, matrix.out()));
  BOOST_CHECK_EXCEPTION(LinearTerm(matrix.get(), LinearSolver::krylov), UserError, mentions("PETSC_COMM_SELF"));
}

BOOST_AUTO_TEST_CASE(ranks_work_on_their_own_samples, *utf::label("np2")) {
  const int rank = testing::rank_of();
  const auto matrix = sparse(example());
  LinearTerm term(matrix.get(), LinearSolver::lu_sparse);
  const Numbers numbers = some_numbers(rank == 0 ? 3 * dof : 0, 1);
  const auto u = vector_of(numbers, PETSC_COMM_WORLD);
  const auto y = unwritten_like(u.get());
  term.apply(0, u.get(), y.get());
  BOOST_TEST(error(y.get(), example() * columns(numbers)) <= 1e-12);
  BOOST_TEST(model::dot_product_error(term, 0, u.get(), 1) < 1e-14);
  term.solve(10, u.get(), y.get(), false);
}

BOOST_AUTO_TEST_CASE(without_factorisation_there_is_no_direct_solve) {
  const auto matrix = sparse(example());
  LinearTerm term(matrix.get(), LinearSolver::krylov);
  const auto b = vector_of(Numbers(dof, 1.0));
  const auto x = unwritten_like(b.get());
  BOOST_CHECK_THROW(term.solve(1, b.get(), x.get(), false), InternalError);
}

BOOST_AUTO_TEST_CASE(the_term_shares_the_matrix) {
  auto matrix = sparse(example());
  LinearTerm term(matrix.get(), LinearSolver::lu_dense);
  matrix.reset();
  check_products(term, example(), 2);
  BOOST_TEST(model::linear_solver_names() ==
             (std::vector<std::string>{"lu_dense", "lu_sparse", "krylov", "lu_inverse"}));
}

BOOST_AUTO_TEST_SUITE_END()
