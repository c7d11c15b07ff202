// Unrolled steepest descent against torch's derivative of the algorithm as it is written.
#include "espalier/implicit/descent_solve.hpp"

#include "core/scoped_options.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/model/gradient_check.hpp"
#include "implicit/ring.hpp"

using namespace ring;
using implicit::DescentSolve;
using testing::ScopedOptions;
namespace utf = boost::unit_test;

namespace {

/// F_i = (2 + a y_i^2) x_i + c sin(y_(i+1)) x_(i+1) - y_i - e y_i^3 on rings, theta = (a, c, e): an operator that is
/// not symmetric and depends on y and theta, as does the right-hand side.
class RingEquation : public implicit::Residual {
 public:
  explicit RingEquation(const Layout& layout)
      : layout_(layout),
        theta_(std::make_shared<nn::FlatParameters>(
            std::vector<at::Tensor>{torch::tensor({0.7, 0.6, 0.4}, torch::kDouble).requires_grad_(true)})) {}

  void apply(Vec x, Vec y, Vec f) override {
    const Matrix xs = layout_.gather(x);
    const Matrix ys = layout_.gather(y);
    layout_.scatter(multiply(ys, xs) - ys - e() * ys.array().cube().matrix(), f);
  }
  std::shared_ptr<implicit::ResidualLinearization> linearize(Vec x, Vec y) override {
    return std::make_shared<Products>(*this, layout_.gather(x), layout_.gather(y));
  }
  std::vector<nn::FlatParameters*> parameters() override { return {theta_.get()}; }
  nn::FlatParameters& theta() { return *theta_; }

 private:
  double coefficient(int k) const { return theta_->values().data_ptr<double>()[k]; }
  double a() const { return coefficient(0); }
  double c() const { return coefficient(1); }
  double e() const { return coefficient(2); }

  static Matrix next(const Matrix& u) {
    Matrix shifted = u;
    for (int i = 0; i < points; ++i) shifted.row(i) = u.row(Dense::next(i));
    return shifted;
  }
  static Matrix before(const Matrix& u) {
    Matrix shifted = u;
    for (int i = 0; i < points; ++i) shifted.row(i) = u.row(Dense::before(i));
    return shifted;
  }
  Matrix diagonal(const Matrix& y) const { return (2 + a() * y.array().square()).matrix(); }
  Matrix multiply(const Matrix& y, const Matrix& v) const {
    return diagonal(y).cwiseProduct(v) + c() * next(y.array().sin().matrix().cwiseProduct(v));
  }

  class Products : public implicit::ResidualLinearization {
   public:
    Products(RingEquation& equation, Matrix x, Matrix y) : of_(equation), x_(std::move(x)), y_(std::move(y)) {}
    void jvp(Vec v, Vec f_tan) override { of_.layout_.scatter(of_.multiply(y_, of_.layout_.gather(v)), f_tan); }
    void vjp(Vec w, Vec x_bar) override {
      w_ = of_.layout_.gather(w);
      const Matrix sine = y_.array().sin().matrix();
      of_.layout_.scatter(of_.diagonal(y_).cwiseProduct(w_) + of_.c() * sine.cwiseProduct(before(w_)), x_bar);
    }
    void vjp_data(Vec w, Vec y_bar) override {
      const Matrix all = of_.layout_.gather(w);
      const Matrix shifted = before(all);
      const auto y = y_.array();
      const Matrix bar = (2 * of_.a() * y * x_.array() - 1 - 3 * of_.e() * y.square()) * all.array() +
                         of_.c() * y.cos() * x_.array() * shifted.array();
      of_.layout_.scatter(bar, y_bar);
    }
    // Of this rank's rows.
    void accumulate(double alpha) override {
      const int first = of_.layout_.first;
      const int count = of_.layout_.count;
      const auto part = [&](const Matrix& f_theta) { return f_theta.cwiseProduct(w_).middleRows(first, count).sum(); };
      double* bar = of_.theta_->gradient().data_ptr<double>();
      bar[0] += alpha * part(y_.cwiseProduct(y_).cwiseProduct(x_));
      bar[1] += alpha * part(next(y_.array().sin().matrix().cwiseProduct(x_)));
      bar[2] -= alpha * part(y_.array().cube().matrix());
    }

