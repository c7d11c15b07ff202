#include "espalier/model/split_settings.hpp"

#include <ATen/ATen.h>

#include "espalier/core/error.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/model/trainable_linear_term.hpp"

namespace espalier::model {

const std::vector<std::string>& linear_training_names() {
  static const std::vector<std::string> names = {"none", "stencil", "dense"};
  return names;
}

void SplitSettings::read(core::OptionReader& o) {
  linear_solver = static_cast<LinearSolver>(o.choice("-linear_solver", "solves with shift I - A for the whole batch",
                                                     linear_solver_names(), static_cast<std::size_t>(linear_solver)));
  linear_train =
      static_cast<LinearTraining>(o.choice("-linear_train", "what of A is trained, beginning with the differences",
                                           linear_training_names(), static_cast<std::size_t>(linear_train)));
  linear_perturb = o.real("-linear_perturb", "relative random error that a trained A begins with", linear_perturb, 0);
  network_keep_mb =
      o.real("-network_keep_mb", "memory for network evaluations kept from forward run to adjoint, MB per rank",
             network_keep_mb, 0);
  ESPALIER_REQUIRE(linear_perturb == 0 || linear_train != LinearTraining::none,
                   "-linear_perturb spoils an operator that is then trained: give -linear_train stencil or dense too");
}

const std::string& SplitSettings::linear_train_name() const {
  return linear_training_names()[static_cast<std::size_t>(linear_train)];
}

std::shared_ptr<LinearTerm> SplitSettings::make_linear(PetscInt points, const std::vector<double>& filter,
                                                       std::uint64_t seed) const {
  const petsc::MatHandle differences = grid::periodic_stencil(points, filter);
  if (linear_train == LinearTraining::none) return std::make_shared<LinearTerm>(differences.get(), linear_solver);
  std::shared_ptr<TrainableLinearTerm> term;
  if (linear_train == LinearTraining::stencil)
    term = std::make_shared<StencilLinearTerm>(points, filter, linear_solver);
  else
    term = std::make_shared<DenseLinearTerm>(differences.get(), linear_solver);
  // theta <- theta (1 + s xi) with xi from N(0, 1).
  auto& theta = *term->parameters().front();
  at::Generator generator = at::detail::createCPUGenerator(seed);
  theta.values().mul_(1 + linear_perturb * at::randn(theta.values().sizes(), generator, theta.values().options()));
  theta.mark_changed();
  return term;
}

double relative_distance(Mat a, Mat b) {
  petsc::MatHandle difference;
  petsc::MatHandle subtrahend;
  ESPALIER_CALL(MatConvert(a, MATSEQDENSE, MAT_INITIAL_MATRIX, difference.out()));
  ESPALIER_CALL(MatConvert(b, MATSEQDENSE, MAT_INITIAL_MATRIX, subtrahend.out()));
  ESPALIER_CALL(MatAXPY(difference.get(), -1.0, subtrahend.get(), SAME_NONZERO_PATTERN));
  PetscReal distance = 0;
  PetscReal size = 0;
  ESPALIER_CALL(MatNorm(difference.get(), NORM_FROBENIUS, &distance));
  ESPALIER_CALL(MatNorm(subtrahend.get(), NORM_FROBENIUS, &size));
  return distance / size;
}

}  // namespace espalier::model
