// Linearised steps on periodic grids against dense matrices in torch, which differentiates them by itself.
#pragma once

#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/implicit/batch_matrix.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/model/gradient_check.hpp"
#include "model/vectors.hpp"

namespace periodic_step {

using namespace espalier;

inline at::Tensor numbers(at::IntArrayRef shape, int seed) {
  std::int64_t count = 1;
  for (const auto extent : shape) count *= extent;
  const auto all = testing::some_numbers(static_cast<std::size_t>(count), seed);
  return torch::tensor(at::ArrayRef<double>(all), torch::kDouble).view(shape);
}

/// (S u)_i = u_(i + distance) on a ring of n points.
inline at::Tensor shift(std::int64_t n, std::int64_t distance) {
  return at::roll(at::eye(n, at::kDouble), {-distance}, {0});
}
inline at::Tensor backward_difference(std::int64_t n, double h) { return (shift(n, 0) - shift(n, -1)) / h; }
inline at::Tensor forward_difference(std::int64_t n, double h) { return (shift(n, 1) - shift(n, 0)) / h; }
inline at::Tensor second_difference(std::int64_t n, double h) {
  return (shift(n, 1) - 2 * shift(n, 0) + shift(n, -1)) / (h * h);
}

inline double relative(const at::Tensor& a, const at::Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

inline double sum_over_ranks(double value) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
  return value;
}

/// A step F(x, y) = A(y) x - b(y). States [samples, fields, cells] in natural order on every rank; `matrix` is
/// A(y): [samples, unknowns, unknowns], `right` b(y): [samples, unknowns].
struct Problem {
  using Function = std::function<at::Tensor(const at::Tensor&)>;

