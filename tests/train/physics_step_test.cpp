#include "espalier/train/physics_step.hpp"

#include <torch/autograd.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/implicit/sample_krylov.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/train/batches.hpp"

using namespace espalier;
using train::PhysicsStep;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t points = 9;
constexpr double nu_dt = 0.02;
constexpr std::int64_t samples = 5;

std::shared_ptr<const grid::CellGrid> line() {
  return std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{grid::point_axis(points)});
}

/// Backward Euler for the heat equation, by Jacobi or another method.
PhysicsStep heat(const std::shared_ptr<const grid::CellGrid>& grid, KSPType ksp = KSPRICHARDSON, PCType pc = PCJACOBI) {
  return PhysicsStep(grid, 1, [=](Vec like, std::int64_t) {
    model::FiniteVolumeSettings settings;
    settings.advection = model::Advection::none;
    settings.velocity = {0};
    settings.diffusivity = nu_dt;
    const auto term = std::make_shared<model::FiniteVolumeTerm>(grid, settings);
    return train::with_default_solver(
        std::make_unique<implicit::LinearSolve>(std::make_shared<implicit::ThetaStep>(term, 1.0, 1.0), like, "test_"),
        ksp, pc);
  });
}

// A = I - nu dt L, dense.
at::Tensor matrix() {
  const double a = nu_dt * (points + 1) * (points + 1);
  return at::eye(points, at::kDouble) * (1 + 2 * a) - a * at::diag(at::ones({points - 1}, at::kDouble), 1) -
         a * at::diag(at::ones({points - 1}, at::kDouble), -1);
}

// K sweeps from 0: x <- x + D^-1 (b - A x).
at::Tensor sweeps(const at::Tensor& b, long count) {
  const at::Tensor a = matrix();
  at::Tensor x = at::zeros_like(b);
  for (long k = 0; k < count; ++k) x = x + (b - at::matmul(x, a)) / a.diagonal();
  return x;
}

/// All samples, and those of this rank.
struct Samples {
  Samples() {
    const int rank = testing::rank_of();
    const int size = testing::size_of();
    const train::Range mine = train::rank_slice({0, samples}, rank, size);
    first = mine.first;
    count = mine.count;
    all = at::arange(samples * points, at::kDouble).mul(0.7).sin().view({samples, points});
  }
  at::Tensor own(const at::Tensor& whole) const { return whole.narrow(0, first, count); }
  std::int64_t first = 0;
  std::int64_t count = 0;
  at::Tensor all;
};

double largest(const at::Tensor& x) { return x.numel() == 0 ? 0 : x.abs().max().item<double>(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(train_physics_step,
                      *utf::label("prdp") * utf::label("np1") * utf::label("np2") * utf::label("np4"))

BOOST_AUTO_TEST_CASE(iterations_are_exactly_those_asked_for, *utf::label("gradient")) {
  const Samples s;
  PhysicsStep step = heat(line());
  for (const long k : {1L, 4L, 3L}) {
    step.set_effort({k, 0}, {k + 1, 0});
    const at::Tensor u = s.own(s.all).clone().requires_grad_(true);
    const at::Tensor x = step(u);
    BOOST_TEST(largest(x.detach() - s.own(sweeps(s.all, k))) <= 1e-13);
    // A is symmetric: the cotangent of u is K + 1 sweeps for that of x.
    const at::Tensor w = (s.all + 1).square();
    (x * s.own(w)).sum().backward();
    BOOST_TEST(largest(u.grad() - s.own(sweeps(w, k + 1))) <= 1e-12);
  }
  BOOST_TEST(step.counters().ksp_its_forward == 8);
  BOOST_TEST(step.counters().ksp_its_adjoint == 11);
}

// x <- x + (r.r / r.Ar) r in each sample: a batch is not one long system.
BOOST_AUTO_TEST_CASE(samples_have_steps_of_their_own, *utf::label("unit")) {
  const Samples s;
  PhysicsStep step = heat(line(), implicit::steepest_type, PCNONE);
  step.set_effort({3, 0}, {3, 0});
  const at::Tensor b = s.all * at::pow(10.0, at::arange(samples, at::kDouble)).unsqueeze(1);
  at::Tensor x = at::zeros_like(b);
  for (int k = 0; k < 3; ++k) {
    const at::Tensor r = b - at::matmul(x, matrix());
    x = x + r.square().sum(1, true) / (r * at::matmul(r, matrix())).sum(1, true) * r;
  }
  const torch::NoGradGuard no_graph;
  BOOST_TEST(largest((step(s.own(b)) - s.own(x)) / s.own(b).norm(2, 1, true)) <= 1e-13);
}

// Other numbers of samples, none on some ranks, get solvers of their own.
BOOST_AUTO_TEST_CASE(batches_of_any_size, *utf::label("unit")) {
  const Samples s;
  PhysicsStep step = heat(line());
  step.set_effort({2, 0}, {2, 0});
  const torch::NoGradGuard no_graph;
  for (const bool whole : {true, false, true}) {
    const at::Tensor mine = whole ? s.own(s.all) : s.all.narrow(0, 1, s.first == 0 ? 1 : 0);
    const at::Tensor expected = sweeps(mine, 2);
    BOOST_TEST(largest(step(mine) - expected) <= 1e-13);
  }
}

BOOST_AUTO_TEST_CASE(residuals_and_the_iterations_that_converge, *utf::label("unit")) {
  const Samples s;
  PhysicsStep step = heat(line());
  const at::Tensor x = sweeps(s.all, 3);
  const at::Tensor expected = ((s.all - at::matmul(x, matrix())).norm(2, 1) / s.all.norm(2, 1));
  BOOST_TEST(largest(step.relative_residuals(s.own(s.all), s.own(x)) - s.own(expected)) <= 1e-13);
  long k = 1;
  const auto mean = [&](long count) {
    return ((s.all - at::matmul(sweeps(s.all, count), matrix())).norm(2, 1) / s.all.norm(2, 1)).mean().item<double>();
  };
  while (!(mean(k) < 1e-3)) ++k;
  BOOST_TEST(k > 3);
  BOOST_TEST(train::iterations_to(step, s.own(s.all), 1e-3, 1000) == k);
  BOOST_CHECK_THROW(train::iterations_to(step, s.own(s.all), 1e-3, k - 1), NumericalError);
}

BOOST_AUTO_TEST_SUITE_END()
