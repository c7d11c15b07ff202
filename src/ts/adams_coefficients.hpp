// Weights of the Adams methods and of the one-step methods that start them.
#pragma once

#include <string>
#include <vector>

namespace espalier::ts {

/// A Runge-Kutta method: row i of `a` has i entries (explicit) or i + 1 (diagonally implicit). The implicit ones end
/// with their last stage: b is the last row of `a`.
struct OneStepMethod {
  std::vector<std::vector<double>> a;
  std::vector<double> b;
  std::vector<double> c;
  std::size_t stages() const { return a.size(); }
};

/// u_{n+1} = u_n + h (next f_{n+1} + weights[0] f_n + weights[1] f_{n-1} + ...).
struct AdamsMethod {
  std::string name;
  int order;
  double next;  ///< 0 when explicit
  std::vector<double> weights;
  OneStepMethod start;  ///< of the same order; without stages where no step has to be started
  bool implicit() const { return next != 0; }
  /// How many f the method looks at, f_{n+1} not counted.
  std::size_t depth() const { return weights.size(); }
  /// Steps that the one-step method takes first.
  std::size_t starting_steps() const { return weights.size() - 1; }
};

/// Of any method here.
constexpr std::size_t adams_max_terms = 5;

/// Throws UserError that lists the names.
const AdamsMethod& find_adams_method(const std::string& name);

}  // namespace espalier::ts
