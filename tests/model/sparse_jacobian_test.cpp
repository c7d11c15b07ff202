// Sparse Jacobians of terms on grids, and preconditioners for whole batches made of them.
#include "espalier/model/sparse_jacobian.hpp"

#include <boost/test/unit_test.hpp>

#include "espalier/model/finite_volume_term.hpp"
#include "espalier/model/grid_fields.hpp"
#include "espalier/model/shell_operators.hpp"
#include "model/sparse_products.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using testing::distance;
using testing::entries_of;
using testing::matrix_error;
using testing::Numbers;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;
namespace utf = boost::unit_test;

namespace {

constexpr PetscInt samples = 3;
constexpr double shift = 2;

/// Advection and diffusion in the plane, linear (samples share a matrix) or Burgers' (they do not).
struct Problem {
  explicit Problem(model::Advection advection) {
    grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD,
                                                  std::vector<grid::Axis>{{10, 0, 1, {}, {}}, {8, 0, 1, {}, {}}});
    const std::int64_t cells = grid->local_cells();
    fields = std::make_shared<model::GridFields>(std::vector<std::string>{"diffusivity"},
                                                 at::full({1, cells}, 0.2, at::kDouble));
    model::FiniteVolumeSettings settings;
    settings.advection = advection;
    settings.velocity = {1, 0.5};
    term = std::make_shared<model::FiniteVolumeTerm>(grid, settings, fields);
    u = vector_of(some_numbers(static_cast<std::size_t>(samples * cells), 1), PETSC_COMM_WORLD);
  }
  petsc::VecHandle vec(int seed) const {
    return vector_of(some_numbers(static_cast<std::size_t>(samples * grid->local_cells()), seed), PETSC_COMM_WORLD);
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::shared_ptr<model::GridFields> fields;
  std::shared_ptr<model::FiniteVolumeTerm> term;
  petsc::VecHandle u;
};

const model::Advection kinds[] = {model::Advection::linear, model::Advection::burgers};

/// Relative error of x = A^-1 b (or A^-T b) with A = shift I - J, and the iterations that took.
struct Solve {
  double error = 1;
  PetscInt iterations = 0;
};

Solve solve(const Problem& problem, model::SparseJacobian& sparse, const char* inner_pc, bool transpose) {
  const auto linearization = problem.term->linearize(0, problem.u.get());
  sparse.set(*linearization, shift, -1);
  model::JacobianOperator shell(problem.u.get());
  shell.set(linearization, shift, -1);
  petsc::register_samples_pc();
  petsc::KspHandle ksp;
  PC pc = nullptr;
  ESPALIER_CALL(KSPCreate(PETSC_COMM_WORLD, ksp.out()));
  ESPALIER_CALL(KSPSetOptionsPrefix(ksp.get(), "sparse_test_"));
  ESPALIER_CALL(PetscOptionsSetValue(nullptr, "-sparse_test_samples_pc_type", inner_pc));
  ESPALIER_CALL(KSPSetOperators(ksp.get(), shell.mat(), sparse.mat()));
  ESPALIER_CALL(KSPSetTolerances(ksp.get(), 1e-12, 1e-50, 1e5, 500));
  ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
  ESPALIER_CALL(PCSetType(pc, petsc::samples_pc_type));
  const petsc::VecHandle expected = problem.vec(5);
  const petsc::VecHandle b = unwritten_like(expected.get());
  const petsc::VecHandle x = unwritten_like(expected.get());
  ESPALIER_CALL(transpose ? MatMultTranspose(shell.mat(), expected.get(), b.get())
                          : MatMult(shell.mat(), expected.get(), b.get()));
  ESPALIER_CALL(transpose ? KSPSolveTranspose(ksp.get(), b.get(), x.get()) : KSPSolve(ksp.get(), b.get(), x.get()));
  Solve result;
  PetscReal norm = 0;
  PetscReal error = 0;
  ESPALIER_CALL(KSPGetIterationNumber(ksp.get(), &result.iterations));
  ESPALIER_CALL(VecNorm(expected.get(), NORM_2, &norm));
  ESPALIER_CALL(VecAXPY(x.get(), -1, expected.get()));
  ESPALIER_CALL(VecNorm(x.get(), NORM_2, &error));
  ESPALIER_CALL(PetscOptionsClearValue(nullptr, "-sparse_test_samples_pc_type"));
  result.error = error / norm;
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_sparse_jacobian, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(matrices_are_the_products_of_the_term,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const model::Advection kind : kinds) {
    const Problem problem(kind);
    const auto linearization = problem.term->linearize(0, problem.u.get());
    model::SparseJacobian sparse(problem.u.get(), samples);
    sparse.set(*linearization, shift, -2);
    BOOST_TEST(matrix_error(sparse, *linearization, shift, -2, problem.vec(2).get()) <= 1e-12 * shift);
  }
}

BOOST_AUTO_TEST_CASE(every_pc_solves_forward_and_transposed,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const model::Advection kind : kinds) {
    const Problem problem(kind);
    model::SparseJacobian sparse(problem.u.get(), samples);
    for (const bool transpose : {false, true}) {
      const Solve plain = solve(problem, sparse, PCNONE, transpose);
      for (const char* pc : {PCJACOBI, PCBJACOBI, PCSOR, PCGAMG}) {
        const Solve better = solve(problem, sparse, pc, transpose);
        BOOST_TEST_CONTEXT(pc << (transpose ? " transposed" : "")) {
          BOOST_TEST(better.error <= 1e-10);
          if (std::string(pc) != PCJACOBI) BOOST_TEST(better.iterations < plain.iterations);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(entries_are_formed_when_something_changed, *utf::label("np1") * utf::label("np2")) {
  const Problem problem(model::Advection::linear);
  model::SparseJacobian sparse(problem.u.get(), samples);
  const auto set = [&](double value) { sparse.set(*problem.term->linearize(0, problem.u.get()), value, -1); };
  set(shift);
  set(shift * (1 + 1e-15));
  BOOST_TEST(sparse.formed() == 1);
  set(2 * shift);
  BOOST_TEST(sparse.formed() == 2);
  problem.fields->parameters().front()->values().mul_(2);
  problem.fields->parameters().front()->mark_changed();
  set(2 * shift);
  BOOST_TEST(sparse.formed() == 3);
  // An exact preconditioner of what is there now, not of what was: one iteration.
  BOOST_TEST(solve(problem, sparse, PCREDUNDANT, false).iterations <= 1);
  problem.fields->parameters().front()->values().mul_(0.1);
  problem.fields->parameters().front()->mark_changed();
  BOOST_TEST(solve(problem, sparse, PCREDUNDANT, false).iterations <= 1);
}

BOOST_AUTO_TEST_CASE(a_matrix_of_another_kind_is_refused, *utf::label("np1") * utf::label("np2")) {
  petsc::register_samples_pc();
  const Problem problem(model::Advection::linear);
  const auto linearization = problem.term->linearize(0, problem.u.get());
  model::JacobianOperator shell(problem.u.get());
  shell.set(linearization, shift, -1);
  petsc::KspHandle ksp;
  PC pc = nullptr;
  ESPALIER_CALL(KSPCreate(PETSC_COMM_WORLD, ksp.out()));
  ESPALIER_CALL(KSPSetOperators(ksp.get(), shell.mat(), shell.mat()));
  ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
  ESPALIER_CALL(PCSetType(pc, petsc::samples_pc_type));
  BOOST_CHECK_EXCEPTION(ESPALIER_CALL(KSPSetUp(ksp.get())), UserError, [](const std::exception& error) {
    return std::string(error.what()).find("-ts_jacobian assembled") != std::string::npos;
  });
  BOOST_CHECK_THROW(petsc::SampleMatrices(problem.u.get(), 7), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
