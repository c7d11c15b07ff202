#include "espalier/core/machine.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace espalier::core {

namespace {

constexpr double bytes_per_mb = 1024.0 * 1024.0;

// OpenBLAS kernels without AVX2; what an old library falls back to on a processor it does not know.
const std::set<std::string> slow_kernels = {
    "Prescott",   "Core2",       "Penryn",    "Dunnington", "Nehalem",      "Atom",    "Sandybridge",
    "Katmai",     "Coppermine",  "Northwood", "Banias",     "Barcelona",    "Bobcat",  "Bulldozer",
    "Piledriver", "Steamroller", "Athlon",    "Opteron",    "Opteron_SSE3", "Generic", "generic"};

template <class Function>
Function* loaded(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

cpu_set_t mask_of_this_rank() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) return mask;
  const int online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  for (int core = 0; core < std::min(online, CPU_SETSIZE); ++core) CPU_SET(core, &mask);
  return mask;
}

// The cores that the system would let this rank use if nobody had bound it: asking for all of them gives those of the
// batch system's share of the node.
cpu_set_t mask_if_unbound() {
  const cpu_set_t mine = mask_of_this_rank();
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &all);
  if (sched_setaffinity(0, sizeof all, &all) != 0) return mine;
  const cpu_set_t allowed = mask_of_this_rank();
  (void)sched_setaffinity(0, sizeof mine, &mine);
  return allowed;
}

std::vector<int> cores_in(const cpu_set_t& mask) {
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &mask)) cores.push_back(core);
  return cores;
}

std::string counted(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// The launchers' options that give each rank `threads` cores of its own.
std::string binding_options(int threads) {
  const std::string cores = std::to_string(threads);
  return "mpirun --bind-to core --map-by slot:PE=" + cores + ", or srun --cpus-per-task=" + cores + " --cpu-bind=cores";
}

// Gives every thread of every rank a core of its rank's mask for itself, as far as that goes (maximum bipartite
// matching by augmenting paths, H. W. Kuhn 1955).
class Seating {
 public:
  explicit Seating(const std::vector<Placement>& ranks) : ranks_(ranks) {}

  /// Finds one more core for the rank; false when there is none, however the others move.
  bool seat(std::size_t rank) {
    tried_.clear();
    return find(rank);
  }
  /// After seat() gave false: who holds the cores that the rank was after, itself included.
  std::set<std::size_t> crowd(std::size_t rank) const {
    std::set<std::size_t> all = {rank};
    for (const int core : tried_) all.insert(holder_.at(core));
    return all;
  }
  const std::set<int>& tried() const { return tried_; }

 private:
  bool find(std::size_t rank) {
    for (const int core : ranks_[rank].cores) {
      if (!tried_.insert(core).second) continue;
      const auto held = holder_.find(core);
      if (held != holder_.end() && !find(held->second)) continue;
      holder_[core] = rank;
      return true;
    }
    return false;
  }

  const std::vector<Placement>& ranks_;
  std::map<int, std::size_t> holder_;
  std::set<int> tried_;
};

}  // namespace

std::string kernel_advice(const std::string& kernel, const Processor& processor) {
  if (!processor.avx2 || slow_kernels.count(kernel) == 0) return "";
  const std::string better = processor.zen ? "Zen" : processor.avx512 ? "SkylakeX" : "Haswell";
  return "OpenBLAS runs its '" + kernel +
         "' kernels, which use a fraction of this processor: set OPENBLAS_CORETYPE=" + better +
         " before the start (mpirun -x OPENBLAS_CORETYPE=" + better + ")";
}

Blas inspect_blas() {
  Blas blas;
  blas.library = "unknown";
  if (auto* config = loaded<char*()>("openblas_get_config")) blas.library = config();
  if (auto* core = loaded<char*()>("openblas_get_corename")) blas.kernel = core();
#if defined(__x86_64__)
  Processor processor;
  processor.avx2 = __builtin_cpu_supports("avx2") != 0;
  processor.avx512 = __builtin_cpu_supports("avx512f") != 0;
  processor.zen = __builtin_cpu_is("amdfam17h") != 0 || __builtin_cpu_is("amdfam19h") != 0;
  blas.advice = kernel_advice(blas.kernel, processor);
#endif
  return blas;
}

