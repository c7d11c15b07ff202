// Integration methods by name: which TS type runs them and which part of a split system they treat implicitly.
#pragma once

#include <petscts.h>

#include <string>
#include <vector>

namespace espalier::ts {

/// How a method reads du/dt = G + H.
enum class Splitting {
  semi_implicit,   ///< G explicit, H implicit (TSARKIMEX)
  fully_explicit,  ///< G + H explicit (TSRK, Adams-Bashforth)
  fully_implicit   ///< G + H implicit (TSTHETA: cn, beuler; Adams-Moulton)
};

struct Method {
  std::string name;  ///< as in -method
  Splitting splitting;
  std::string ts_type;      ///< TSARKIMEX, TSRK, TSCN, TSBEULER or adams_type
  std::string ts_sub_type;  ///< PETSc's name of the tableau; empty if there is none
  int order;
  /// Evaluations of G per step of a semi-implicit or explicit method, its starting steps aside; 0 otherwise.
  int stages;
};

/// All methods: the IMEX Runge-Kutta tableaus of TSARKIMEX, those of TSRK, the Adams methods (fixed steps only, see
/// ts/adams.hpp), Crank-Nicolson and backward Euler. TSARKIMEX's bpr3 is not among them: on systems with both parts it
/// converges with order one only.
const std::vector<Method>& methods();

/// Throws UserError that lists the names.
const Method& find_method(const std::string& name);

}  // namespace espalier::ts
