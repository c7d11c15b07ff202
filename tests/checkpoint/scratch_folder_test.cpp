// When files of a run are removed, and when not yet. How programs end is tested with whole programs:
// tests/apps/disk_store.cmake.
#include "espalier/checkpoint/scratch_folder.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "checkpoint/disk_store_fixture.hpp"
#include "espalier/core/session.hpp"

using namespace disk_fixture;
namespace utf = boost::unit_test;

namespace {

using Handler = void (*)(int);

Handler handler_of(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_scratch_folder, *utf::label("unit") * utf::label("checkpoint") *
                                                     utf::label("checkpointing") * utf::label("np1") *
                                                     utf::label("np2"))

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
