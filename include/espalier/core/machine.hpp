// What the machine offers and what the libraries made of it: cores, threads, BLAS kernel.
#pragma once

#include <mpi.h>

#include <string>

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

/// Sets the threads of torch (intra-op; inter-op 1) and of the BLAS. Call before the first tensor.
void set_threads(int threads);

/// Memory of this process: now, and the most so far. 0 where the system does not say.
double resident_memory_mb();
double peak_memory_mb();

/// Gives pages that hold nothing but freed memory back to the system, where the C library can (glibc). Long loops call
/// it now and then: glibc before 2.38 finds no use for much of what aligned allocations leave behind.
void release_free_memory();

}  // namespace espalier::core
