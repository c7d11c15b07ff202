// The load, its deflection, and gradient descent on the amplitudes.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/train/physics_step.hpp"

namespace poisson_inverse {

enum class Solver { jacobi, steepest };

struct Settings {
  long points = 30;
  std::vector<double> wanted = {2};  ///< theta_ref
  std::vector<double> start = {5};   ///< theta before the first update
  Solver solver = Solver::jacobi;
  bool unrolled = false;
  int updates = 170;
  double lr = 275;
  long hand_step = 0;            ///< K grows by this at each update, without a control; 0: no
  long converged_updates = 125;  ///< of a run with converged solves, which savings are measured against
  int print_every = 50;
  bool grad_check = false;

  /// Reads -poisson_* and -grad_check. Throws espalier::UserError.
  void read(espalier::core::OptionReader& o);
};

/// A u = b(theta) on N points, A = tridiag(1, -2, 1) / h^2, spread over the ranks. Collective throughout.
class Problem {
 public:
  Problem(MPI_Comm comm, const Settings& settings);

  void set_effort(const espalier::implicit::Effort& forward, const espalier::implicit::Effort& adjoint) {
    physics_.set_effort(forward, adjoint);
  }
  /// theta <- theta - rate dL/dtheta; returns L before.
  double descend(double rate);
  /// |theta - theta_ref| / |theta_ref|.
  double parameter_error() const;
  espalier::train::Counters counters() const { return physics_.counters(); }
  /// A central difference of L against its gradient, with solves as far as their own tolerances go.
  void check_gradient(espalier::core::Session& session);

 private:
  at::Tensor deflection(const at::Tensor& theta);
  at::Tensor loss(const at::Tensor& theta);
  double agreed(double of_rank_0) const;

  MPI_Comm comm_;
  bool owner_;  // of the one sample
  std::int64_t points_;
  at::Tensor modes_;   // [P, N]
  at::Tensor wanted_;  // [P]
  at::Tensor theta_;   // [P]
  espalier::train::PhysicsStep physics_;
  at::Tensor reference_;  // [1, N], or no rows
};

}  // namespace poisson_inverse
