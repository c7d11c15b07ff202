#include "espalier/checkpoint/scratch_folder.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "espalier/core/error.hpp"

namespace espalier::checkpoint {

namespace {

// How long processes that are ended by a signal wait for each other, and between two looks. Milliseconds.
constexpr int patience = 800;
constexpr int pause = 5;

constexpr const char* name_another = "; name another folder with -checkpoint_dir";

struct Ending {
  int signal;
  bool crash;  // no handler goes on after it
};
constexpr std::array<Ending, 10> endings = {{{SIGTERM, false},
                                             {SIGINT, false},
                                             {SIGHUP, false},
                                             {SIGQUIT, false},
                                             {SIGXCPU, false},
                                             {SIGABRT, true},
                                             {SIGSEGV, true},
                                             {SIGBUS, true},
                                             {SIGFPE, true},
                                             {SIGILL, true}}};

// What was there before the handlers; changed only while this thread holds signals back.
std::array<struct sigaction, endings.size()> former;
struct sigaction former_file_size;
int folders = 0;

// Folders that this process found missing, whenever that was: of several objects that use them the last one removes
// them. Ranks may find them in different states later, when some have removed their files and some have not.
std::set<std::string>& found_missing() {
  static std::set<std::string> all;
  return all;
}

void add_requests(sigset_t& set) {
  for (const Ending& ending : endings)
    if (!ending.crash) sigaddset(&set, ending.signal);
}

/// Nothing ends the program between the creation of something and the note that it must be removed.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t set;
    sigemptyset(&set);
    add_requests(set);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  sigset_t before_;
};

// Text in an array, with what a signal handler may call: neither memory from the heap nor the C library's formats.
class Path {
 public:
  void append(const char* text) { append(text, std::strlen(text)); }
  void append(const char* text, std::size_t length) {
    length = std::min(length, sizeof text_ - 1 - length_);
    std::memcpy(text_ + length_, text, length);
    length_ += length;
    text_[length_] = '\0';
  }
  void append(long number) {
    char digits[20];
    std::size_t first = sizeof digits;
    do {
      digits[--first] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    append(digits + first, sizeof digits - first);
  }
  void cut(std::size_t length) {
    length_ = length;
    text_[length_] = '\0';
  }
  /// To the folder above; false at the root.
  bool ascend() {
    const char* slash = std::strrchr(text_, '/');
    if (slash == nullptr || slash == text_) return false;
    cut(static_cast<std::size_t>(slash - text_));
    while (length_ > 1 && text_[length_ - 1] == '/') cut(length_ - 1);
    return true;
  }
  const char* text() const { return text_; }
  std::size_t length() const { return length_; }

 private:
  char text_[PATH_MAX] = "";
  std::size_t length_ = 0;
};

void append_part(Path& path, int rank) {
  path.append("/");
  path.append(static_cast<long>(rank));
  path.append(".part");
}

void append_file(Path& path, int rank, long number) {
  path.append("/");
  path.append(static_cast<long>(rank));
  path.append(".");
  path.append(number);
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

/// What must be removed, in a form that a signal handler can read. They make a list of which nothing is ever taken out;
/// those of objects that are gone are used again.
struct Remains {
  static std::atomic<Remains*> list;

  std::atomic<bool> there{false};
  std::atomic<long> files{0};  // numbers below may have files
  Path folder;
  int rank = 0;
  int missing = 0;
  pid_t process = 0;  // a child of this process owns none of it
  Remains* next = nullptr;

  static Remains* take() {
    for (Remains* one = list.load(); one != nullptr; one = one->next)
      if (!one->there) return one;
    auto* fresh = new Remains;
    fresh->next = list.load();
    list.store(fresh);
    return fresh;
  }

  /// True if the folder is gone.
  bool remove() const noexcept {
    if (!there || process != ::getpid()) return true;
    Path path = folder;
    append_part(path, rank);
    (void)::unlink(path.text());
    for (long number = 0; number < files; ++number) {
      path.cut(folder.length());
      append_file(path, rank, number);
      (void)::unlink(path.text());
    }
    path.cut(folder.length());
    // Fails while other processes have files.
    const bool gone = ::rmdir(path.text()) == 0 || errno == ENOENT;
    for (int i = 0; i < missing && path.ascend(); ++i) (void)::rmdir(path.text());
    return gone;
  }

  static bool remove_all() noexcept {
    bool gone = true;
    for (const Remains* one = list.load(); one != nullptr; one = one->next) gone = one->remove() && gone;
    return gone;
  }

  /// Again and again until all processes have done it. Open MPI's launcher sends SIGKILL to the others as soon as the
  /// first one has died of a signal, and one second after the signal in any case. And this thread need not be the one
  /// that writes.
  static void remove_together() noexcept {
    for (int waited = 0; !remove_all() && waited < patience; waited += pause) (void)::poll(nullptr, 0, pause);
  }
};

std::atomic<Remains*> Remains::list{nullptr};

// --- how programs end -----------------------------------------------------------------------------------------------

namespace {

bool is_function(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

bool is_default(int signal) {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && !is_function(now) && now.sa_handler == SIG_DFL;
}

std::size_t index_of(int signal) {
  std::size_t index = 0;
  while (endings[index].signal != signal) ++index;
  return index;
}

void call(const struct sigaction& action, int signal, siginfo_t* info, void* context) {
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
}

// A function that is there for crashes too ends the program: PETSc's, unless -no_signal_handler was given.
bool returns(const struct sigaction& action, int signal) {
  const std::size_t index = index_of(signal);
  const struct sigaction& crash = former[index_of(SIGSEGV)];
  return !endings[index].crash && !(is_function(crash) && crash.sa_handler == action.sa_handler);
}

void end_by(int signal) {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  // Held back until the handler returns.
  std::raise(signal);
}

void on_ending(int signal, siginfo_t* info, void* context) {
  // Set if the handler of before has called this one, which it had found in its place earlier.
  static std::atomic<bool> inside{false};
  const int error = errno;
  const struct sigaction before = former[index_of(signal)];
  const bool calls_before = is_function(before) && !inside.exchange(true);
  if (calls_before && returns(before, signal)) {
    call(before, signal, info, context);
    // It may have decided on the end, which then comes when this handler returns.
    if (is_default(signal)) Remains::remove_together();
  } else {
    Remains::remove_together();
    if (calls_before) {
      call(before, signal, info, context);
    } else {
      end_by(signal);
    }
  }
  if (calls_before) inside = false;
  errno = error;
}

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == on_ending;
}

void install(std::size_t index) {
  struct sigaction now {};
  sigaction(endings[index].signal, nullptr, &now);
  // Ours if somebody who came later and outlived the last object has put it back. What is ignored stays so, in programs
  // that this one starts too.
  if (is_ours(now) || (!is_function(now) && now.sa_handler == SIG_IGN)) return;
  former[index] = now;
  struct sigaction action {};
  action.sa_sigaction = on_ending;
  action.sa_flags = SA_SIGINFO | (is_function(now) ? now.sa_flags & (SA_RESTART | SA_ONSTACK) : SA_RESTART);
  action.sa_mask = now.sa_mask;
  add_requests(action.sa_mask);
  sigaction(endings[index].signal, &action, nullptr);
}

void uninstall(std::size_t index) {
  struct sigaction now {};
  sigaction(endings[index].signal, nullptr, &now);
  if (is_ours(now)) sigaction(endings[index].signal, &former[index], nullptr);
}

// A limit on the size of files is an error like a full disk, not the end of the program.
void ignore_file_size_signal() {
  sigaction(SIGXFSZ, nullptr, &former_file_size);
  if (is_function(former_file_size)) return;
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGXFSZ, &ignore, nullptr);
}

void stop_ignoring_file_size_signal() {
  struct sigaction now {};
  sigaction(SIGXFSZ, nullptr, &now);
  if (!is_function(now) && now.sa_handler == SIG_IGN) sigaction(SIGXFSZ, &former_file_size, nullptr);
}

}  // namespace

// --- the folder -----------------------------------------------------------------------------------------------------

ScratchFolder::ScratchFolder(std::string parent, int rank)
    : parent_(without_trailing_slash(std::move(parent))), rank_(rank) {
  ESPALIER_ASSERT(!parent_.empty() && parent_.front() == '/', "a scratch folder needs an absolute path");
  std::error_code error;
  for (std::filesystem::path folder = parent_; folder.has_relative_path(); folder = folder.parent_path()) {
    if (std::filesystem::exists(folder, error) && found_missing().count(folder.string()) == 0) break;
    found_missing().insert(folder.string());
    ++missing_;
  }
  const SignalsHeld held;
  if (folders++ > 0) return;
  static const bool at_exit = std::atexit([] { Remains::remove_all(); }) == 0;
  (void)at_exit;
  for (std::size_t i = 0; i < endings.size(); ++i) install(i);
  ignore_file_size_signal();
}

ScratchFolder::~ScratchFolder() {
  const SignalsHeld held;
  if (remains_ != nullptr) {
    (void)remains_->remove();
    remains_->there = false;
  }
  if (--folders > 0) return;
  for (std::size_t i = 0; i < endings.size(); ++i) uninstall(i);
  stop_ignoring_file_size_signal();
}

bool ScratchFolder::create(const std::string& name) { return create(name, /*shared=*/false); }

bool ScratchFolder::create(const std::string& name, bool shared) {
  const std::string path = (parent_ == "/" ? "" : parent_) + "/" + name;
  ESPALIER_REQUIRE(path.size() + 40 < PATH_MAX,
                   "cannot keep checkpoints in " + parent_ + ": its name is too long" + name_another);
  const SignalsHeld held;
  // Another job that had created the parent may remove it between the two.
  int error = ENOENT;
  for (int attempt = 0; attempt < 3 && error == ENOENT; ++attempt) {
    std::error_code of_parent;
    std::filesystem::create_directories(parent_, of_parent);
    error = ::mkdir(path.c_str(), S_IRWXU) == 0 ? 0 : errno;
    if (error == ENOENT && of_parent) error = of_parent.value();
  }
  if (error == EEXIST && !shared) return false;
  Remains* remains = Remains::take();
  remains->folder = Path();
  remains->folder.append(path.c_str());
  remains->rank = rank_;
  remains->missing = missing_;
  remains->process = ::getpid();
  remains->files = 0;
  remains->there = true;
  remains_ = remains;
  path_ = path;
  // Folders above may have been created even so: they are removed with the object.
  ESPALIER_REQUIRE(error == 0 || error == EEXIST,
                   "cannot keep checkpoints in " + parent_ + ": " + std::strerror(error) + name_another);
  return true;
}

std::string ScratchFolder::file(long number) {
  ESPALIER_ASSERT(remains_ != nullptr && number >= 0 && number < most_files, "a scratch folder has no such file");
  if (remains_->files <= number) remains_->files = number + 1;
  // Somebody who came before this object and is gone has put the default back.
  for (std::size_t i = 0; i < endings.size(); ++i)
    if (is_default(endings[i].signal)) {
      const SignalsHeld held;
      install(i);
    }
  Path path = remains_->folder;
  append_file(path, rank_, number);
  return path.text();
}

std::string ScratchFolder::part() const {
  ESPALIER_ASSERT(remains_ != nullptr, "a scratch folder has no files before it is created");
  Path path = remains_->folder;
  append_part(path, rank_);
  return path.text();
}

}  // namespace espalier::checkpoint
