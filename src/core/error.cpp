#include "espalier/core/error.hpp"

#include <mpi.h>

#include <cstring>
#include <string>
#include <utility>

namespace espalier {

namespace {

// What a PETSc call left behind on this rank while it unwound: the exception of a callback, or PETSc's own words.
std::exception_ptr kept_exception;
std::string kept_message;
PetscErrorCode kept_code = PETSC_SUCCESS;

// The last exception whose text PETSc's error handler has seen.
std::exception_ptr announced_exception;

PetscErrorCode remember_first_message(MPI_Comm /*comm*/, int line, const char* function, const char* file,
                                      PetscErrorCode code, PetscErrorType type, const char* message,
                                      void* /*context*/) {
  if (type == PETSC_ERROR_INITIAL) {
    // A new failure: whoever got the code of an earlier one has dealt with it.
    kept_exception = nullptr;
    kept_code = code;
    const char* generic = nullptr;
    PetscErrorMessage(code, &generic, nullptr);
    kept_message = std::string(message != nullptr && *message != '\0' ? message : (generic ? generic : ""));
    while (!kept_message.empty() && (kept_message.back() == '\n' || kept_message.back() == ' '))
      kept_message.pop_back();
    const char* base = std::strrchr(file, '/');
    kept_message += std::string(" [PETSc error ") + std::to_string(static_cast<int>(code)) + " in " + function + ", " +
                    (base ? base + 1 : file) + ":" + std::to_string(line) + "]";
  }
  return code;
}

// Callers that see PETSc's codes only, not our exceptions, read the text in PETSc's error trace.
void announce(const std::exception_ptr& exception) noexcept {
  if (exception == announced_exception) return;
  announced_exception = exception;
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    (void)PetscError(PETSC_COMM_SELF, __LINE__, "guard", __FILE__, PETSC_ERR_USER, PETSC_ERROR_INITIAL, "%s (%s)",
                     error.what(), error.where().c_str());
  } catch (const std::exception& error) {
    (void)PetscError(PETSC_COMM_SELF, __LINE__, "guard", __FILE__, PETSC_ERR_USER, PETSC_ERROR_INITIAL, "%s",
                     error.what());
  } catch (...) {
    (void)PetscError(PETSC_COMM_SELF, __LINE__, "guard", __FILE__, PETSC_ERR_USER, PETSC_ERROR_INITIAL,
                     "exception of unknown type");
  }
}

}  // namespace

std::string Error::where() const {
  const char* base = std::strrchr(file_, '/');
  return std::string(base ? base + 1 : file_) + ":" + std::to_string(line_);
}

namespace core {

void throw_petsc_failure(PetscErrorCode code, const char* call, const char* file, int line) {
  std::string message = std::exchange(kept_message, std::string());
  if (kept_exception && code == PETSC_ERR_USER) std::rethrow_exception(std::exchange(kept_exception, nullptr));
  kept_exception = nullptr;
  if (message.empty() || code != kept_code) {
    const char* generic = nullptr;
    PetscErrorMessage(code, &generic, nullptr);
    message = std::string(generic ? generic : "unknown error") + " [PETSc error " +
              std::to_string(static_cast<int>(code)) + "]";
  }
  const std::string name = std::string(call).substr(0, std::string(call).find('('));
  throw PetscFailure(name + " failed: " + message, code, file, line);
}

PetscErrorCode keep_current_exception() noexcept {
  const std::exception_ptr exception = std::current_exception();
  announce(exception);
  kept_exception = exception;
  return PETSC_ERR_USER;
}

void install_error_handler() { PetscPushErrorHandler(remember_first_message, nullptr); }

}  // namespace core
}  // namespace espalier
