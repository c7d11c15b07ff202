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
#include <fstream>
#include <set>
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
  const int online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof mine, &mine) != 0)
    for (int cpu = 0; cpu < std::min(online, CPU_SETSIZE); ++cpu) CPU_SET(cpu, &mine);
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
