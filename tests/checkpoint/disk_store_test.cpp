// Slots, their budget, and one error on all ranks where a disk cannot be used.
#include "espalier/checkpoint/disk_store.hpp"

#include <sys/mount.h>

#include <cerrno>
#include <cmath>
#include <memory>

#include "checkpoint/disk_store_fixture.hpp"
#include "core/messages.hpp"
#include "core/rank.hpp"

using namespace disk_fixture;
using testing::mentions;
namespace utf = boost::unit_test;

namespace {

/// A small file system of its own, where this user may mount one.
class SmallDisk {
 public:
  SmallDisk(std::string path, const char* size)
      : path_(std::move(path)), mounted_(::mount("tmpfs", path_.c_str(), "tmpfs", 0, size) == 0) {}
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

 private:
  std::string path_;
  bool mounted_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_disk_store, *utf::label("unit") * utf::label("checkpoint") *
                                                 utf::label("checkpointing") * utf::label("np1") * utf::label("np2"))

BOOST_AUTO_TEST_CASE(a_slot_is_written_again_and_emptied) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  BOOST_TEST(store.bytes() == 0);
  BOOST_TEST(files(store.folder()).empty());
  store.write(0, Vectors({500, 500}, 1).get());
  store.write(3, Vectors({20}, 2).get());
  const double both = store.bytes();
  BOOST_TEST(both == store.bytes_of(Vectors({500, 500}).get()) + store.bytes_of(Vectors({20}).get()));
  double in_folder = 0;
  for (const auto& name : files(store.folder()))
    in_folder += static_cast<double>(fs::file_size(store.folder() + "/" + name));
  BOOST_TEST(in_folder == both);
  BOOST_TEST(store.peak_bytes() == both);

  store.write(0, Vectors({30}, 3).get());
  BOOST_TEST(holds(store, 0, {30}, 3));
  BOOST_TEST(holds(store, 3, {20}, 2));
  BOOST_TEST(store.bytes() < both);
  BOOST_TEST(store.peak_bytes() == both);

  store.discard(0);
  store.discard(0);
  store.discard(17);
  BOOST_TEST(store.bytes() == store.bytes_of(Vectors({20}).get()));
  BOOST_TEST(files(store.folder()).size() == static_cast<std::size_t>(testing::size_of()));
  BOOST_CHECK_THROW(store.read(0, Vectors({30}).get()), InternalError);
  store.write(0, Vectors({30}, 4).get());
  BOOST_TEST(holds(store, 0, {30}, 4));
}

BOOST_AUTO_TEST_CASE(vectors_that_do_not_fit_are_refused) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  store.write(0, Vectors({30, 5}).get());
  BOOST_CHECK_THROW(store.read(0, Vectors({30}).get()), InternalError);
  BOOST_CHECK_THROW(store.read(0, Vectors({5, 30}).get()), InternalError);
  BOOST_CHECK_EXCEPTION(store.write(-1, Vectors({1}).get()), UserError, mentions("states fit on disk"));
  BOOST_CHECK_THROW(store.write(checkpoint::ScratchFolder::most_files, Vectors({1}).get()), UserError);
  BOOST_TEST(holds(store, 0, {30, 5}, 1));
}

