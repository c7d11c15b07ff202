// Run-time options: PETSc's database, read in groups with help, defaults, ranges and names checked.
#pragma once

#include <petscsys.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace espalier::core {

/// Reads the options of one group; made by read_options(). Collective on the group's communicator.
/// Each call declares the option (so that `-help` lists it), returns its value or `fallback`, and throws UserError
/// when the value is outside the stated range or set.
class OptionReader {
 public:
  OptionReader(void* items, std::string prefix) : items_(items), prefix_(std::move(prefix)) {}

  double real(const char* name, const char* help, double fallback,
              double least = -std::numeric_limits<double>::infinity(),
              double most = std::numeric_limits<double>::infinity());
  /// As real(), but the bounds themselves are not allowed.
  double positive(const char* name, const char* help, double fallback);
  PetscInt integer(const char* name, const char* help, PetscInt fallback,
                   PetscInt least = std::numeric_limits<PetscInt>::min(),
                   PetscInt most = std::numeric_limits<PetscInt>::max());
  bool flag(const char* name, const char* help, bool fallback);
  std::string text(const char* name, const char* help, const std::string& fallback);
  /// One of `names`; returns its index. `fallback` is an index too.
  std::size_t choice(const char* name, const char* help, const std::vector<std::string>& names, std::size_t fallback);
  /// A list of integers such as `200,200,200`.
  std::vector<PetscInt> integers(const char* name, const char* help, const std::vector<PetscInt>& fallback,
                                 PetscInt least = std::numeric_limits<PetscInt>::min());
  std::vector<double> reals(const char* name, const char* help, const std::vector<double>& fallback);

 private:
  std::string full_name(const char* name) const;
  void* items_;
  std::string prefix_;
};

/// Opens the option group `title`, hands a reader to `body`, closes the group. Collective on `comm`.
void read_options(MPI_Comm comm, const std::string& title, const std::function<void(OptionReader&)>& body,
                  const std::string& prefix = "");

/// True when the option stands on the command line or in an options file. Not collective.
bool option_given(const std::string& name);

/// Gives an option this value unless it stands on the command line or in an options file: a program's own default for
/// an option that a solver reads. Not collective; the same on all ranks.
void default_option(const std::string& name, const std::string& value);

/// Throws UserError when an option whose name begins with one of `prefixes` (with the dash, as "-train_") was given
/// but never read: a misspelt option must not be ignored. Call it when all groups have been read.
void reject_unknown_options(const std::vector<std::string>& prefixes);

/// All options given, as pairs (name with dash, value); the order is PETSc's.
std::vector<std::pair<std::string, std::string>> given_options();

}  // namespace espalier::core
