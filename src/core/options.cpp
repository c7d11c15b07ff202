#include "espalier/core/options.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/petsc/compat.hpp"

namespace espalier::core {

namespace {

constexpr std::size_t text_length = 4096;
constexpr PetscInt list_length = 64;

// PETSc drops what does not fit: one place more shows that there was more.
void require_whole(const std::string& name, PetscInt count) {
  ESPALIER_REQUIRE(count <= list_length, name + ": the list is longer than " + std::to_string(list_length));
}

std::string number(double value) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%g", value);
  return buffer.data();
}

// A value that PETSc cannot read is reported in its words, but with the option's name.
void require_readable(const std::string& name, PetscErrorCode code) {
  try {
    core::check(code, "value", __FILE__, __LINE__);
  } catch (const PetscFailure& failure) {
    const std::string text = failure.what();
    throw UserError(name + ": " + text.substr(0, text.find(" [PETSc error")), __FILE__, __LINE__);
  }
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substitution}));
    }
  }
  return row.back();
}

// Every name a group has declared, for "did you mean".
std::vector<std::string>& declared_names() {
  static std::vector<std::string> names;
  return names;
}

void declare(const std::string& name) {
  auto& names = declared_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

std::string closest_name(const std::string& name) {
  std::string best;
  std::size_t distance = 4;
  for (const auto& candidate : declared_names()) {
    const std::size_t d = edit_distance(name, candidate);
    if (d < distance) {
      distance = d;
      best = candidate;
    }
  }
  return best;
}

}  // namespace

std::string OptionReader::full_name(const char* name) const {
  const std::string full = "-" + prefix_ + (name + 1);
  declare(full);
  return full;
}

// PETSc's option macros expect a variable called PetscOptionsObject in scope.
#define ESPALIER_OPTION_ITEMS auto PetscOptionsObject = static_cast<petsc::OptionItems>(items_)

double OptionReader::real(const char* name, const char* help, double fallback, double least, double most) {
  ESPALIER_OPTION_ITEMS;
  const std::string full = full_name(name);
  PetscReal value = fallback;
  require_readable(full, PetscOptionsReal(name, help, "", value, &value, nullptr));
  ESPALIER_REQUIRE(std::isfinite(value) && value >= least && value <= most,
                   full + " " + number(value) + ": must lie in [" + number(least) + ", " + number(most) + "]");
  return value;
}

double OptionReader::positive(const char* name, const char* help, double fallback) {
  const double value = real(name, help, fallback);
  ESPALIER_REQUIRE(value > 0, full_name(name) + " " + number(value) + ": must be positive");
  return value;
}

PetscInt OptionReader::integer(const char* name, const char* help, PetscInt fallback, PetscInt least, PetscInt most) {
  ESPALIER_OPTION_ITEMS;
  const std::string full = full_name(name);
  PetscInt value = fallback;
  require_readable(full, PetscOptionsInt(name, help, "", value, &value, nullptr));
  ESPALIER_REQUIRE(value >= least && value <= most, full + " " + std::to_string(value) + ": must lie in [" +
                                                        std::to_string(least) + ", " + std::to_string(most) + "]");
  return value;
}

bool OptionReader::flag(const char* name, const char* help, bool fallback) {
  ESPALIER_OPTION_ITEMS;
  PetscBool value = fallback ? PETSC_TRUE : PETSC_FALSE;
  require_readable(full_name(name), PetscOptionsBool(name, help, "", value, &value, nullptr));
  return value == PETSC_TRUE;
}

std::string OptionReader::text(const char* name, const char* help, const std::string& fallback) {
  ESPALIER_OPTION_ITEMS;
  full_name(name);
  std::vector<char> buffer(text_length, '\0');
  PetscBool given = PETSC_FALSE;
  ESPALIER_CALL(PetscOptionsString(name, help, "", fallback.c_str(), buffer.data(), buffer.size(), &given));
  return given ? std::string(buffer.data()) : fallback;
}

std::size_t OptionReader::choice(const char* name, const char* help, const std::vector<std::string>& names,
                                 std::size_t fallback) {
  const std::string described = std::string(help) + " (one of: " + join(names) + ")";
  const std::string value = text(name, described.c_str(), names.at(fallback));
  const auto found = std::find(names.begin(), names.end(), value);
  ESPALIER_REQUIRE(found != names.end(),
                   full_name(name) + " " + value + ": unknown name; choose one of: " + join(names));
  return static_cast<std::size_t>(found - names.begin());
}

