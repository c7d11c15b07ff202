#include "espalier/core/error.hpp"

#include <mpi.h>

#include <cstring>
#include <string>

namespace espalier {

namespace {

// What a PETSc call left behind on this rank while it unwound: the exception of a callback, or PETSc's own words.
std::exception_ptr kept_exception;
std::string kept_message;

PetscErrorCode remember_first_message(MPI_Comm /*comm*/, int line, const char* function, const char* file,
                                      PetscErrorCode code, PetscErrorType type, const char* message,
                                      void* /*context*/) {
  if (type == PETSC_ERROR_INITIAL && !kept_exception) {
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

}  // namespace

std::string Error::where() const {
  const char* base = std::strrchr(file_, '/');
  return std::string(base ? base + 1 : file_) + ":" + std::to_string(line_);
}

namespace core {

void throw_petsc_failure(PetscErrorCode code, const char* call, const char* file, int line) {
  if (kept_exception) {
    kept_message.clear();
    std::rethrow_exception(std::exchange(kept_exception, nullptr));
  }
  std::string message = std::exchange(kept_message, std::string());
  if (message.empty()) {
    const char* generic = nullptr;
    PetscErrorMessage(code, &generic, nullptr);
    message = std::string(generic ? generic : "unknown error") + " [PETSc error " +
              std::to_string(static_cast<int>(code)) + "]";
  }
  const std::string name = std::string(call).substr(0, std::string(call).find('('));
  throw PetscFailure(name + " failed: " + message, code, file, line);
}

PetscErrorCode keep_current_exception() noexcept {
  if (!kept_exception) kept_exception = std::current_exception();
  return PETSC_ERR_USER;
}

void install_error_handler() { PetscPushErrorHandler(remember_first_message, nullptr); }

}  // namespace core
}  // namespace espalier
