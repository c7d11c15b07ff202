#include "espalier/petsc/gradient_vec.hpp"

#include <boost/test/unit_test.hpp>
#include <functional>
#include <vector>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using petsc::create_gradient_vec;
using petsc::is_gradient_vec;
using petsc::set_pending;
using petsc::VecHandle;
using testing::mentions;

namespace utf = boost::unit_test;

namespace {

/// Notes the weights it is asked to accumulate with.
struct Recorder : petsc::PendingProduct {
  void accumulate(double alpha) override { weights.push_back(alpha); }
  std::vector<double> weights;
};

using Weights = std::vector<double>;

VecHandle duplicate(Vec vec) {
  VecHandle copy;
  ESPALIER_CALL(VecDuplicate(vec, copy.out()));
  return copy;
}

VecHandle ordinary(PetscInt local_size) {
  VecHandle vec;
  ESPALIER_CALL(VecCreateMPI(PETSC_COMM_WORLD, local_size, PETSC_DETERMINE, vec.out()));
  return vec;
}

void axpy(Vec y, double alpha, Vec x) { ESPALIER_CALL(VecAXPY(y, alpha, x)); }

}  // namespace

BOOST_AUTO_TEST_SUITE(petsc_gradient_vec, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(adding_a_pending_product_forms_it) {
  const auto mu = create_gradient_vec(PETSC_COMM_WORLD, 5);
  const auto product = duplicate(mu.get());
  Recorder recorder;
  set_pending(product.get(), &recorder);
  BOOST_TEST(recorder.weights.empty());
  axpy(mu.get(), 0.5, product.get());
  axpy(mu.get(), -2, product.get());
  BOOST_TEST(recorder.weights == (Weights{0.5, -2}));
}

BOOST_AUTO_TEST_CASE(scaling_changes_the_weight_until_the_next_product) {
  const auto mu = create_gradient_vec(PETSC_COMM_WORLD, 5);
  const auto product = duplicate(mu.get());
  Recorder recorder;
  set_pending(product.get(), &recorder);
  ESPALIER_CALL(VecScale(product.get(), 3));
  ESPALIER_CALL(VecScale(product.get(), -0.5));
  axpy(mu.get(), 2, product.get());
  BOOST_TEST(recorder.weights == Weights{-3});
  set_pending(product.get(), &recorder);
  axpy(mu.get(), 1, product.get());
  BOOST_TEST(recorder.weights == (Weights{-3, 1}));
}

BOOST_AUTO_TEST_CASE(without_a_product_the_vector_is_zero) {
  const auto mu = create_gradient_vec(PETSC_COMM_WORLD, 5);
  const auto product = duplicate(mu.get());
  axpy(mu.get(), 1, product.get());
  Recorder recorder;
  set_pending(product.get(), &recorder);
  set_pending(product.get(), nullptr);
  axpy(mu.get(), 1, product.get());
  BOOST_TEST(recorder.weights.empty());

  set_pending(product.get(), &recorder);
  ESPALIER_CALL(VecScale(product.get(), 7));
  ESPALIER_CALL(VecZeroEntries(product.get()));
  axpy(mu.get(), 1, product.get());
  BOOST_TEST(recorder.weights.empty());
  set_pending(product.get(), &recorder);
  axpy(mu.get(), 1, product.get());
  BOOST_TEST(recorder.weights == Weights{1});
}

BOOST_AUTO_TEST_CASE(mu_times_a_number_and_setting_mu_to_zero_form_nothing) {
  Recorder recorder;
  const auto mu = create_gradient_vec(PETSC_COMM_WORLD, 5);
  set_pending(mu.get(), &recorder);
  ESPALIER_CALL(VecScale(mu.get(), 2.0));
  ESPALIER_CALL(VecSet(mu.get(), 0.0));
  BOOST_TEST(recorder.weights.empty());
}

BOOST_AUTO_TEST_CASE(duplicates_share_the_layout_and_hold_nothing, *utf::label("np1") * utf::label("np2")) {
  const int rank = testing::rank_of();
  const PetscInt mine = rank == 0 ? 5 : 0;
  const auto mu = create_gradient_vec(PETSC_COMM_WORLD, mine);
  Recorder recorder;
  set_pending(mu.get(), &recorder);
  const auto product = duplicate(mu.get());
  Vec* several = nullptr;
  ESPALIER_CALL(VecDuplicateVecs(mu.get(), 3, &several));
  for (const Vec copy : {product.get(), several[0], several[1], several[2]}) {
    PetscInt local = -1;
    PetscInt global = -1;
    ESPALIER_CALL(VecGetLocalSize(copy, &local));
    ESPALIER_CALL(VecGetSize(copy, &global));
    BOOST_TEST(local == mine);
    BOOST_TEST(global == 5);
    BOOST_TEST(is_gradient_vec(copy));
    axpy(mu.get(), 1, copy);
  }
  BOOST_TEST(recorder.weights.empty());
  set_pending(several[1], &recorder);
  axpy(mu.get(), 4, several[1]);
  BOOST_TEST(recorder.weights == Weights{4});
  ESPALIER_CALL(VecDestroyVecs(3, &several));
  BOOST_TEST(several == nullptr);
}

// The ranks' numbers of parameters need not agree, nor what they do with their products.
BOOST_AUTO_TEST_CASE(local_sizes_may_differ, *utf::label("np2")) {
  const int rank = testing::rank_of();
  const int size = testing::size_of();
  const auto mu = create_gradient_vec(PETSC_COMM_WORLD, rank == 0 ? 7 : 3);
  PetscInt global = 0;
  ESPALIER_CALL(VecGetSize(mu.get(), &global));
  BOOST_TEST(global == 7 + 3 * (size - 1));
  const auto product = duplicate(mu.get());
  Recorder recorder;
  set_pending(product.get(), rank == 0 ? &recorder : nullptr);
  axpy(mu.get(), 1.5, product.get());
  BOOST_TEST(recorder.weights == (rank == 0 ? Weights{1.5} : Weights{}));
}

BOOST_AUTO_TEST_CASE(a_failing_product_fails_as_itself) {
  struct Failing : petsc::PendingProduct {
    void accumulate(double) override { throw NumericalError("not this one", __FILE__, __LINE__); }
  } failing;
  const auto mu = create_gradient_vec(PETSC_COMM_WORLD, 5);
  const auto product = duplicate(mu.get());
  set_pending(product.get(), &failing);
  BOOST_CHECK_EXCEPTION(axpy(mu.get(), 1, product.get()), NumericalError, mentions("not this one"));
}

BOOST_AUTO_TEST_CASE(other_vectors_are_told_apart) {
  const auto vec = ordinary(5);
  BOOST_TEST(!is_gradient_vec(vec.get()));
  BOOST_CHECK_THROW(set_pending(vec.get(), nullptr), InternalError);
}

BOOST_AUTO_TEST_CASE(whatever_else_is_asked_is_not_supported, *utf::label("np1") * utf::label("np2")) {
  PetscReal norm = 0;
  PetscScalar dot = 0;
  const PetscScalar* array = nullptr;
  // With two gradient vectors and an ordinary one.
  using Operation = std::function<void(Vec mu, Vec other, Vec vec)>;
  const std::vector<Operation> operations = {
      [&](Vec mu, Vec, Vec) { ESPALIER_CALL(VecSet(mu, 1.0)); },
      [&](Vec mu, Vec, Vec) { ESPALIER_CALL(VecNorm(mu, NORM_2, &norm)); },
      [&](Vec mu, Vec other, Vec) { ESPALIER_CALL(VecDot(mu, other, &dot)); },
      [&](Vec mu, Vec other, Vec) { ESPALIER_CALL(VecCopy(mu, other)); },
      [&](Vec mu, Vec, Vec vec) { ESPALIER_CALL(VecCopy(vec, mu)); },
      [&](Vec mu, Vec other, Vec) { ESPALIER_CALL(VecAYPX(mu, 2.0, other)); },
      [&](Vec mu, Vec other, Vec) { ESPALIER_CALL(VecPointwiseMult(mu, other, other)); },
      [&](Vec mu, Vec, Vec) { ESPALIER_CALL(VecGetArrayRead(mu, &array)); },
      [&](Vec mu, Vec, Vec vec) { axpy(vec, 1, mu); },
      [&](Vec mu, Vec, Vec vec) { axpy(mu, 1, vec); },
  };
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const auto mu = create_gradient_vec(PETSC_COMM_WORLD, 5);
    const auto other = create_gradient_vec(PETSC_COMM_WORLD, 5);
    const auto vec = ordinary(5);
    ESPALIER_CALL(VecSet(vec.get(), 1));
    BOOST_TEST_CONTEXT("operation " << i) {
      BOOST_CHECK_THROW(operations[i](mu.get(), other.get(), vec.get()), PetscFailure);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
