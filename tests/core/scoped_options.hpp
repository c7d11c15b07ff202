// PETSc options for the length of a test.
#pragma once

#include <petscsys.h>

#include <cctype>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"

namespace espalier::testing {

/// Puts "-a 1 -b x" into PETSc's database and takes it out again.
class ScopedOptions {
 public:
  explicit ScopedOptions(const std::string& options) {
    std::istringstream words(options);
    for (std::string word; words >> word;)
      if (word.size() > 1 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1])) != 0)
        names_.push_back(word);
    ESPALIER_CALL(PetscOptionsInsertString(nullptr, options.c_str()));
  }
  ~ScopedOptions() {
    for (const auto& name : names_) (void)PetscOptionsClearValue(nullptr, name.c_str());
  }
  ScopedOptions(const ScopedOptions&) = delete;
  ScopedOptions& operator=(const ScopedOptions&) = delete;

 private:
  std::vector<std::string> names_;
};

}  // namespace espalier::testing