  at::Tensor local(const at::Tensor& whole) const {
    return grid->part_of(whole.reshape({samples * fields, -1})).view({samples, fields, -1}).contiguous();
  }
  petsc::VecHandle vec(const at::Tensor& whole) const {
    const at::Tensor mine = local(whole);
    return testing::vector_of({mine.data_ptr<double>(), mine.data_ptr<double>() + mine.numel()}, grid->comm());
  }
  at::Tensor state(int seed) const { return numbers({samples, fields, grid->global_cells()}, seed); }
  /// |u - expected| / |expected| over all ranks.
  double error(Vec u, const at::Tensor& expected) const {
    const auto wanted = vec(expected);
    PetscReal norm = 0;
    PetscReal difference = 0;
    ESPALIER_CALL(VecNorm(wanted.get(), NORM_2, &norm));
    ESPALIER_CALL(VecAXPY(wanted.get(), -1.0, u));
    ESPALIER_CALL(VecNorm(wanted.get(), NORM_2, &difference));
    return difference / norm;
  }
  at::Tensor residual_of(const at::Tensor& x, const at::Tensor& y) const {
    return (matrix(y).matmul(x.reshape({samples, -1, 1})).squeeze(2) - right(y)).view(x.sizes());
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::int64_t samples;
  std::int64_t fields;
  std::shared_ptr<implicit::Residual> step;
  Function matrix;
  Function right;
};

/// F, F_x v, F_x^T w and F_y^T w are those of the dense equation, and transposed to each other.
inline void check_products(const Problem& problem) {
  const at::Tensor x = problem.state(1).requires_grad_(true);
  const at::Tensor y = problem.state(2).requires_grad_(true);
  const at::Tensor v = problem.state(3);
  const at::Tensor w = problem.state(4);
  at::Tensor f;
  {
    const torch::AutoGradMode with_grad(true);
    f = problem.residual_of(x, y);
    (f * w).sum().backward();
  }
  const torch::NoGradGuard no_grad;
  const auto vec_x = problem.vec(x);
  const auto vec_y = problem.vec(y);
  const auto vec_v = problem.vec(v);
  const auto vec_w = problem.vec(w);
  const auto jv = testing::unwritten_like(vec_x.get());
  const auto jtw = testing::unwritten_like(vec_x.get());
  const auto y_bar = testing::unwritten_like(vec_x.get());
  const auto value = testing::unwritten_like(vec_x.get());
  problem.step->apply(vec_x.get(), vec_y.get(), value.get());
  const auto products = problem.step->linearize(vec_x.get(), vec_y.get());
  products->jvp(vec_v.get(), jv.get());
  products->vjp(vec_w.get(), jtw.get());
  products->vjp_data(vec_w.get(), y_bar.get());
  const at::Tensor expected_jv = problem.matrix(y).matmul(v.view({problem.samples, -1, 1})).view(v.sizes());
  BOOST_TEST(problem.error(value.get(), f) <= 1e-13);
  BOOST_TEST(problem.error(jv.get(), expected_jv) <= 1e-13);
  BOOST_TEST(problem.error(jtw.get(), x.grad()) <= 1e-13);
  BOOST_TEST(problem.error(y_bar.get(), y.grad()) <= 1e-13);
  PetscScalar forward = 0;
  PetscScalar transposed = 0;
  ESPALIER_CALL(VecDot(vec_w.get(), jv.get(), &forward));
  ESPALIER_CALL(VecDot(jtw.get(), vec_v.get(), &transposed));
  BOOST_TEST(std::abs(forward - transposed) <= 1e-12 * std::abs(forward));
}

/// F is quadratic where no wind changes its sign: central differences along y are then F_y v but for rounding.
inline void check_data_product(const Problem& problem) {
  constexpr double e = 1e-3;
  const auto x = problem.vec(problem.state(1));
  const auto w = problem.vec(problem.state(4));
  const auto v = problem.vec(problem.state(3));
  const auto y = problem.vec(problem.state(2));
  const auto above = testing::unwritten_like(x.get());
  const auto below = testing::unwritten_like(x.get());
  const auto moved = problem.vec(problem.state(2) + e * problem.state(3));
  problem.step->apply(x.get(), moved.get(), above.get());
  ESPALIER_CALL(VecAXPY(moved.get(), -2 * e, v.get()));
  problem.step->apply(x.get(), moved.get(), below.get());
  ESPALIER_CALL(VecAXPY(above.get(), -1.0, below.get()));
  ESPALIER_CALL(VecScale(above.get(), 0.5 / e));
  const auto y_bar = testing::unwritten_like(x.get());
  problem.step->linearize(x.get(), y.get())->vjp_data(w.get(), y_bar.get());
  PetscScalar forward = 0;
  PetscScalar transposed = 0;
  ESPALIER_CALL(VecDot(w.get(), above.get(), &forward));
  ESPALIER_CALL(VecDot(y_bar.get(), v.get(), &transposed));
  BOOST_TEST(std::abs(forward - transposed) <= 1e-12 * std::abs(forward));
}

/// The matrices' products are the products, and each row has its diagonal entry.
inline void check_matrices(const Problem& problem) {
  const auto x = problem.vec(problem.state(1));
  const auto y = problem.vec(problem.state(2));
  const auto v = problem.vec(problem.state(3));
  const auto expected = testing::unwritten_like(x.get());
  const auto product = testing::unwritten_like(x.get());
  const auto products = problem.step->linearize(x.get(), y.get());
  implicit::BatchMatrix batch(x.get(), *products);
  for (int filled = 0; filled < 2; ++filled) batch.fill(*products);
  const auto difference = [&] {
    PetscReal norm = 0;
    ESPALIER_CALL(VecAXPY(product.get(), -1.0, expected.get()));
    ESPALIER_CALL(VecNorm(product.get(), NORM_INFINITY, &norm));
    return norm;
  };
  products->jvp(v.get(), expected.get());
  ESPALIER_CALL(MatMult(batch.mat(), v.get(), product.get()));
  BOOST_TEST(difference() <= 1e-13);
  products->vjp(v.get(), expected.get());
  ESPALIER_CALL(MatMultTranspose(batch.mat(), v.get(), product.get()));
  BOOST_TEST(difference() <= 1e-13);
  PetscBool missing = PETSC_TRUE;
  ESPALIER_CALL(MatMissingDiagonal(batch.mat(), &missing, nullptr));
  BOOST_TEST(missing == PETSC_FALSE);
  const petsc::MatHandle sample = products->create_matrix();
  PetscReal norm = 1;
  for (const double scale : {2.0, -0.5, -1.5}) products->add_to_matrix(problem.samples - 1, scale, sample.get());
  ESPALIER_CALL(MatNorm(sample.get(), NORM_FROBENIUS, &norm));
  BOOST_TEST(norm == 0);
}

/// Some steps with a torch function after each, forward and back, against dense solves. `solve` is the dense A^-1 b.
inline void check_chain(const Problem& problem, implicit::LinearSolve& solver,
                        const std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>& solve) {
  constexpr int steps = 3;
  const torch::AutoGradMode with_grad(true);
  const auto between = [](const at::Tensor& x) { return x + 0.1 * x.sin(); };
  const at::Tensor whole = problem.state(2).requires_grad_(true);
  at::Tensor expected = whole;
  for (int n = 0; n < steps; ++n)
    expected = between(solve(problem.matrix(expected), problem.right(expected)).view(expected.sizes()));
  const at::Tensor weights = problem.state(5);
  (expected * weights).sum().backward();

  const at::Tensor leaf = problem.local(whole.detach()).requires_grad_(true);
  at::Tensor x = leaf;
  for (int n = 0; n < steps; ++n) x = between(implicit::linear_solve(solver, x));
  (x * problem.local(weights)).sum().backward();
  BOOST_TEST(relative(x.detach(), problem.local(expected.detach())) <= 1e-10);
  BOOST_TEST(relative(leaf.grad(), problem.local(whole.grad())) <= 1e-10);

  const torch::NoGradGuard no_grad;
  const at::Tensor direction = problem.state(6);
  const double derivative = (whole.grad() * direction).sum().item<double>();
  const auto value = [&](double e) {
    at::Tensor u = problem.local(whole + e * direction);
    for (int n = 0; n < steps; ++n) u = between(implicit::linear_solve(solver, u));
    return sum_over_ranks((u * problem.local(weights)).sum().item<double>());
  };
  BOOST_TEST(model::taylor_test(value, derivative, 2e-3, 5).passed(0.1));
}

}  // namespace periodic_step