   private:
    RingEquation& of_;
    Matrix x_;
    Matrix y_;
    Matrix w_;
  };

  Layout layout_;
  std::shared_ptr<nn::FlatParameters> theta_;
};

// [samples, points], of all ranks.
at::Tensor tensor_of(const Matrix& all) {
  return torch::from_blob(const_cast<double*>(all.data()), {all.cols(), all.rows()}, torch::kDouble).clone();
}

Matrix matrix_of(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  return Eigen::Map<const Matrix>(whole.data_ptr<double>(), whole.size(1), whole.size(0));
}

at::Tensor reference(const at::Tensor& y, const at::Tensor& theta, long steps) {
  const auto multiply = [&](const at::Tensor& v) {
    return (2 + theta[0] * y.pow(2)) * v + theta[1] * (y.sin() * v).roll(-1, 1);
  };
  at::Tensor x = torch::zeros_like(y);
  at::Tensor r = y + theta[2] * y.pow(3);
  for (long k = 0; k < steps; ++k) {
    const at::Tensor q = multiply(r);
    const at::Tensor alpha = (r * r).sum(1, true) / (r * q).sum(1, true);
    x = x + alpha * r;
    r = r - alpha * q;
  }
  return x;
}

struct Result {
  Matrix x;
  Matrix y_bar;
  Vector theta_bar;
};

struct Problem {
  explicit Problem(int samples)
      : layout(samples), equation(std::make_shared<RingEquation>(layout)), like(layout.create()) {}
  Result run(implicit::DifferentiableSolve& solver, const Matrix& y, const Matrix& x_bar) {
    const auto x = layout.create();
    const auto y_bar = layout.create();
    equation->theta().zero_gradient();
    solver.set_samples(layout.samples);
    solver.solve(layout.vec_of(y).get(), x.get());
    solver.adjoint(layout.vec_of(x_bar).get(), y_bar.get());
    return {layout.gather(x.get()), layout.gather(y_bar.get()), theta_bar_of(equation->theta())};
  }

  Layout layout;
  std::shared_ptr<RingEquation> equation;
  petsc::VecHandle like;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_descent_solve, *utf::label("gradient") * utf::label("implicit") * utf::label("prdp"))

BOOST_AUTO_TEST_CASE(equals_torchs_derivative_of_the_steps,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const torch::AutoGradMode with_grad(true);
  for (const int samples : {1, 3}) {
    Problem problem(samples);
    DescentSolve solver(problem.equation, problem.like.get(), 1);
    Matrix y = some_matrix(points, samples, 1);
    y.col(0) *= 1.5;
    const Matrix x_bar = some_matrix(points, samples, 2);
    for (const long steps : {1, 2, 6}) {
      solver.set_effort({steps}, {});
      const Result ours = problem.run(solver, y, x_bar);
      const at::Tensor leaf = tensor_of(y).requires_grad_(true);
      const at::Tensor theta = problem.equation->theta().values().detach().clone().requires_grad_(true);
      const at::Tensor x = reference(leaf, theta, steps);
      (x * tensor_of(x_bar)).sum().backward();
      BOOST_TEST_CONTEXT(samples << " samples, " << steps << " steps") {
        BOOST_TEST(relative(ours.x, matrix_of(x.detach())) <= 1e-13);
        BOOST_TEST(relative(ours.y_bar, matrix_of(leaf.grad())) <= 1e-12);
        BOOST_TEST(relative(ours.theta_bar, matrix_of(theta.grad().unsqueeze(0))) <= 1e-12);
      }
    }
    BOOST_TEST(solver.iterations_forward() == 9);
  }
}

BOOST_AUTO_TEST_CASE(remainders_fall_quadratically, *utf::label("np1") * utf::label("np2")) {
  Problem problem(2);
  DescentSolve solver(problem.equation, problem.like.get(), 3);
  const Matrix y = some_matrix(points, 2, 1);
  const Matrix x_bar = some_matrix(points, 2, 2);
  const Matrix y_tan = some_matrix(points, 2, 3);
  const Vector theta_tan = some_matrix(3, 1, 4);
  const Result ours = problem.run(solver, y, x_bar);
  Eigen::Map<Vector> theta(problem.equation->theta().values().data_ptr<double>(), 3);
  const Vector start = theta;
  const auto value = [&](double h) {
    theta = start + h * theta_tan;
    problem.equation->theta().mark_changed();
    const auto x = problem.layout.create();
    solver.solve(problem.layout.vec_of(y + h * y_tan).get(), x.get(), implicit::Record::no);
    return problem.layout.gather(x.get()).cwiseProduct(x_bar).sum();
  };
  const double derivative = ours.y_bar.cwiseProduct(y_tan).sum() + ours.theta_bar.dot(theta_tan);
  BOOST_TEST(std::abs(model::taylor_test(value, derivative, 1e-2).slope() - 2) <= 0.1);
}

BOOST_AUTO_TEST_CASE(takes_the_steps_of_the_krylov_method_and_leaves_zeros_alone,
                     *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-s_ksp_type espalier_steepest");
  Problem problem(3);
  DescentSolve solver(problem.equation, problem.like.get(), 4);
  implicit::LinearSolve krylov(problem.equation, problem.like.get(), "s_");
  krylov.set_effort({4}, {});
  Matrix y = some_matrix(points, 3, 1);
  y.col(1).setZero();
  const Matrix x_bar = some_matrix(points, 3, 2);
  const Result ours = problem.run(solver, y, x_bar);
  BOOST_TEST(relative(ours.x, problem.run(krylov, y, x_bar).x) <= 1e-13);
  BOOST_TEST(ours.x.col(1).isZero(0));
  BOOST_TEST(ours.y_bar.allFinite());
  // The other samples as without it.
  Problem rest(2);
  DescentSolve without(rest.equation, rest.like.get(), 4);
  Matrix two(points, 2);
  Matrix two_bar(points, 2);
  two << y.col(0), y.col(2);
  two_bar << x_bar.col(0), x_bar.col(2);
  const Result expected = rest.run(without, two, two_bar);
  BOOST_TEST(relative(ours.y_bar.col(2), expected.y_bar.col(1)) <= 1e-13);
  BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= 1e-13);
}

