#include "espalier/core/session.hpp"

#include <petscsys.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/machine.hpp"
#include "espalier/core/options.hpp"

namespace espalier::core {

namespace {

std::atomic<int> interrupts{0};
int interrupt_guards = 0;

void note_interrupt(int signal) {
  if (interrupts.fetch_add(1) > 0) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

// OMP_NUM_THREADS if it is set to a number, else `share`.
int default_threads(int share) {
  const char* wanted = std::getenv("OMP_NUM_THREADS");
  const long threads = wanted == nullptr ? 0 : std::strtol(wanted, nullptr, 10);
  return threads > 0 ? static_cast<int>(std::min(threads, 4096L)) : share;
}

// The list of unused options that PETSc prints at the end means misspelt ones; after a failure many were not yet read.
void forget_unused_options() {
  PetscBool given = PETSC_FALSE;
  (void)PetscOptionsHasName(nullptr, nullptr, "-options_left", &given);
  if (!given) (void)PetscOptionsSetValue(nullptr, "-options_left", "no");
}

void check_blas(MPI_Comm comm) {
  const Blas blas = inspect_blas();
  if (!blas.advice.empty()) (void)PetscPrintf(comm, "note: %s\n", blas.advice.c_str());
}

// Where more ranks than cores are meant, as in tests, the environment says once that nobody wants to hear of it.
bool binding_advice_wanted() {
  const char* wanted = std::getenv("ESPALIER_BINDING_ADVICE");
  return wanted == nullptr || std::strcmp(wanted, "0") != 0;
}

void check_binding(MPI_Comm comm, int rank, int threads) {
  const std::string advice = inspect_binding(comm, threads);
  if (!advice.empty() && rank == 0) std::fprintf(stderr, "note: %s\n", advice.c_str());
}

// glibc before 2.38 finds no use for most of what aligned allocations leave behind, and torch aligns all of its
// allocations: a heap of large tensors that come and go grows without end. Blocks from this size on get pages of their
// own, always: by default glibc raises the limit to 32 MB by and by, and with it the free memory that it keeps at the
// end of the heap. That limit would now stay at 128 kB, and pages would be given back, mapped and zeroed all the time.
void tune_allocation() {
#ifdef __GLIBC__
  constexpr int block = 4 << 20;
  constexpr int kept = 64 << 20;
  (void)mallopt(M_MMAP_THRESHOLD, block);
  (void)mallopt(M_TRIM_THRESHOLD, kept);
#endif
}

}  // namespace

Session::Session(int& argc, char**& argv, const Program& program) {
  tune_allocation();
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (!initialized) {
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    owns_mpi_ = true;
  }
  // An options file that does not exist is PETSc's first chance to fail: keep its report short.
  install_error_handler();
  const std::string help = program.help + "\n";
  ESPALIER_CALL(PetscInitialize(&argc, &argv, nullptr, help.c_str()));
  PetscBool traceback = PETSC_FALSE;
  ESPALIER_CALL(PetscOptionsGetBool(nullptr, nullptr, "-error_traceback", &traceback, nullptr));
  if (traceback) ESPALIER_CALL(PetscPopErrorHandler());
  MPI_Comm_dup(MPI_COMM_WORLD, &comm_);
  MPI_Comm_dup(MPI_COMM_WORLD, &failure_comm_);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  PetscBool wants_help = PETSC_FALSE;
  ESPALIER_CALL(PetscOptionsHasHelp(nullptr, &wants_help));
  help_requested_ = wants_help == PETSC_TRUE;
  report_ = std::make_unique<RunReport>(comm_, program.name);
  const int share = cores_per_rank(comm_);
  bool advise = true;
  read_options(comm_, "Session", [&](OptionReader& o) {
    threads_ = static_cast<int>(
        o.integer("-threads", "torch and BLAS threads of each rank; 0: OMP_NUM_THREADS, else cores / ranks on the node",
                  0, 0, 4096));
    advise = o.flag("-binding_advice", "say when ranks and threads sit badly on the cores", binding_advice_wanted());
    (void)o.choice("-progress", "how long work shows its progress", {"auto", "bar", "lines", "none"}, 0);
    (void)o.flag("-error_traceback", "PETSc's own error trace instead of one message", false);
  });
  if (threads_ == 0) threads_ = default_threads(share);
  report_->set_threads(threads_);
  set_threads(threads_);
  register_events();
  check_blas(comm_);
  if (advise) check_binding(comm_, rank_, threads_);
}

Session::~Session() {
  report_.reset();
  if (failure_comm_ != MPI_COMM_NULL) MPI_Comm_free(&failure_comm_);
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  (void)PetscFinalize();
  if (owns_mpi_) MPI_Finalize();
}

bool everybody_arrives(MPI_Comm comm, double seconds) {
  MPI_Request request;
  MPI_Ibarrier(comm, &request);
  const double start = MPI_Wtime();
  int done = 0;
  while (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done)
    if (MPI_Wtime() - start > seconds) return false;
  return true;
}

bool any_rank(MPI_Comm comm, bool flag) {
  int any = flag ? 1 : 0;
  MPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, comm);
  return any != 0;
}

namespace {

// What kind of failure it is, in a form that travels.
enum class Kind : int { user, numerical, internal };

Kind kind_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const NumericalError&) {
    return Kind::numerical;
  } catch (const InternalError&) {
    return Kind::internal;
  } catch (...) {
    return Kind::user;
  }
}

