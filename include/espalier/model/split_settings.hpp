// What programs with a network beside a periodic difference operator have in common: options, and the operator's term.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/model/linear_term.hpp"

namespace espalier::model {

/// What of the linear part is trained.
enum class LinearTraining {
  none,     ///< nothing: A stays the difference operator
  stencil,  ///< the coefficients of the stencil
  dense     ///< every entry of A
};

/// The names for options, in the order of the enumeration.
const std::vector<std::string>& linear_training_names();

/// How the parts of du/dt = G(u; theta) + A u are run: G a network, A a difference operator on a periodic line.
struct SplitSettings {
  LinearSolver linear_solver = LinearSolver::lu_inverse;
  LinearTraining linear_train = LinearTraining::none;
  double linear_perturb = 0;  ///< parameters of a trained A begin with a random relative error of this size
  double network_keep_mb = 1024;

  /// Reads -linear_solver, -linear_train, -linear_perturb and -network_keep_mb. Throws UserError.
  void read(core::OptionReader& o);

  std::size_t keep_bytes() const { return static_cast<std::size_t>(network_keep_mb * 1e6); }
  const std::string& linear_train_name() const;

  /// A as a term, beginning with the stencil `filter` on `points` points; `seed` draws its error. Not collective.
  std::shared_ptr<LinearTerm> make_linear(PetscInt points, const std::vector<double>& filter, std::uint64_t seed) const;
};

/// |A - B|_F / |B|_F of two sequential matrices.
double relative_distance(Mat a, Mat b);

}  // namespace espalier::model
