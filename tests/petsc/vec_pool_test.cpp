#include "espalier/petsc/vec_pool.hpp"

#include <boost/test/unit_test.hpp>

#include "espalier/core/error.hpp"

using namespace espalier;

namespace {

petsc::VecHandle filled(PetscInt length, double value) {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, length, vec.out()));
  ESPALIER_CALL(VecSet(vec.get(), value));
  return vec;
}

double sum_of(Vec vec) {
  PetscScalar sum = 0;
  ESPALIER_CALL(VecSum(vec, &sum));
  return sum;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(petsc_vec_pool, *boost::unit_test::label("unit") * boost::unit_test::label("sinode"))

BOOST_AUTO_TEST_CASE(copies_in_use_stay_and_others_are_used_again) {
  petsc::VecPool pool;
  const auto ones = filled(4, 1);
  const auto twos = filled(4, 2);
  auto first = pool.copy(ones.get());
  const auto second = pool.copy(twos.get());
  BOOST_TEST(sum_of(first->get()) == 4);
  BOOST_TEST(sum_of(second->get()) == 8);
  Vec freed = first->get();
  first.reset();
  const auto third = pool.copy(twos.get());
  BOOST_TEST(third->get() == freed);
  BOOST_TEST(sum_of(third->get()) == 8);
}

BOOST_AUTO_TEST_CASE(vectors_of_another_length_are_copied_too) {
  petsc::VecPool pool;
  const auto kept = pool.copy(filled(4, 1).get());
  const auto longer = pool.copy(filled(6, 1).get());
  BOOST_TEST(sum_of(longer->get()) == 6);
  BOOST_TEST(sum_of(kept->get()) == 4);
}

BOOST_AUTO_TEST_SUITE_END()
