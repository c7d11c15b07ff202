// Integration methods by name: which TS type runs them and which part of a split system they treat implicitly.
#pragma once

#include <petscts.h>

#include <string>
#include <vector>

namespace espalier::ts {

/// How a method reads du/dt = G + H.
enum class Splitting {
  semi_implicit,   ///< G explicit, H implicit (TSARKIMEX)
  fully_explicit,  ///< G + H explicit (TSRK)
  fully_implicit   ///< G + H implicit (TSTHETA: cn, beuler)
};

struct Method {
  std::string name;  ///< as in -method
  Splitting splitting;
  std::string ts_type;      ///< TSARKIMEX, TSRK, TSCN, TSBEULER
  std::string ts_sub_type;  ///< PETSc's name of the tableau; empty if there is none
  int order;
  int stages;  ///< evaluations of G per step of a semi-implicit or explicit method; 0 otherwise
};

/// All methods: the IMEX Runge-Kutta tableaus of TSARKIMEX, those of TSRK, Crank-Nicolson and backward Euler.
/// TSARKIMEX's bpr3 is not among them: on systems with both parts it converges with order one only.
const std::vector<Method>& methods();

/// Throws UserError that lists the names.
const Method& find_method(const std::string& name);

}  // namespace espalier::ts
