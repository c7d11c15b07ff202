#include "espalier/petsc/handle.hpp"

#include <boost/test/unit_test.hpp>
#include <type_traits>
#include <utility>

#include "espalier/core/error.hpp"

using namespace espalier;
using petsc::VecHandle;

namespace {

VecHandle vector_of(PetscInt size) {
  VecHandle vec;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, size, vec.out()));
  return vec;
}

PetscInt references(Vec vec) {
  PetscInt count = 0;
  ESPALIER_CALL(PetscObjectGetReference(reinterpret_cast<PetscObject>(vec), &count));
  return count;
}

static_assert(!std::is_copy_constructible_v<VecHandle> && !std::is_copy_assignable_v<VecHandle>);
static_assert(std::is_nothrow_move_constructible_v<VecHandle> && std::is_nothrow_move_assignable_v<VecHandle>);
static_assert(!std::is_convertible_v<Vec, VecHandle> && !std::is_convertible_v<VecHandle, Vec>);

}  // namespace

BOOST_AUTO_TEST_SUITE(petsc_handle, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(a_handle_begins_empty) {
  VecHandle handle;
  BOOST_TEST(handle.empty());
  BOOST_TEST(handle.get() == nullptr);
  handle.reset();
  BOOST_TEST(handle.empty());
}

BOOST_AUTO_TEST_CASE(the_reference_goes_with_the_handle) {
  const auto owner = vector_of(2);
  {
    const auto second = VecHandle::share(owner.get());
    BOOST_TEST(second.get() == owner.get());
    BOOST_TEST(references(owner.get()) == 2);
    const auto third = VecHandle::share(second.get());
    BOOST_TEST(references(owner.get()) == 3);
  }
  BOOST_TEST(references(owner.get()) == 1);
  BOOST_TEST(VecHandle::share(nullptr).empty());
}

BOOST_AUTO_TEST_CASE(adopting_takes_the_callers_reference) {
  const auto owner = vector_of(2);
  ESPALIER_CALL(PetscObjectReference(reinterpret_cast<PetscObject>(owner.get())));
  { const VecHandle adopted(owner.get()); }
  BOOST_TEST(references(owner.get()) == 1);
}

BOOST_AUTO_TEST_CASE(moves_leave_nothing_behind) {
  auto first = vector_of(2);
  const Vec vec = first.get();
  VecHandle second(std::move(first));
  BOOST_TEST(first.empty());
  BOOST_TEST(second.get() == vec);
  VecHandle third;
  third = std::move(second);
  BOOST_TEST(second.empty());
  BOOST_TEST(third.get() == vec);
  BOOST_TEST(references(vec) == 1);
}

BOOST_AUTO_TEST_CASE(a_move_releases_what_was_held) {
  const auto watched = vector_of(2);
  auto target = VecHandle::share(watched.get());
  auto source = vector_of(3);
  const Vec vec = source.get();
  target = std::move(source);
  BOOST_TEST(references(watched.get()) == 1);
  BOOST_TEST(target.get() == vec);
  target = VecHandle();
  BOOST_TEST(target.empty());
}

BOOST_AUTO_TEST_CASE(a_move_to_itself_changes_nothing) {
  auto handle = vector_of(2);
  const Vec vec = handle.get();
  auto& same = handle;
  handle = std::move(same);
  BOOST_TEST(handle.get() == vec);
  BOOST_TEST(references(vec) == 1);
}

BOOST_AUTO_TEST_CASE(handles_swap) {
  auto a = vector_of(2);
  auto b = vector_of(3);
  const Vec vec_a = a.get();
  const Vec vec_b = b.get();
  std::swap(a, b);
  BOOST_TEST(a.get() == vec_b);
  BOOST_TEST(b.get() == vec_a);
  BOOST_TEST(references(vec_a) == 1);
  BOOST_TEST(references(vec_b) == 1);
}

BOOST_AUTO_TEST_CASE(reset_and_out_release_at_once) {
  const auto watched = vector_of(2);
  auto handle = VecHandle::share(watched.get());
  handle.reset();
  BOOST_TEST(handle.empty());
  BOOST_TEST(references(watched.get()) == 1);
  handle.reset();
  BOOST_TEST(references(watched.get()) == 1);

  handle = VecHandle::share(watched.get());
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, 4, handle.out()));
  BOOST_TEST(references(watched.get()) == 1);
  BOOST_TEST(handle.get() != watched.get());
  BOOST_TEST(references(handle.get()) == 1);
}

BOOST_AUTO_TEST_SUITE_END()