BOOST_AUTO_TEST_CASE(a_chain_as_nodes_of_torchs_graph) {
  const torch::AutoGradMode with_grad(true);
  Problem problem(2);
  DescentSolve solver(problem.equation, problem.like.get(), 3);
  solver.set_samples(2);
  const at::Tensor start = tensor_of(some_matrix(points, 2, 1));
  const at::Tensor y = start.clone().requires_grad_(true);
  problem.equation->theta().zero_gradient();
  implicit::descent_solve(solver, implicit::descent_solve(solver, y).sin()).pow(2).sum().backward();
  const at::Tensor leaf = start.clone().requires_grad_(true);
  const at::Tensor theta = problem.equation->theta().values().detach().clone().requires_grad_(true);
  reference(reference(leaf, theta, 3).sin(), theta, 3).pow(2).sum().backward();
  BOOST_TEST((y.grad() - leaf.grad()).norm().item<double>() <= 1e-12 * leaf.grad().norm().item<double>());
  const at::Tensor ours = problem.equation->theta().gradient();
  BOOST_TEST((ours - theta.grad()).norm().item<double>() <= 1e-12 * theta.grad().norm().item<double>());
}

BOOST_AUTO_TEST_CASE(failures_and_refusals, *utf::label("np1") * utf::label("np2")) {
  Problem problem(2);
  DescentSolve solver(problem.equation, problem.like.get(), 2);
  const Matrix y = some_matrix(points, 2, 1);
  Matrix broken = y;
  broken(points - 1, 1) = std::nan("");
  BOOST_TEST(message_of<NumericalError>([&] { problem.run(solver, broken, y); }).find("not finite") !=
             std::string::npos);
  BOOST_TEST(message_of<NumericalError>([&] { problem.run(solver, y, broken); }).find("not finite") !=
             std::string::npos);
  BOOST_CHECK_THROW(solver.set_iterations(0), UserError);
  BOOST_CHECK_THROW(solver.set_effort({3, 1e-3}, {}), UserError);
  const auto term = std::make_shared<Term>(problem.layout, Kind::nonlinear, Term::initial());
  DescentSolve curved(std::make_shared<implicit::LinearSystem>(term), problem.like.get(), 2);
  const auto x = problem.layout.create();
  BOOST_TEST(message_of<UserError>([&] {
               curved.solve(problem.layout.vec_of(y).get(), x.get());
             }).find("not linear in x") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
