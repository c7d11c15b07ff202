#include "espalier/petsc/object_state.hpp"

#include <petscvec.h>

#include <boost/test/unit_test.hpp>

#include "espalier/core/error.hpp"
#include "espalier/petsc/handle.hpp"

using namespace espalier;
using petsc::state_of;

namespace {

PetscObject object(const petsc::VecHandle& vec) { return reinterpret_cast<PetscObject>(vec.get()); }

petsc::VecHandle vector_of(PetscInt size) {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, size, vec.out()));
  return vec;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(petsc_object_state, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(the_state_changes_with_the_entries_only) {
  const auto vec = vector_of(3);
  const auto before = state_of(object(vec));
  BOOST_TEST((state_of(object(vec)) == before));
  PetscReal norm = 0;
  ESPALIER_CALL(VecNorm(vec.get(), NORM_2, &norm));
  const PetscScalar* array = nullptr;
  ESPALIER_CALL(VecGetArrayRead(vec.get(), &array));
  ESPALIER_CALL(VecRestoreArrayRead(vec.get(), &array));
  BOOST_TEST((state_of(object(vec)) == before));
  ESPALIER_CALL(VecSet(vec.get(), 2.0));
  BOOST_TEST(!(state_of(object(vec)) == before));
}

BOOST_AUTO_TEST_CASE(what_changed_unseen_can_be_told) {
  const auto vec = vector_of(3);
  const auto before = state_of(object(vec));
  petsc::increase_state(object(vec));
  const auto after = state_of(object(vec));
  BOOST_TEST(!(after == before));
  BOOST_TEST(after.id == before.id);
  BOOST_TEST(after.state > before.state);
}

BOOST_AUTO_TEST_CASE(another_object_has_another_state) {
  const auto a = vector_of(3);
  auto b = vector_of(3);
  BOOST_TEST(!(state_of(object(a)) == state_of(object(b))));
  const auto gone = state_of(object(b));
  b = vector_of(3);  // perhaps at the same address
  BOOST_TEST(!(state_of(object(b)) == gone));
}

BOOST_AUTO_TEST_SUITE_END()
