// A nonlinear term on rings that are spread over the ranks, and its implicit equations solved and differentiated
// densely.
#pragma once

#include <mpi.h>
#include <petscmat.h>
#include <torch/types.h>

#include <Eigen/Dense>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/implicit/residual.hpp"
#include "espalier/model/term.hpp"
#include "espalier/petsc/handle.hpp"
#include "model/vectors.hpp"

namespace ring {

using namespace espalier;
using testing::message_of;
using testing::rank_of;
using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

constexpr int points = 9;
constexpr int parameter_count = 4;

/// Numbers in [-1, 1] that look irregular, [rows, columns].
inline Matrix some_matrix(int rows, int columns, int seed) {
  const auto numbers = testing::some_numbers(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns), seed);
  return Eigen::Map<const Matrix>(numbers.data(), rows, columns);
}

/// Samples [points, samples] on every rank, and this rank's part of them as a Vec: its points of the first sample, of
/// the second, ...
struct Layout {
  explicit Layout(int number_of_samples) : samples(number_of_samples) {
    ranks = testing::size_of(comm);
    first = begin_of(rank_of(comm));
    count = begin_of(rank_of(comm) + 1) - first;
  }
  int begin_of(int rank) const { return points * rank / ranks; }

  petsc::VecHandle create() const {
    petsc::VecHandle vec;
    ESPALIER_CALL(VecCreateMPI(comm, samples * count, PETSC_DETERMINE, vec.out()));
    return vec;
  }
  void scatter(const Matrix& all, Vec vec) const {
    PetscScalar* array = nullptr;
    ESPALIER_CALL(VecGetArrayWrite(vec, &array));
    Eigen::Map<Matrix>(array, count, samples) = all.middleRows(first, count);
    ESPALIER_CALL(VecRestoreArrayWrite(vec, &array));
  }
  petsc::VecHandle vec_of(const Matrix& all) const {
    auto vec = create();
    scatter(all, vec.get());
    return vec;
  }
  Matrix gather(Vec vec) const {
    const auto mine = testing::entries_of(vec);
    Matrix all = Matrix::Zero(points, samples);
    all.middleRows(first, count) = Eigen::Map<const Matrix>(mine.data(), count, samples);
    MPI_Allreduce(MPI_IN_PLACE, all.data(), static_cast<int>(all.size()), MPI_DOUBLE, MPI_SUM, comm);
    return all;
  }

  MPI_Comm comm = PETSC_COMM_WORLD;
  int samples;
  int ranks = 1;
  int first = 0;
  int count = 0;
};

enum class Kind {
  nonlinear,  ///< f_i = -a u_i - b u_i^3 + c sin(u_(i+1)) + d
  frozen,     ///< the same, whose derivative is said to be -a - b u_i^2 and c: Picard's
  linear      ///< f_i = -a u_i + b u_(i-1) + c u_(i+1) + d
};

/// f and its derivatives for one sample, theta = (a, b, c, d).
struct Dense {
  Kind kind;
  Vector theta;

  static int next(int i) { return (i + 1) % points; }
  static int before(int i) { return (i + points - 1) % points; }

  Vector f(const Vector& u) const { return f_theta(u) * theta; }
  Matrix f_theta(const Vector& u) const {
    Matrix d(points, parameter_count);
    for (int i = 0; i < points; ++i) {
      const double middle = kind == Kind::linear ? u(before(i)) : -u(i) * u(i) * u(i);
      const double other = kind == Kind::linear ? u(next(i)) : std::sin(u(next(i)));
      d.row(i) << -u(i), middle, other, 1;
    }
    return d;
  }
  Matrix jacobian(const Vector& u) const {
    Matrix j = Matrix::Zero(points, points);
    for (int i = 0; i < points; ++i) {
      j(i, i) -= theta(0);
      if (kind == Kind::linear) {
        j(i, before(i)) += theta(1);
        j(i, next(i)) += theta(2);
        continue;
      }
      j(i, i) -= (kind == Kind::frozen ? 1 : 3) * theta(1) * u(i) * u(i);
      j(i, next(i)) += theta(2) * (kind == Kind::frozen ? 1 : std::cos(u(next(i))));
    }
    return j;
  }
};

/// What may go wrong on one rank.
enum class Fault { none, apply, linearize, jvp, vjp };

/// The term, by the dense formulas on every rank.
class Term : public model::Term {
 public:
  Term(const Layout& layout, Kind kind, std::shared_ptr<nn::FlatParameters> theta)
      : layout_(layout), kind_(kind), theta_(std::move(theta)) {}

  static std::shared_ptr<nn::FlatParameters> initial() {
    return std::make_shared<nn::FlatParameters>(
        std::vector<at::Tensor>{torch::tensor({1.1, 0.4, 0.6, 0.3}, torch::kDouble).requires_grad_(true)});
  }
  Dense dense() const {
    return {kind_, Eigen::Map<const Vector>(theta_->values().data_ptr<double>(), parameter_count)};
  }

  void apply(double /*t*/, Vec u, Vec y) override {
    const Matrix all = layout_.gather(u);
    fail_if(Fault::apply);
    Matrix f(all.rows(), all.cols());
    for (int s = 0; s < layout_.samples; ++s) f.col(s) = dense().f(all.col(s));
    layout_.scatter(f, y);
  }
  std::shared_ptr<model::Linearization> linearize(double /*t*/, Vec u) override {
    const Matrix all = layout_.gather(u);
    fail_if(Fault::linearize);
    return std::make_shared<Products>(*this, all);
  }
  std::vector<nn::FlatParameters*> parameters() override { return {theta_.get()}; }
  void finish_adjoint() override { ++finished; }

