// Writes, reads and discards states on disk until it ends as -end says: for tests of what remains.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "espalier/checkpoint/disk_store.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/handle.hpp"

using namespace espalier;

namespace {

constexpr long slots = 5;
constexpr long kept_slot = 7;
constexpr long rounds_before_end = 7;
constexpr PetscInt length = 20000;

struct Settings {
  std::string folder;
  // killed: by somebody else, guard: after one signal, guard_twice: by the second one, guard_gone: by the first one as
  // the guard is gone, return: by itself, and what end_alone() knows.
  std::string end;
};

Settings read_settings(MPI_Comm comm) {
  Settings settings;
  core::read_options(comm, "Holder", [&](core::OptionReader& o) {
    settings.folder = o.text("-folder", "where", "");
    settings.end = o.text("-end", "how", "killed");
  });
  return settings;
}

// Only the last rank takes these ways out.
void end_alone(const std::string& end) {
  if (end == "exit") std::exit(3);
  if (end == "abort") std::abort();
  if (end == "crash") std::raise(SIGSEGV);
  if (end == "throw") throw UserError("thrown by one rank", __FILE__, __LINE__);
}

void work(checkpoint::DiskStore& store, const std::vector<Vec>& vectors, long round) {
  const long slot = round % slots;
  store.write(slot, vectors);
  if (round > 0) store.read((round - 1) % slots, vectors);
  if (round % 3 == 0) store.discard((round + 2) % slots);
}

void hold(core::Session& session) {
  const Settings settings = read_settings(session.comm());
  petsc::VecHandle vec;
  ESPALIER_CALL(VecCreateMPI(session.comm(), length, PETSC_DETERMINE, vec.out()));
  ESPALIER_CALL(VecSet(vec.get(), 1.5));
  std::optional<core::InterruptGuard> guard;
  if (settings.end.compare(0, 5, "guard") == 0) guard.emplace();
  checkpoint::DiskStore store(session.comm(), settings.folder, std::numeric_limits<double>::infinity());
  const bool last = session.rank() + 1 == session.size();
  for (long round = 0;; ++round) {
    work(store, {vec.get(), vec.get()}, round);
    if (round != rounds_before_end) {
      if (settings.end == "guard" && core::any_rank(session.comm(), core::InterruptGuard::interrupted())) break;
      if (settings.end == "return" && round > rounds_before_end) break;
      continue;
    }
    if (settings.end == "guard_gone") guard.reset();
    if (last) end_alone(settings.end);
    store.write(kept_slot, {vec.get()});
    std::printf("ready %d %d\n", session.rank(), static_cast<int>(::getpid()));
    std::fflush(stdout);
  }
  store.read(kept_slot, {vec.get()});
}

}  // namespace

int main(int argc, char** argv) {
  return core::run(argc, argv, {"disk_store_holder", "Keeps states on disk until it is killed.\n"}, hold);
}
