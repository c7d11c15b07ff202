// Files give back the bits that were written, or an error.
#include "espalier/checkpoint/vector_file.hpp"

#include <cerrno>

#include "checkpoint/disk_store_fixture.hpp"
#include "core/rank.hpp"

using namespace disk_fixture;
namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(checkpoint_vector_file, *utf::label("unit") * utf::label("checkpoint") *
                                                  utf::label("checkpointing") * utf::label("np1") * utf::label("np2"))

// Lengths around those of the buffer, 32768 words of which each vector takes one for itself.
BOOST_AUTO_TEST_CASE(all_bits_come_back) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  const std::vector<std::vector<PetscInt>> slots = {{5, 0, 7}, {32766}, {32767, 3}, {32768}, {70001, 1, 32767}, {}};
  for (std::size_t slot = 0; slot < slots.size(); ++slot)
    store.write(static_cast<long>(slot), Vectors(slots[slot], slot).get());
  for (int times = 0; times < 2; ++times)
    for (std::size_t slot = slots.size(); slot-- > 0;)
      BOOST_TEST(holds(store, static_cast<long>(slot), slots[slot], slot));
}

BOOST_AUTO_TEST_CASE(writing_changes_no_vector) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  const Vectors vectors({100});
  store.write(0, vectors.get());
  BOOST_TEST((vectors == Vectors({100})));
  {
    const FileSizeLimit limit(100);
    BOOST_CHECK_THROW(store.write(1, Vectors({100}, 2).get()), UserError);
    BOOST_CHECK_THROW(store.write(1, vectors.get()), UserError);
  }
  BOOST_TEST((vectors == Vectors({100})));
}

BOOST_AUTO_TEST_CASE(petsc_reads_the_files) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  const Vectors vectors({5, 3});
  store.write(2, vectors.get());
  petsc::ViewerHandle viewer;
  ESPALIER_CALL(PetscViewerBinaryOpen(PETSC_COMM_SELF, file_of(store, testing::rank_of(), 2).c_str(), FILE_MODE_READ,
                                      viewer.out()));
  PetscInt64 header[6] = {};
  ESPALIER_CALL(PetscViewerBinaryRead(viewer.get(), header, 6, nullptr, PETSC_INT64));
  BOOST_TEST(header[1] == 2);
  BOOST_TEST(header[2] == testing::rank_of());
  BOOST_TEST(header[3] == 2);
  for (Vec vec : vectors.get()) {
    petsc::VecHandle back;
    ESPALIER_CALL(VecCreate(PETSC_COMM_SELF, back.out()));
    ESPALIER_CALL(VecLoad(back.get(), viewer.get()));
    BOOST_TEST((bits(back.get()) == bits(vec)));
  }
}

BOOST_AUTO_TEST_CASE(files_that_are_not_what_was_written_are_refused) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  const std::vector<PetscInt> lengths = {40000, 3};
  const auto refuses = [&](const char* reason, const std::function<void(const std::string&)>& damage) {
    store.write(0, Vectors(lengths, 5).get());
    store.write(1, Vectors(lengths, 6).get());
    const std::string file = file_of(store, testing::size_of() - 1, 1);
    if (is_last()) damage(file);
    const std::string text = shared_error([&] { store.read(1, Vectors(lengths).get()); });
    BOOST_TEST_CONTEXT(reason) {
      BOOST_TEST(contains(text, "cannot read checkpoint " + file));
      BOOST_TEST(contains(text, reason));
      BOOST_TEST(contains(text, "-checkpoint_dir"));
    }
    BOOST_TEST(holds(store, 0, lengths, 5));
  };
  refuses(std::strerror(ENOENT), [](const std::string& file) { fs::remove(file); });
  refuses("bytes, not", [](const std::string& file) { fs::resize_file(file, fs::file_size(file) - 1); });
  refuses("bytes, not", [](const std::string& file) { fs::resize_file(file, 0); });
  refuses("bytes, not", [](const std::string& file) { testing::put(file, testing::contents(file) + "x"); });
  refuses("bytes, not", [](const std::string& file) { fs::remove(file), fs::create_directory(file); });
  fs::remove(file_of(store, testing::size_of() - 1, 1));
  // That of another slot, whole in itself.
  refuses("header", [&](const std::string& file) {
    fs::copy_file(file_of(store, testing::rank_of(), 0), file, fs::copy_options::overwrite_existing);
  });
  const auto flips = [&](const char* reason, std::size_t place, int bit) {
    refuses(reason, [=](const std::string& file) {
      std::string text = testing::contents(file);
      text[place < text.size() ? place : text.size() - 1] ^= static_cast<char>(1 << bit);
      testing::put(file, text);
    });
  };
  for (const std::size_t in_header : {0U, 15U, 40U, 47U}) flips("header", in_header, 0);
  // Class, length, entries (the last rank of several has none), last word.
  for (const std::size_t place : {48U, 55U, 56U, 57U, 63U, 200007U, 1000000U})
    for (const int bit : {0, 5}) flips("contents", place, bit);
}

BOOST_AUTO_TEST_SUITE_END()
