// States on disk: the bits that were written or one error on all ranks, and nothing left behind. How programs end is
// tested with whole programs: tests/apps/disk_store.cmake.
#include "espalier/checkpoint/disk_store.hpp"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/handle.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using checkpoint::DiskStore;
using testing::mentions;
using testing::TemporaryFolder;
namespace utf = boost::unit_test;
namespace fs = std::filesystem;

namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();
using Bits = std::vector<std::uint64_t>;

int rank() {
  int value = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &value);
  return value;
}

int size() {
  int value = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &value);
  return value;
}

bool is_last() { return rank() + 1 == size(); }

Bits bits(Vec vec) {
  const PetscScalar* array = nullptr;
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(vec, &length));
  ESPALIER_CALL(VecGetArrayRead(vec, &array));
  Bits all(static_cast<std::size_t>(length));
  if (length > 0) std::memcpy(all.data(), array, all.size() * sizeof all[0]);
  ESPALIER_CALL(VecRestoreArrayRead(vec, &array));
  return all;
}

void fill(Vec vec, std::uint64_t seed) {
  PetscScalar* array = nullptr;
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(vec, &length));
  ESPALIER_CALL(VecGetArray(vec, &array));
  Bits all(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = core::mix(seed * 1000003 + i);
  // Minus zero, a denormal, infinity, quiet and signalling NaNs with payloads.
  const Bits special = {0x8000000000000000U, 1U, 0x7ff0000000000000U, 0x7ff8000000abcdefU, 0xfff0000000000001U};
  for (std::size_t i = 0; i < std::min(all.size(), special.size()); ++i) all[i] = special[i];
  if (length > 0) std::memcpy(array, all.data(), all.size() * sizeof all[0]);
  ESPALIER_CALL(VecRestoreArray(vec, &array));
}

/// Vectors with contents that depend on the seed; of the last of several ranks the local parts are empty.
class Vectors {
 public:
  explicit Vectors(std::vector<PetscInt> lengths, std::uint64_t seed = 1) {
    for (PetscInt length : lengths) {
      if (size() > 1 && is_last()) length = 0;
      all_.emplace_back();
      ESPALIER_CALL(VecCreateMPI(MPI_COMM_WORLD, length, PETSC_DETERMINE, all_.back().out()));
      fill(all_.back().get(), seed++);
    }
  }
  std::vector<Vec> get() const {
    std::vector<Vec> vectors;
    for (const auto& one : all_) vectors.push_back(one.get());
    return vectors;
  }
  bool operator==(const Vectors& other) const {
    bool same = all_.size() == other.all_.size();
    for (std::size_t i = 0; same && i < all_.size(); ++i) same = bits(all_[i].get()) == bits(other.all_[i].get());
    return same;
  }

 private:
  std::vector<petsc::VecHandle> all_;
};

/// Whether the slot has the contents of vectors of these lengths and this seed.
bool holds(DiskStore& store, long slot, const std::vector<PetscInt>& lengths, std::uint64_t seed) {
  const Vectors back(lengths, seed + 77);
  store.read(slot, back.get());
  return back == Vectors(lengths, seed);
}

// All ranks look at the folder when none of them changes it.
std::vector<std::string> files(const std::string& folder) {
  MPI_Barrier(MPI_COMM_WORLD);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  MPI_Barrier(MPI_COMM_WORLD);
  std::sort(names.begin(), names.end());
  return names;
}

bool is_there(const std::string& path) {
  MPI_Barrier(MPI_COMM_WORLD);
  const bool there = fs::exists(path);
  MPI_Barrier(MPI_COMM_WORLD);
  return there;
}

std::string file_of(const DiskStore& store, int of_rank, long slot) {
  return store.folder() + "/" + std::to_string(of_rank) + "." + std::to_string(slot);
}