[[noreturn]] void throw_as(Kind kind, const std::string& message) {
  if (kind == Kind::numerical) throw NumericalError(message, __FILE__, __LINE__);
  if (kind == Kind::internal) throw InternalError(message, __FILE__, __LINE__);
  throw UserError(message, __FILE__, __LINE__);
}

}  // namespace

void agree(MPI_Comm comm, const std::function<void()>& body) {
  std::string message;
  std::exception_ptr failure;
  try {
    body();
  } catch (const std::exception& error) {
    failure = std::current_exception();
    message = error.what();
  } catch (...) {
    failure = std::current_exception();
    message = "unexpected failure of unknown type";
  }
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  int first = failure ? rank : size;
  MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm);
  if (first == size) return;
  if (failure && size == 1) std::rethrow_exception(failure);
  std::array<int, 2> head = {static_cast<int>(message.size()), failure ? static_cast<int>(kind_of(failure)) : 0};
  MPI_Bcast(head.data(), 2, MPI_INT, first, comm);
  message.resize(static_cast<std::size_t>(head[0]));
  MPI_Bcast(message.data(), head[0], MPI_CHAR, first, comm);
  throw_as(static_cast<Kind>(head[1]), message);
}

namespace {

std::string describe(const std::exception& error, const char* kind) {
  std::string text = error.what();
  // c10::Error carries a stack trace behind its first lines; the first line is the message.
  const std::size_t trace = text.find("\nException raised from");
  if (trace != std::string::npos) text.resize(trace);
  return std::string(kind) + text;
}

std::string current_message() {
  try {
    throw;
  } catch (const InternalError& error) {
    return describe(error, "") + " (" + error.where() + "); please report it";
  } catch (const Error& error) {
    return describe(error, "");
  } catch (const std::exception& error) {
    return describe(error, "unexpected failure: ");
  } catch (...) {
    return "unexpected failure of unknown type";
  }
}

// The message of a failure that all ranks share, or the end of the job.
void report_failure(Session& session, const std::string& app, const std::string& message) {
  if (!everybody_arrives(session.failure_comm(), agreement_seconds)) {
    std::fprintf(stderr, "%s: rank %d: %s\n", app.c_str(), session.rank(), message.c_str());
    std::fflush(stderr);
    try {
      session.report().finish(message, false);
    } catch (...) {  // the job is ending; the message above has been printed
    }
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  if (session.rank() == 0) {
    std::fprintf(stderr, "%s: error: %s\n", app.c_str(), message.c_str());
    std::fflush(stderr);
  }
  try {
    session.report().finish(message, true);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: error: %s\n", app.c_str(), error.what());
  }
}

}  // namespace

namespace {

// A run that failed before it had a session: the message, the report that the command line asked for, and the end.
void end_early(int argc, char** argv, const std::string& app, const std::string& message) {
  int rank = 0;
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) {
    std::fprintf(stderr, "%s: error: %s\n", app.c_str(), message.c_str());
    for (int i = 1; i + 1 < argc; ++i)
      if (std::strcmp(argv[i], "-report") == 0) RunReport::write_failure(argv[i + 1], app, message);
  }
  PetscBool petsc_started = PETSC_FALSE;
  (void)PetscInitialized(&petsc_started);
  if (petsc_started) {
    forget_unused_options();
    (void)PetscFinalize();
  }
  if (initialized) MPI_Finalize();
}

}  // namespace

int run(int argc, char** argv, const Program& program, const std::function<void(Session&)>& body) {
  std::unique_ptr<Session> session;
  try {
    session = std::make_unique<Session>(argc, argv, program);
  } catch (const std::exception&) {
    end_early(argc, argv, program.name, current_message());
    return 1;
  }
  try {
    body(*session);
    session->report().finish("ok", true);
    return 0;
  } catch (...) {
    report_failure(*session, program.name, current_message());
    forget_unused_options();
    return 1;
  }
}

struct InterruptGuard::Saved {
  struct sigaction interrupt {};
  struct sigaction terminate {};
};

InterruptGuard::InterruptGuard() : saved_(std::make_unique<Saved>()) {
  if (interrupt_guards++ == 0) interrupts.store(0);
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  sigaction(SIGINT, &action, &saved_->interrupt);
  sigaction(SIGTERM, &action, &saved_->terminate);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &saved_->interrupt, nullptr);
  sigaction(SIGTERM, &saved_->terminate, nullptr);
  --interrupt_guards;
}

bool InterruptGuard::interrupted() { return interrupts.load() > 0; }

}  // namespace espalier::core
