// The life of a program: MPI, PETSc and torch threads started in the right order, errors reported once, exit code.
#pragma once

#include <mpi.h>

#include <functional>
#include <memory>
#include <string>

#include "espalier/core/report.hpp"

namespace espalier::core {

/// What `-help` and the report say about the program.
struct Program {
  std::string name;  ///< as in the report's key `app`
  std::string help;  ///< equation, boundary conditions, units; shown by -help
};

/// Starts MPI, PETSc (options, -help, -options_file, -log_view), the torch threads, the log events and the error
/// handler; stops them when it goes. Collective on MPI_COMM_WORLD; one at a time per process.
/// Options: `-threads n` (torch and BLAS threads of each rank; default: cores / ranks on the node), `-report FILE`,
/// `-binding_advice` (a line on standard error when ranks and threads sit badly on the cores; on, unless the
/// environment has ESPALIER_BINDING_ADVICE=0), `-error_traceback`.
class Session {
 public:
  Session(int& argc, char**& argv, const Program& program);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  MPI_Comm comm() const { return comm_; }
  /// A duplicate of comm() that only failing ranks use, so that their agreement matches no other collective.
  MPI_Comm failure_comm() const { return failure_comm_; }
  int rank() const { return rank_; }
  int size() const { return size_; }
  int threads() const { return threads_; }
  bool help_requested() const { return help_requested_; }
  RunReport& report() { return *report_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  MPI_Comm failure_comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  int threads_ = 1;
  bool owns_mpi_ = false;
  bool help_requested_ = false;
  std::unique_ptr<RunReport> report_;
};

/// The main function of an app: runs `body` in a Session and returns the exit code. An exception that reaches all
/// ranks is printed once by rank 0, the report gets its text as status, and every rank returns 1; one that leaves the
/// other ranks inside the computation is printed by its rank and ends the job through MPI_Abort: never a hang.
int run(int argc, char** argv, const Program& program, const std::function<void(Session&)>& body);

/// How long a rank with an exception waits for the others to bring theirs before it goes on alone.
constexpr double agreement_seconds = 5;

/// True when every rank of `comm` arrives within the time limit. Collective, but for ranks that never come: after false
/// `comm` is of no more use.
bool everybody_arrives(MPI_Comm comm, double seconds);

/// True on every rank if `flag` is true on any. Collective on `comm`. Turns a rank-local failure into an agreed one.
bool any_rank(MPI_Comm comm, bool flag);

/// Runs `body`, which may fail on some ranks only (opening a file, say), and throws the failure of the lowest failing
/// rank on all ranks: a NumericalError, InternalError or, whatever else it was, a UserError with its text. Collective
/// on `comm`; `body` must not be.
void agree(MPI_Comm comm, const std::function<void()>& body);

/// From SIGINT or SIGTERM on, interrupted() is true; the second signal ends the process at once. A guard starts clean,
/// unless it lives inside another one.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  /// Of this rank; agree with any_rank() before acting on it.
  static bool interrupted();

 private:
  struct Saved;
  std::unique_ptr<Saved> saved_;
};

}  // namespace espalier::core