BOOST_AUTO_TEST_CASE(the_budget_is_kept) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  double one = 0;
  {
    const DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
    one = store.bytes_of(Vectors({1000}).get());
  }
  DiskStore store(MPI_COMM_WORLD, folder.path(), 2 * one);
  store.write(0, Vectors({1000}, 1).get());
  store.write(1, Vectors({1000}, 2).get());
  const auto before = files(store.folder());
  BOOST_TEST(contains(shared_error([&] { store.write(2, Vectors({1}).get()); }), "budget"));
  BOOST_TEST(contains(shared_error([&] { store.write(1, Vectors({1001}).get()); }), "keep fewer states on disk"));
  BOOST_TEST(files(store.folder()) == before);
  BOOST_TEST(holds(store, 1, {1000}, 2));
  // A slot that is written again needs no room twice.
  store.write(1, Vectors({1000}, 3).get());
  BOOST_TEST(holds(store, 1, {1000}, 3));
  BOOST_TEST(store.peak_bytes() == 2 * one);
  store.discard(0);
  store.write(2, Vectors({1000}, 4).get());

  BOOST_CHECK_THROW(DiskStore(MPI_COMM_WORLD, folder.path(), 0), UserError);
  BOOST_CHECK_THROW(DiskStore(MPI_COMM_WORLD, folder.path(), std::nan("")), UserError);
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_used_is_an_error) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string plain = folder.file("plain");
  if (testing::rank_of() == 0) testing::put(plain, "x");
  for (const std::string& path : {plain, plain + "/below", std::string("/proc/nothing/here")}) {
    const std::string text = shared_error([&] { DiskStore(MPI_COMM_WORLD, path, unlimited); });
    BOOST_TEST(contains(text, "cannot keep checkpoints in " + path + ": "));
    BOOST_TEST(contains(text, "-checkpoint_dir"));
  }
  BOOST_TEST(contains(shared_error([&] { DiskStore(MPI_COMM_WORLD, "", unlimited); }), "-checkpoint_dir"));
  const std::string long_name(300, 'x');
  BOOST_TEST(contains(shared_error([&] { DiskStore(MPI_COMM_WORLD, folder.file(long_name), unlimited); }), long_name));
  // What one rank has made before another one failed.
  const std::string path = is_last() ? plain + "/below" : folder.file("new/folder");
  BOOST_TEST(contains(shared_error([&] { DiskStore(MPI_COMM_WORLD, path, unlimited); }), plain + "/below"));
  BOOST_TEST((files(folder.path()) == std::vector<std::string>{"plain"}));
}

BOOST_AUTO_TEST_CASE(a_full_disk_of_one_rank_is_an_error_of_all) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  store.write(0, Vectors({40000}, 1).get());
  store.write(1, Vectors({40000}, 2).get());
  const double before = store.bytes();
  // Rank 0 has entries; the file of the other rank, if there is one, is complete.
  for (const rlim_t limit : {rlim_t{1000}, rlim_t{300000}}) {
    std::string text;
    {
      std::unique_ptr<FileSizeLimit> full;
      if (testing::rank_of() == 0) full = std::make_unique<FileSizeLimit>(limit);
      text = shared_error([&] { store.write(2, Vectors({40000}, 3).get()); });
    }
    BOOST_TEST(contains(text, "cannot write checkpoint " + file_of(store, 0, 2)));
    BOOST_TEST(contains(text, std::strerror(EFBIG)));
    BOOST_TEST(contains(text, "-checkpoint_dir"));
    BOOST_TEST(store.bytes() == before);
    BOOST_TEST(files(store.folder()).size() == 2 * static_cast<std::size_t>(testing::size_of()));
    BOOST_CHECK_THROW(store.read(2, Vectors({40000}).get()), InternalError);
  }
  BOOST_TEST(holds(store, 0, {40000}, 1));
  store.write(2, Vectors({40000}, 4).get());
  BOOST_TEST(holds(store, 2, {40000}, 4));
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_really_full, *utf::label("np1")) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.path(), "size=400k");
  if (!disk.mounted()) return;
  {
    DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
    store.write(0, Vectors({30000}, 1).get());
    BOOST_CHECK_EXCEPTION(store.write(1, Vectors({30000}).get()), UserError,
                          mentions(file_of(store, 0, 1), std::strerror(ENOSPC), "make room"));
    BOOST_TEST(files(store.folder()).size() == 1U);
    BOOST_TEST(holds(store, 0, {30000}, 1));
    store.write(0, Vectors({40000}, 2).get());
    BOOST_TEST(holds(store, 0, {40000}, 2));
  }
  BOOST_TEST(folder.size() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
