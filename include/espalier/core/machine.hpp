// What the machine offers and what the libraries made of it: cores, threads, BLAS kernel, binding of ranks to cores.
#pragma once

#include <mpi.h>

#include <string>
#include <vector>

namespace espalier::core {

/// The BLAS in this process.
struct Blas {
  std::string library;  ///< its own description, or "unknown"
  std::string kernel;   ///< OpenBLAS core name such as SkylakeX; empty for other libraries
  std::string advice;   ///< empty, or one line: what is slow and the setting that mends it
};

/// Asks the loaded BLAS for its name and kernel, and compares the kernel with the processor's instruction sets.
Blas inspect_blas();

/// What decides which OpenBLAS kernels are best.
struct Processor {
  bool avx2 = false;
  bool avx512 = false;
  bool zen = false;  ///< AMD's Zen to Zen 4, whose units have 256 bits: faster with AVX2 kernels even with AVX-512
};

/// The comparison alone: advice for an OpenBLAS kernel on a processor.
std::string kernel_advice(const std::string& kernel, const Processor& processor);

/// Cores that this rank can use: those it may run on, divided by the ranks of its node that may run there too (at least
/// 1).
/// Collective on `comm`.
int cores_per_rank(MPI_Comm comm);

/// Where a rank may run, and with how many threads.
struct Placement {
  int rank = 0;
  std::vector<int> cores;  ///< numbers of the cores in its affinity mask; each hardware thread counts as a core
  int threads = 1;
};

/// The judgement alone, of the ranks of one node whose job may use `cores` of it: empty, or one line that says what is
/// wrong and what to change. Wrong are more threads than cores, on the node or in the mask of a rank, and ranks that
/// crowd on some cores while others stay idle.
std::string binding_advice(const std::vector<Placement>& ranks, const std::vector<int>& cores);

/// Asks all ranks where they may run with their `threads`; the advice for the node of the lowest rank that needs one,
/// the same text on all ranks. Collective on `comm`.
std::string inspect_binding(MPI_Comm comm, int threads);

/// Sets the threads of torch (intra-op; inter-op 1) and of the BLAS. Call before the first tensor.
void set_threads(int threads);

/// Memory of this process: now, and the most so far. 0 where the system does not say.
double resident_memory_mb();
double peak_memory_mb();

/// Gives pages that hold nothing but freed memory back to the system, where the C library can (glibc). Long loops call
/// it now and then: glibc before 2.38 finds no use for much of what aligned allocations leave behind.
void release_free_memory();

}  // namespace espalier::core