/// Text of the UserError that `body` throws on all ranks, checked to be the same; empty if it throws none.
std::string shared_error(const std::function<void()>& body) {
  std::string text;
  try {
    body();
  } catch (const UserError& error) {
    text = error.what();
  }
  std::uint64_t sum = core::checksum(text.data(), text.size());
  std::uint64_t first = sum;
  MPI_Bcast(&first, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
  BOOST_TEST(sum == first);
  return text;
}

bool contains(const std::string& text, const std::string& word) {
  const bool found = text.find(word) != std::string::npos;
  if (!found) std::printf("the message was: %s\n", text.c_str());
  return found;
}

/// No file of this process may become longer.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &former_);
    const rlimit limit{bytes, former_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &former_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit former_{};
};

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

using Handler = void (*)(int);

Handler handler_of(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_disk_store, *utf::label("unit") * utf::label("checkpoint") *
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
  ESPALIER_CALL(
      PetscViewerBinaryOpen(PETSC_COMM_SELF, file_of(store, rank(), 2).c_str(), FILE_MODE_READ, viewer.out()));
  PetscInt64 header[6] = {};
  ESPALIER_CALL(PetscViewerBinaryRead(viewer.get(), header, 6, nullptr, PETSC_INT64));
  BOOST_TEST(header[1] == 2);
  BOOST_TEST(header[2] == rank());
  BOOST_TEST(header[3] == 2);
  for (Vec vec : vectors.get()) {
    petsc::VecHandle back;
    ESPALIER_CALL(VecCreate(PETSC_COMM_SELF, back.out()));
    ESPALIER_CALL(VecLoad(back.get(), viewer.get()));
    BOOST_TEST((bits(back.get()) == bits(vec)));
  }
}

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
  BOOST_TEST(files(store.folder()).size() == static_cast<std::size_t>(size()));
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

BOOST_AUTO_TEST_CASE(nothing_is_left_behind) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string made = folder.file("a/b/");
  for (const bool fails : {false, true}) {
    for (const std::string& path : {folder.path(), made}) {
      try {
        DiskStore store(MPI_COMM_WORLD, path, unlimited);
        DiskStore other(MPI_COMM_WORLD, path, unlimited);
        BOOST_TEST(store.folder() != other.folder());
        for (const long slot : {0L, 5L, 2L}) store.write(slot, Vectors({50}).get());
        other.write(1, Vectors({50}).get());
        store.discard(2);
        if (fails) throw std::runtime_error("on the way");
      } catch (const std::runtime_error&) {
      }
      BOOST_TEST(is_there(folder.path()));
      BOOST_TEST(files(folder.path()).empty());
    }
  }
  // The folder that the first one has made is still the second one's, which removes it.
  auto first = std::make_unique<DiskStore>(MPI_COMM_WORLD, made, unlimited);
  auto second = std::make_unique<DiskStore>(MPI_COMM_WORLD, made, unlimited);
  first.reset();
  second->write(0, Vectors({50}, 3).get());
  BOOST_TEST(holds(*second, 0, {50}, 3));
  second.reset();
  BOOST_TEST(files(folder.path()).empty());
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_used_is_an_error) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string plain = folder.file("plain");
  if (rank() == 0) testing::put(plain, "x");
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
      if (rank() == 0) full = std::make_unique<FileSizeLimit>(limit);
      text = shared_error([&] { store.write(2, Vectors({40000}, 3).get()); });
    }
    BOOST_TEST(contains(text, "cannot write checkpoint " + file_of(store, 0, 2)));
    BOOST_TEST(contains(text, std::strerror(EFBIG)));
    BOOST_TEST(contains(text, "-checkpoint_dir"));
    BOOST_TEST(store.bytes() == before);
    BOOST_TEST(files(store.folder()).size() == 2 * static_cast<std::size_t>(size()));
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

BOOST_AUTO_TEST_CASE(files_that_are_not_what_was_written_are_refused) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  const std::vector<PetscInt> lengths = {40000, 3};
  const auto refuses = [&](const char* reason, const std::function<void(const std::string&)>& damage) {
    store.write(0, Vectors(lengths, 5).get());
    store.write(1, Vectors(lengths, 6).get());
    const std::string file = file_of(store, size() - 1, 1);
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
  fs::remove(file_of(store, size() - 1, 1));
  // That of another slot, whole in itself.
  refuses("header", [&](const std::string& file) {
    fs::copy_file(file_of(store, rank(), 0), file, fs::copy_options::overwrite_existing);
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

BOOST_AUTO_TEST_CASE(handlers_are_there_as_long_as_a_store) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU, SIGXFSZ}) {
    const auto before = handler_of(signal);
    {
      const DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
      const auto inside = handler_of(signal);
      BOOST_TEST((inside != before));
      { const DiskStore second(MPI_COMM_WORLD, folder.path(), unlimited); }
      BOOST_TEST((handler_of(signal) == inside));
    }
    BOOST_TEST((handler_of(signal) == before));
  }
  // As under nohup.
  const auto former = std::signal(SIGHUP, SIG_IGN);
  {
    const DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
    BOOST_TEST((handler_of(SIGHUP) == SIG_IGN));
  }
  BOOST_TEST((handler_of(SIGHUP) == SIG_IGN));
  std::signal(SIGHUP, former);
}

// A training that shall save its state and stop needs what it has stored until it does.
BOOST_AUTO_TEST_CASE(a_guard_of_before_decides) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const core::InterruptGuard guard;
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  store.write(0, Vectors({50}, 3).get());
  std::raise(SIGTERM);
  BOOST_TEST(core::InterruptGuard::interrupted());
  BOOST_TEST(holds(store, 0, {50}, 3));
}

BOOST_AUTO_TEST_CASE(guards_and_stores_come_and_go_in_any_order) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const auto before = handler_of(SIGTERM);
  const auto store = [&] { return std::make_unique<DiskStore>(MPI_COMM_WORLD, folder.path(), unlimited); };
  const auto guard = [] { return std::make_unique<core::InterruptGuard>(); };
  {
    auto outer = guard();
    auto inner = store();
    outer.reset();
    // Writing puts the handler back.
    BOOST_TEST((handler_of(SIGTERM) == before));
    inner->write(0, Vectors({1}).get());
    BOOST_TEST((handler_of(SIGTERM) != before));
  }
  BOOST_TEST((handler_of(SIGTERM) == before));
  {
    auto outer = store();
    const auto ours = handler_of(SIGTERM);
    {
      auto inner = guard();
      outer->write(0, Vectors({1}).get());
      std::raise(SIGTERM);
      BOOST_TEST(core::InterruptGuard::interrupted());
    }
    BOOST_TEST((handler_of(SIGTERM) == ours));
    BOOST_TEST(holds(*outer, 0, {1}, 1));
  }
  BOOST_TEST((handler_of(SIGTERM) == before));
}

BOOST_AUTO_TEST_CASE(a_child_that_is_killed_removes_nothing, *utf::label("np1")) {
  const TemporaryFolder folder;
  DiskStore store(MPI_COMM_WORLD, folder.path(), unlimited);
  store.write(0, Vectors({50}, 3).get());
  const pid_t child = ::fork();
  if (child == 0) {
    std::raise(SIGTERM);
    ::_exit(0);
  }
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
  BOOST_TEST(holds(store, 0, {50}, 3));
}

BOOST_AUTO_TEST_SUITE_END()