int cores_per_rank(MPI_Comm comm) {
  const cpu_set_t mine = mask_of_this_rank();
  MPI_Comm node;
  MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int ranks = 1;
  MPI_Comm_size(node, &ranks);
  std::vector<cpu_set_t> masks(static_cast<std::size_t>(ranks));
  MPI_Allgather(&mine, sizeof mine, MPI_BYTE, masks.data(), sizeof mine, MPI_BYTE, node);
  MPI_Comm_free(&node);
  // Ranks bound apart have their cores for themselves; unbound ones, or several in a job's part of a node, share.
  const auto sharing = std::count_if(masks.begin(), masks.end(), [&](const cpu_set_t& other) {
    cpu_set_t common;
    CPU_AND(&common, &mine, &other);
    return CPU_COUNT(&common) > 0;
  });
  return std::max(1, CPU_COUNT(&mine) / std::max(1, static_cast<int>(sharing)));
}

std::string binding_advice(const std::vector<Placement>& ranks, const std::vector<int>& cores) {
  std::size_t wanted = 0;
  int most = 1;
  for (const Placement& place : ranks) {
    wanted += static_cast<std::size_t>(place.threads);
    most = std::max(most, place.threads);
  }
  if (wanted > cores.size()) {
    // As few threads as would do; with one each there are too many ranks.
    const std::size_t share = cores.size() / std::max<std::size_t>(1, ranks.size());
    const std::string remedy =
        most > 1 && share > 0
            ? "set OMP_NUM_THREADS or -threads to " + std::to_string(share)
            : "start at most " +
                  counted(std::max<std::size_t>(1, cores.size() / static_cast<std::size_t>(most)), "rank") + " a node";
    return counted(ranks.size(), "rank") + " with " + counted(wanted, "thread") + " in all " +
           (ranks.size() == 1 ? "runs" : "run") + " on " + counted(cores.size(), "core") + ": " + remedy;
  }
  for (const Placement& place : ranks)
    if (static_cast<std::size_t>(place.threads) > place.cores.size())
      return "rank " + std::to_string(place.rank) + " has " +
             counted(static_cast<std::size_t>(place.threads), "thread") + " on " + counted(place.cores.size(), "core") +
             ": start with " + binding_options(place.threads);
  Seating seating(ranks);
  for (std::size_t i = 0; i < ranks.size(); ++i)
    for (int thread = 0; thread < ranks[i].threads; ++thread) {
      if (seating.seat(i)) continue;
      std::string names;
      const std::set<std::size_t> crowd = seating.crowd(i);
      for (const std::size_t other : crowd)
        names += (names.empty() ? "" : other == *crowd.rbegin() ? " and " : ", ") + std::to_string(ranks[other].rank);
      return "ranks " + names + " share " + counted(seating.tried().size(), "core") + " of " +
             std::to_string(cores.size()) + " while others are idle: start with " + binding_options(most);
    }
  return "";
}

std::string inspect_binding(MPI_Comm comm, int threads) {
  struct Seat {
    cpu_set_t mine;
    cpu_set_t allowed;
    int rank;
    int threads;
  };
  Seat own{mask_of_this_rank(), mask_if_unbound(), 0, threads};
  MPI_Comm_rank(comm, &own.rank);
  MPI_Comm node;
  MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int size = 1;
  int rank_of_node = 0;
  MPI_Comm_size(node, &size);
  MPI_Comm_rank(node, &rank_of_node);
  std::vector<Seat> seats(static_cast<std::size_t>(size));
  MPI_Gather(&own, sizeof own, MPI_BYTE, seats.data(), sizeof own, MPI_BYTE, 0, node);
  MPI_Comm_free(&node);
  std::string advice;
  if (rank_of_node == 0) {
    std::vector<Placement> ranks;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    for (const Seat& seat : seats) {
      ranks.push_back({seat.rank, cores_in(seat.mine), seat.threads});
      CPU_OR(&cores, &cores, &seat.allowed);
    }
    advice = binding_advice(ranks, cores_in(cores));
  }
  if (!advice.empty()) {
    std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
    int length = 0;
    MPI_Get_processor_name(name.data(), &length);
    advice = "on node " + std::string(name.data()) + " " + advice;
  }
  int ranks = 1;
  MPI_Comm_size(comm, &ranks);
  int first = advice.empty() ? ranks : own.rank;
  MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm);
  if (first == ranks) return "";
  int length = static_cast<int>(advice.size());
  MPI_Bcast(&length, 1, MPI_INT, first, comm);
  advice.resize(static_cast<std::size_t>(length));
  MPI_Bcast(advice.data(), length, MPI_CHAR, first, comm);
  return advice;
}

void set_threads(int threads) {
  at::set_num_threads(threads);
  // Setting the inter-op pool is allowed once per process.
  static const bool once = (at::set_num_interop_threads(1), true);
  (void)once;
  if (auto* set = loaded<void(int)>("openblas_set_num_threads")) set(threads);
}

double resident_memory_mb() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / bytes_per_mb;
}

double peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void release_free_memory() {
#ifdef __GLIBC__
  (void)malloc_trim(0);
#endif
}

}  // namespace espalier::core
