#include "espalier/petsc/tensor_view.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/petsc/handle.hpp"
#include "espalier/petsc/object_state.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using petsc::Access;
using petsc::TensorView;
using testing::mentions;

namespace utf = boost::unit_test;

namespace {

petsc::VecHandle counting(PetscInt local_size) {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecCreateMPI(PETSC_COMM_WORLD, local_size, PETSC_DETERMINE, vec.out()));
  PetscScalar* array = nullptr;
  ESPALIER_CALL(VecGetArray(vec.get(), &array));
  for (PetscInt i = 0; i < local_size; ++i) array[i] = static_cast<double>(i);
  ESPALIER_CALL(VecRestoreArray(vec.get(), &array));
  return vec;
}

const void* address(Vec vec) {
  const PetscScalar* array = nullptr;
  ESPALIER_CALL(VecGetArrayRead(vec, &array));
  const void* pointer = array;
  ESPALIER_CALL(VecRestoreArrayRead(vec, &array));
  return pointer;
}

petsc::ObjectState state(const petsc::VecHandle& vec) {
  return petsc::state_of(reinterpret_cast<PetscObject>(vec.get()));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(petsc_tensor_view, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(the_view_is_the_vectors_own_memory) {
  const auto vec = counting(6);
  const void* own = address(vec.get());
  for (const Access access : {Access::read, Access::read_write, Access::write}) {
    const TensorView view(vec.get(), {2, 3}, access);
    BOOST_TEST(view.tensor().data_ptr() == own);
    BOOST_TEST(view.tensor().sizes().vec() == (std::vector<std::int64_t>{2, 3}));
    BOOST_TEST((view.tensor().scalar_type() == torch::kDouble));
    BOOST_TEST(view.tensor().is_contiguous());
    BOOST_TEST(view.tensor()[1][0].item<double>() == 3.0);  // row after row
  }
}

BOOST_AUTO_TEST_CASE(reading_leaves_the_state_alone) {
  const auto vec = counting(4);
  const auto before = state(vec);
  { const TensorView view(vec.get(), {4}, Access::read); }
  BOOST_TEST((state(vec) == before));
}

BOOST_AUTO_TEST_CASE(writing_reaches_the_vector_and_its_state) {
  for (const Access access : {Access::read_write, Access::write}) {
    const auto vec = counting(4);
    PetscReal sum = 0;
    ESPALIER_CALL(VecNorm(vec.get(), NORM_1, &sum));  // which PETSc remembers until the state changes
    const auto before = state(vec);
    {
      const TensorView view(vec.get(), {2, 2}, access);
      view.tensor().fill_(2.5);
    }
    BOOST_TEST(!(state(vec) == before));
    ESPALIER_CALL(VecNorm(vec.get(), NORM_1, &sum));
    BOOST_TEST(sum == 10.0);
  }
}

BOOST_AUTO_TEST_CASE(views_of_a_locked_vector_may_read) {
  const auto vec = counting(4);
  ESPALIER_CALL(VecLockReadPush(vec.get()));
  {
    const TensorView view(vec.get(), {4}, Access::read);
    BOOST_TEST(view.tensor().sum().item<double>() == 6.0);
  }
  ESPALIER_CALL(VecLockReadPop(vec.get()));
}

BOOST_AUTO_TEST_CASE(a_shape_of_another_size_is_our_bug) {
  const auto vec = counting(6);
  const auto view = [&](at::IntArrayRef shape) { TensorView(vec.get(), shape, Access::read_write); };
  BOOST_CHECK_EXCEPTION(view({2, 2}), InternalError, mentions("shape"));
  BOOST_CHECK_EXCEPTION(view({7}), InternalError, mentions("shape"));
  BOOST_CHECK_EXCEPTION(view({0, 6}), InternalError, mentions("shape"));
  view({6, 1});  // the failures kept no hold on the array
}

BOOST_AUTO_TEST_CASE(a_rank_may_have_no_entries, *utf::label("np1") * utf::label("np2")) {
  const int rank = testing::rank_of();
  const int size = testing::size_of();
  const std::int64_t samples = rank == size - 1 ? 0 : 3;
  const auto vec = counting(static_cast<PetscInt>(2 * samples));
  for (const Access access : {Access::read, Access::read_write, Access::write}) {
    const TensorView view(vec.get(), {samples, 2}, access);
    BOOST_TEST(view.tensor().sizes().vec() == (std::vector<std::int64_t>{samples, 2}));
    if (access != Access::read) view.tensor().fill_(1);
  }
  PetscScalar sum = 0;
  ESPALIER_CALL(VecSum(vec.get(), &sum));
  BOOST_TEST(sum == 6.0 * (size - 1));
}

BOOST_AUTO_TEST_SUITE_END()
