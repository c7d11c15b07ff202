// A folder of files that must not outlive the program, however it ends.
#pragma once

#include <string>

namespace espalier::checkpoint {

struct Remains;

/// The part that one process has in a folder shared by the processes of a job, on a shared file system or on one per
/// node: numbered files, of which each process removes its own. The last process to do so removes the folder, and the
/// folders above it that creation found missing.
///
/// That happens when the object goes, at exit(), and when one of these signals ends the program: SIGTERM, SIGINT,
/// SIGHUP, SIGQUIT, SIGXCPU, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL. Their handlers are in place while a
/// ScratchFolder exists, and hidden by those that are set meanwhile. What was there before is called afterwards, so
/// that the exit status tells the signal. Only where a handler of before lets the program go on, as
/// core::InterruptGuard's does, it comes first, and files remain when it returns; one that handles SIGSEGV too, such as
/// PETSc's, is known not to return. Processes that a signal ends wait up to 0.8 s for each other: launchers kill the
/// others when the first one has died.
///
/// Files remain after SIGKILL. Open MPI's launcher sends it one second after SIGTERM: under a guard often before the
/// program has come to its end (-mca odls_base_sigkill_timeout gives it more seconds). They also remain after _exit(),
/// and of a process that calls MPI_Abort() itself where that ends in _exit(), as Open MPI's does; core::run() calls it
/// when the stack, and with it the object, is gone. Files larger than the process may write (RLIMIT_FSIZE) are errors
/// meanwhile, not SIGXFSZ.
///
/// Not collective. Objects are made and destroyed in one thread.
class ScratchFolder {
 public:
  /// A folder below `parent`, an absolute path, for the process `rank`. Creates nothing; looks which folders are
  /// missing, so every process must have its object before the first one creates.
  ScratchFolder(std::string parent, int rank);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  /// Creates `parent` and in it the folder `name`. False if that exists. Throws UserError if it cannot be created.
  bool create(const std::string& name);
  /// The same for another process of the job, which may find it on the same file system.
  void create_or_share(const std::string& name) { (void)create(name, true); }

  const std::string& path() const { return path_; }
  /// Path of a file, which will be removed at the end; 0 <= number < most_files.
  std::string file(long number);
  /// Path where a file is written before it gets its name.
  std::string part() const;

  /// At the end as many names are tried as the highest number says.
  static constexpr long most_files = 1L << 20;

 private:
  bool create(const std::string& name, bool shared);

  Remains* remains_ = nullptr;  // never freed: a signal handler may look at it at any time
  std::string parent_;
  std::string path_;
  int rank_;
  int missing_ = 0;  // how many folders, from `parent` upwards, were not there
};

}  // namespace espalier::checkpoint