  Fault fault = Fault::none;
  int finished = 0;

 private:
  void fail_if(Fault what) const {
    if (fault == what && rank_of(layout_.comm) == layout_.ranks - 1)
      throw UserError("a fault of the last rank", __FILE__, __LINE__);
  }

  class Products : public model::Linearization {
   public:
    Products(Term& term, Matrix u) : term_(&term), u_(std::move(u)) {}
    void jvp(Vec v, Vec y) override {
      Matrix all = term_->layout_.gather(v);
      term_->fail_if(Fault::jvp);
      for (int s = 0; s < all.cols(); ++s) all.col(s) = (jacobian(s) * all.col(s)).eval();
      term_->layout_.scatter(all, y);
    }
    void vjp(Vec w, Vec u_bar) override {
      w_ = term_->layout_.gather(w);
      term_->fail_if(Fault::vjp);
      Matrix all = w_;
      for (int s = 0; s < all.cols(); ++s) all.col(s) = jacobian(s).transpose() * w_.col(s);
      term_->layout_.scatter(all, u_bar);
    }
    // Of this rank's rows.
    void accumulate(double alpha) override {
      Eigen::Map<Vector> bar(term_->theta_->gradient().data_ptr<double>(), parameter_count);
      const int first = term_->layout_.first;
      const int count = term_->layout_.count;
      for (int s = 0; s < u_.cols(); ++s)
        bar += alpha * term_->dense().f_theta(u_.col(s)).middleRows(first, count).transpose() *
               w_.col(s).segment(first, count);
    }
    std::int64_t matrices() const override { return term_->kind_ == Kind::linear ? 1 : term_->layout_.samples; }
    petsc::MatHandle create_matrix() const override {
      petsc::MatHandle mat;
      const int count = term_->layout_.count;
      ESPALIER_CALL(MatCreateAIJ(term_->layout_.comm, count, count, points, points, 3, nullptr, 3, nullptr, mat.out()));
      insert(0, 0, mat.get());
      return mat;
    }
    void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override {
      insert(static_cast<int>(k), scale, matrix);
    }

   private:
    Matrix jacobian(int s) const { return term_->dense().jacobian(u_.col(s)); }
    void insert(int s, double scale, Mat mat) const {
      const Matrix j = jacobian(s);
      for (int i = term_->layout_.first; i < term_->layout_.first + term_->layout_.count; ++i)
        for (const int column : {Dense::before(i), i, Dense::next(i)})
          ESPALIER_CALL(MatSetValue(mat, i, column, scale * j(i, column), ADD_VALUES));
      ESPALIER_CALL(MatAssemblyBegin(mat, MAT_FINAL_ASSEMBLY));
      ESPALIER_CALL(MatAssemblyEnd(mat, MAT_FINAL_ASSEMBLY));
    }
    Term* term_;
    Matrix u_;
    Matrix w_;
  };

  Layout layout_;
  Kind kind_;
  std::shared_ptr<nn::FlatParameters> theta_;
};

/// F = a x + b y + c f(y) + d f(x) of one sample, as all adapters are.
struct Equation {
  double a, b, c, d;
  Dense term;

  Vector f(const Vector& x, const Vector& y) const { return a * x + b * y + c * term.f(y) + d * term.f(x); }
  Matrix f_x(const Vector& x) const { return a * Matrix::Identity(points, points) + d * term.jacobian(x); }
  Matrix f_y(const Vector& y) const { return b * Matrix::Identity(points, points) + c * term.jacobian(y); }
  Matrix f_theta(const Vector& x, const Vector& y) const { return c * term.f_theta(y) + d * term.f_theta(x); }

  Vector solve(const Vector& y) const {
    Vector x = y;
    for (int i = 0; i < 30; ++i) x -= f_x(x).partialPivLu().solve(f(x, y));
    return x;
  }
  /// [dx/dy, dx/dtheta] at the solution x.
  Matrix derivative(const Vector& x, const Vector& y) const {
    Matrix right(points, points + parameter_count);
    right << f_y(y), f_theta(x, y);
    return -f_x(x).partialPivLu().solve(right);
  }
  /// x and [dx/dy, dx/dtheta] of sweeps x <- x - W F from y, carried forward.
  Matrix unrolled(Vector& x, const Vector& y, int iterations, const Vector& w) const {
    Matrix dx = Matrix::Zero(points, points + parameter_count);
    dx.leftCols(points).setIdentity();
    x = y;
    for (int k = 0; k < iterations; ++k) {
      Matrix df(points, points + parameter_count);
      df << f_y(y), f_theta(x, y);
      df += f_x(x) * dx;
      x -= w.cwiseProduct(f(x, y));
      dx -= w.asDiagonal() * df;
    }
    return dx;
  }
};

inline double relative(const Matrix& a, const Matrix& b) { return (a - b).norm() / b.norm(); }

/// The sum over ranks of the gradient.
inline Vector theta_bar_of(const nn::FlatParameters& parameters) {
  Vector bar = Eigen::Map<const Vector>(parameters.gradient().data_ptr<double>(), parameters.count());
  MPI_Allreduce(MPI_IN_PLACE, bar.data(), static_cast<int>(bar.size()), MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
  return bar;
}

}  // namespace ring