std::vector<PetscInt> OptionReader::integers(const char* name, const char* help, const std::vector<PetscInt>& fallback,
                                             PetscInt least) {
  ESPALIER_OPTION_ITEMS;
  const std::string full = full_name(name);
  std::vector<PetscInt> values(list_length + 1);
  PetscInt count = list_length + 1;
  PetscBool given = PETSC_FALSE;
  require_readable(full, PetscOptionsIntArray(name, help, "", values.data(), &count, &given));
  if (!given) return fallback;
  require_whole(full, count);
  values.resize(static_cast<std::size_t>(count));
  for (const PetscInt value : values)
    ESPALIER_REQUIRE(value >= least, full + ": " + std::to_string(value) + " is below " + std::to_string(least));
  return values;
}

std::vector<double> OptionReader::reals(const char* name, const char* help, const std::vector<double>& fallback) {
  ESPALIER_OPTION_ITEMS;
  const std::string full = full_name(name);
  std::vector<PetscReal> values(list_length + 1);
  PetscInt count = list_length + 1;
  PetscBool given = PETSC_FALSE;
  require_readable(full, PetscOptionsRealArray(name, help, "", values.data(), &count, &given));
  if (!given) return fallback;
  require_whole(full, count);
  values.resize(static_cast<std::size_t>(count));
  for (const double value : values) ESPALIER_REQUIRE(std::isfinite(value), full + ": a value is not finite");
  return values;
}

#undef ESPALIER_OPTION_ITEMS

namespace {

// PetscOptionsBegin/End contain PetscCall, which returns a code: so they live in a C-like function of their own.
PetscErrorCode run_group(MPI_Comm comm, const char* prefix, const char* title, const std::function<void(void*)>& body) {
  PetscFunctionBeginUser;
  std::exception_ptr failure;
  PetscOptionsBegin(comm, prefix, title, nullptr);
  try {
    if (!failure) body(static_cast<void*>(PetscOptionsObject));
  } catch (...) {
    failure = std::current_exception();
  }
  PetscOptionsEnd();
  if (failure) {
    try {
      std::rethrow_exception(failure);
    } catch (...) {
      PetscFunctionReturn(keep_current_exception());
    }
  }
  PetscFunctionReturn(PETSC_SUCCESS);
}

}  // namespace

void read_options(MPI_Comm comm, const std::string& title, const std::function<void(OptionReader&)>& body,
                  const std::string& prefix) {
  ESPALIER_CALL(run_group(comm, prefix.empty() ? nullptr : prefix.c_str(), title.c_str(), [&](void* items) {
    OptionReader reader(items, prefix);
    body(reader);
  }));
}

bool option_given(const std::string& name) {
  PetscBool given = PETSC_FALSE;
  ESPALIER_CALL(PetscOptionsHasName(nullptr, nullptr, name.c_str(), &given));
  return given == PETSC_TRUE;
}

void default_option(const std::string& name, const std::string& value) {
  if (!option_given(name)) ESPALIER_CALL(PetscOptionsSetValue(nullptr, name.c_str(), value.c_str()));
}

void reject_unknown_options(const std::vector<std::string>& prefixes) {
  PetscInt count = 0;
  char** names = nullptr;
  char** values = nullptr;
  ESPALIER_CALL(PetscOptionsLeftGet(nullptr, &count, &names, &values));
  std::string unknown;
  for (PetscInt i = 0; i < count && unknown.empty(); ++i) {
    const std::string name = std::string("-") + names[i];
    const bool ours = std::any_of(prefixes.begin(), prefixes.end(),
                                  [&](const std::string& prefix) { return name.rfind(prefix, 0) == 0; });
    if (ours) unknown = name;
  }
  ESPALIER_CALL(PetscOptionsLeftRestore(nullptr, &count, &names, &values));
  if (unknown.empty()) return;
  const std::string close = closest_name(unknown);
  throw UserError(unknown + ": unknown option" + (close.empty() ? "" : "; did you mean " + close + "?") +
                      " (-help lists all options)",
                  __FILE__, __LINE__);
}

std::vector<std::pair<std::string, std::string>> given_options() {
  char* all = nullptr;
  ESPALIER_CALL(PetscOptionsGetAll(nullptr, &all));
  std::vector<std::pair<std::string, std::string>> options;
  const std::string text(all != nullptr ? all : "");
  ESPALIER_CALL(PetscFree(all));
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t end = std::min(text.find(' ', position), text.size());
    const std::string word = text.substr(position, end - position);
    const bool is_name = word.size() > 1 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1]));
    if (is_name) {
      options.emplace_back(word, "");
    } else if (!options.empty() && !word.empty()) {
      options.back().second += (options.back().second.empty() ? "" : " ") + word;
    }
    position = end + 1;
  }
  return options;
}

}  // namespace espalier::core
