#include "espalier/model/assembled_jacobian.hpp"

#include <petscksp.h>
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>

#include "core/rank.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/model/shell_operators.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::AssembledJacobian;
using testing::distance;
using testing::entries_of;
using testing::Numbers;
using testing::QuadraticTerm;
using testing::small_mlp;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t width = 6;

/// 4 samples on the first rank, none on the second, 2 on the third, ...
std::size_t samples_here() {
  const int rank = testing::rank_of();
  return rank == 0 ? 4 : rank == 1 ? 0 : 2;
}

petsc::VecHandle state(int seed) {
  return vector_of(some_numbers(samples_here() * static_cast<std::size_t>(width), seed), PETSC_COMM_WORLD);
}

/// Row `row` of this rank's part as the matrix holds it: entries in the columns of its sample.
Numbers row_of(Mat mat, PetscInt row, PetscInt dof) {
  PetscInt first = 0;
  ESPALIER_CALL(MatGetOwnershipRange(mat, &first, nullptr));
  std::vector<PetscInt> columns(static_cast<std::size_t>(dof));
  for (PetscInt k = 0; k < dof; ++k) columns[static_cast<std::size_t>(k)] = first + row / dof * dof + k;
  const PetscInt global = first + row;
  Numbers entries(columns.size());
  ESPALIER_CALL(MatGetValues(mat, 1, &global, dof, columns.data(), entries.data()));
  return entries;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_assembled_jacobian, *utf::label("unit") * utf::label("np1") * utf::label("np2") *
                                                    utf::label("np4") * utf::label("sinode"))

// One sample per rank: f_i = u_i^2 + u_i u_(i+1), so df_i/du_i = 2 u_i + u_(i+1) and df_i/du_(i+1) = u_i.
BOOST_AUTO_TEST_CASE(blocks_by_hand) {
  constexpr PetscInt dof = 5;
  const Numbers x = some_numbers(dof, 1);
  const auto u = vector_of(x, PETSC_COMM_WORLD);
  QuadraticTerm term;
  AssembledJacobian jacobian(u.get(), dof);
  jacobian.set(*term.linearize(0, u.get()), 3, -2);
  for (PetscInt i = 0; i < dof; ++i) {
    const auto here = static_cast<std::size_t>(i);
    const auto next = static_cast<std::size_t>((i + 1) % dof);
    Numbers expected(dof, 0);
    expected[here] = 3 - 2 * (2 * x[here] + x[next]);
    expected[next] = -2 * x[here];
    BOOST_TEST(distance(row_of(jacobian.mat(), i, dof), expected) <= 1e-15);
  }
}

BOOST_AUTO_TEST_CASE(blocks_are_those_of_torch, *utf::label("gradient")) {
  const auto network = small_mlp(width);
  model::NeuralTerm term(network);
  const auto u = state(1);
  AssembledJacobian jacobian(u.get(), width);
  jacobian.set(*term.linearize(0, u.get()), 7, -1);
  BOOST_TEST(term.counters().tangent == width + 1);
  jacobian.set(*term.linearize(0, u.get()), 7, -1);
  BOOST_TEST(term.counters().tangent == 2 * width + 1);

  const torch::AutoGradMode with_grad(true);
  Numbers entries = entries_of(u.get());
  const auto samples = static_cast<std::int64_t>(samples_here());
  const at::Tensor input = torch::from_blob(entries.data(), {samples, width}, torch::kDouble).clone();
  const at::Tensor leaf = input.requires_grad_(true);
  const at::Tensor value = network->evaluate(leaf);
  for (std::int64_t i = 0; i < width; ++i) {
    // d(sum of samples of f_i)/du: row i of every block, as samples do not couple.
    const at::Tensor rows = torch::autograd::grad({value.select(1, i).sum()}, {leaf}, {}, true).front();
    for (std::int64_t sample = 0; sample < samples; ++sample) {
      const at::Tensor row = rows[sample].contiguous();
      Numbers expected(static_cast<std::size_t>(width));
      for (std::int64_t k = 0; k < width; ++k)
        expected[static_cast<std::size_t>(k)] = (i == k ? 7 : 0) - row[k].item<double>();
      const auto local_row = static_cast<PetscInt>(sample * width + i);
      BOOST_TEST(distance(row_of(jacobian.mat(), local_row, width), expected) <= 1e-14);
    }
  }
}

// At changing points, as Newton asks: products and solves follow, in the places that were made at the beginning.
BOOST_AUTO_TEST_CASE(products_and_solves_follow_the_point) {
  model::NeuralTerm term(small_mlp(width));
  const auto v = state(5);
  const auto ours = unwritten_like(v.get());
  const auto expected = unwritten_like(v.get());
  AssembledJacobian jacobian(v.get(), width);
  model::JacobianOperator shell(v.get());
  petsc::KspHandle ksp;
  PC pc = nullptr;
  ESPALIER_CALL(KSPCreate(PETSC_COMM_WORLD, ksp.out()));
  ESPALIER_CALL(KSPSetOperators(ksp.get(), shell.mat(), jacobian.mat()));
  ESPALIER_CALL(KSPSetType(ksp.get(), KSPPREONLY));
  ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
  ESPALIER_CALL(PCSetType(pc, PCPBJACOBI));
  PetscObjectState places = 0;
  ESPALIER_CALL(MatGetNonzeroState(jacobian.mat(), &places));
  for (int point = 0; point < 3; ++point) {
    const auto u = state(point);
    const auto linearization = term.linearize(0, u.get());
    const double shift = 4 + point;
    shell.set(linearization, shift, -1);
    jacobian.set(*linearization, shift, -1);
    BOOST_TEST_CONTEXT("point " << point) {
      ESPALIER_CALL(MatMult(jacobian.mat(), v.get(), ours.get()));
      ESPALIER_CALL(MatMult(shell.mat(), v.get(), expected.get()));
      BOOST_TEST(distance(entries_of(ours.get()), entries_of(expected.get())) <= 1e-13);
      ESPALIER_CALL(KSPSolve(ksp.get(), expected.get(), ours.get()));
      BOOST_TEST(distance(entries_of(ours.get()), entries_of(v.get())) <= 1e-13);
      ESPALIER_CALL(MatMultTranspose(jacobian.mat(), v.get(), ours.get()));
      ESPALIER_CALL(MatMultTranspose(shell.mat(), v.get(), expected.get()));
      BOOST_TEST(distance(entries_of(ours.get()), entries_of(expected.get())) <= 1e-13);
      ESPALIER_CALL(KSPSolveTranspose(ksp.get(), expected.get(), ours.get()));
      BOOST_TEST(distance(entries_of(ours.get()), entries_of(v.get())) <= 1e-13);
    }
  }
  PetscObjectState places_now = 0;
  ESPALIER_CALL(MatGetNonzeroState(jacobian.mat(), &places_now));
  BOOST_TEST(places_now == places);
}

// Only the last rank's samples couple, and all ranks must learn of it.
BOOST_AUTO_TEST_CASE(samples_that_couple_are_refused) {
  const int size = testing::size_of();
  const bool last = testing::rank_of() == size - 1;
  const auto u = vector_of(some_numbers(last ? 6 : 3, 1), PETSC_COMM_WORLD);
  QuadraticTerm term;
  AssembledJacobian jacobian(u.get(), 3);
  BOOST_CHECK_EXCEPTION(jacobian.set(*term.linearize(0, u.get()), 20, -1), UserError, [](const auto& e) {
    return std::string(e.what()).find("-ts_jacobian shell") != std::string::npos;
  });
  BOOST_CHECK_THROW(AssembledJacobian(u.get(), 4), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
