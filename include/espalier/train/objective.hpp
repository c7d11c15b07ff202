// What the training loop minimises: the squared error of a model over samples, and its gradient.
#pragma once

#include <torch/types.h>

#include <vector>

#include "espalier/nn/flat_parameters.hpp"

namespace espalier::train {

/// Work done by an objective. NFE counts evaluations of the explicit network: forward = calls, adjoint = VJPs; calls
/// repeated for the adjoint, because memory did not hold the first ones, are counted by themselves.
struct Counters {
  long nfe_forward = 0;
  long nfe_adjoint = 0;
  long nfe_recomputed = 0;
  long jvp_forward = 0;
  long ksp_its_forward = 0;
  long ksp_its_adjoint = 0;
  long factorisations = 0;  ///< of the linear part
};

inline Counters operator-(const Counters& a, const Counters& b) {
  return {a.nfe_forward - b.nfe_forward,         a.nfe_adjoint - b.nfe_adjoint,
          a.nfe_recomputed - b.nfe_recomputed,   a.jvp_forward - b.jvp_forward,
          a.ksp_its_forward - b.ksp_its_forward, a.ksp_its_adjoint - b.ksp_its_adjoint,
          a.factorisations - b.factorisations};
}

/// The sum of squared errors over samples. Every rank holds all parameters and evaluates its own samples.
///
/// Samples are float64 tensors: u0 [n, dof] are initial states, targets [n, intervals, dof] the states that the model
/// shall reach after each interval. n differs from rank to rank and may be 0.
/// All ranks call the functions together and equally often; an implementation may communicate, but it returns the
/// figures of the samples it was given: the loop sums them over the ranks.
/// An exception may leave a function on some ranks only, if the other ranks then still return.
class Objective {
 public:
  virtual ~Objective() = default;

  /// s = sum over the local samples of |predicted - target|^2, returned; weight * ds/dtheta is added to
  /// parameters().gradient(). Collective.
  virtual double sum_and_gradient(const at::Tensor& u0, const at::Tensor& targets, double weight) = 0;

  /// The same sum without gradient. Collective.
  virtual double sum(const at::Tensor& u0, const at::Tensor& targets) = 0;

  /// theta and its gradient; the same buffers during the whole life of the objective.
  virtual nn::FlatParameters& parameters() = 0;

  /// This rank's totals since the start.
  virtual Counters counters() const = 0;

  /// Largest memory so far of this rank's checkpoints, kept network evaluations included, in bytes.
  virtual double checkpoint_bytes() const { return 0; }
};

/// An objective whose model is integrated in time.
class RolloutObjective : public Objective {
 public:
  /// The states at times[1..k] from u0 at times[0], [k, n, dof]; a buffer that the next call may overwrite. Throws
  /// NumericalError on all ranks when the model blows up. Collective.
  virtual const at::Tensor& predict(const at::Tensor& u0, const std::vector<double>& times) = 0;
};

}  // namespace espalier::train
