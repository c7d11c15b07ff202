// Errors: what happened, where, and what to change.
//
// Inside C++ every failure is an exception derived from espalier::Error. A C callback handed to PETSc is a
// noexcept one-liner into guard(), so that no exception ever crosses a PETSc frame: guard() keeps the exception,
// returns an error code, and the PETSC_CALL-like macro at the other end of PETSc rethrows what was kept.
#pragma once

#include <petscsys.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace espalier {

/// Base of every exception the library throws.
class Error : public std::runtime_error {
 public:
  Error(const std::string& what, const char* file, int line) : std::runtime_error(what), file_(file), line_(line) {}

  /// Source position of the throw, "file:line", for bug reports.
  std::string where() const;

 private:
  const char* file_;
  int line_;
};

/// Bad input of the user: the message says what to change. Throw it on every rank of the session together.
class UserError : public Error {
 public:
  using Error::Error;
};

/// A broken promise inside the library: a bug of ours, never of the input.
class InternalError : public Error {
 public:
  using Error::Error;
};

/// A PETSc call that returned a non-zero code; what() holds PETSc's own message.
class PetscFailure : public Error {
 public:
  PetscFailure(const std::string& what, PetscErrorCode code, const char* file, int line)
      : Error(what, file, line), code_(code) {}
  PetscErrorCode code() const { return code_; }

 private:
  PetscErrorCode code_;
};

/// The computation itself failed: a solver diverged or a value is not finite. Not a bug, not a typing error.
class NumericalError : public Error {
 public:
  using Error::Error;
};

namespace core {

/// Turns a non-zero code into an exception: the one kept by guard() if there is one, else PetscFailure.
[[noreturn]] void throw_petsc_failure(PetscErrorCode code, const char* call, const char* file, int line);

/// Throws if `code` is not zero.
inline void check(PetscErrorCode code, const char* call, const char* file, int line) {
  if (PetscUnlikely(code != PETSC_SUCCESS)) throw_petsc_failure(code, call, file, line);
}

/// Keeps the exception in flight for the C++ side of the PETSc call and returns an error code. Never throws.
PetscErrorCode keep_current_exception() noexcept;

/// Silent PETSc error handler that remembers the first message, so that the user reads one message, not a trace
/// per rank. Installed by Session; `-error_traceback` leaves PETSc's own handler in place.
void install_error_handler();

/// "a, b, c" for messages that list the allowed names.
template <class Range>
std::string join(const Range& items, const char* separator = ", ") {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : separator) + std::string(item);
  return text;
}

}  // namespace core

/// Body of a C callback: runs `body`, returns PETSC_SUCCESS or an error code; the exception is kept, not thrown.
template <class Body>
PetscErrorCode guard(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return PETSC_SUCCESS;
  } catch (...) {
    return core::keep_current_exception();
  }
}

}  // namespace espalier

/// Calls PETSc (or MPI-free C code with PETSc codes) and throws if the code is not zero.
#define ESPALIER_CALL(...) ::espalier::core::check((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)

/// Checks the user's side, in release builds too; `message` says what is wrong and what to change.
#define ESPALIER_REQUIRE(condition, message)                                      \
  do {                                                                            \
    if (!(condition)) throw ::espalier::UserError((message), __FILE__, __LINE__); \
  } while (false)

/// Checks a promise of the library's own.
#define ESPALIER_ASSERT(condition, message)                                                             \
  do {                                                                                                  \
    if (!(condition))                                                                                   \
      throw ::espalier::InternalError(std::string("internal error: ") + (message), __FILE__, __LINE__); \
  } while (false)
