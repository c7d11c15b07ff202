// Time integration of a split system for a batch, with its exact discrete adjoint.
#pragma once

#include <petscts.h>
#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/model/term.hpp"
#include "espalier/ts/method.hpp"

namespace espalier::ts {

/// How Newton's linear systems (shift I - dH/du) x = b of the implicit part are solved.
enum class Jacobian {
  shell,     ///< by products: GMRES, preconditioned by the direct solve of the linear part where there is one
  assembled  ///< with entries. Terms that form sparse matrices: Krylov iterations on the products, preconditioned by
             ///< any PC of the matrices (-samples_pc_type, -adjoint_samples_pc_type). Others: directly, one dense block
             ///< [dof x dof] per sample, formed by dof products with dH/du and inverted; only for samples that do not
             ///< couple, and worthwhile for a small dof or many iterations of GMRES
};

struct IntegratorSettings {
  std::string method = "l2";  ///< a name of methods()
  double step = 0.1;          ///< step size; the first one when adaptive
  Jacobian jacobian = Jacobian::shell;
  /// Equal steps between each two observation times, of the size nearest to `step`; else steps of the size `step`, the
  /// last one before an observation shortened. Not for adaptive steps.
  bool fit_steps = false;
  std::string prefix;          ///< PETSc options prefix of the TS
  std::string dump_directory;  ///< where a state that stopped being finite is written; empty: nowhere
  /// Called for each TS that the integrator makes, before it reads its options: for monitors and the like. Another
  /// number of observation times takes another TS.
  std::function<void(TS)> configure;

  /// Reads -method, -ts_dt, -ts_fit_steps and -ts_jacobian. Everything else of PETSc's (-ts_adapt_type, -ts_rtol,
  /// -snes_*, -ksp_*, -adjoint_ksp_*) is read when the Integrator is made, -ts_trajectory_* and -checkpoint_* (see
  /// checkpoint/trajectory.hpp; they choose that type) when a run is recorded. Collective on `comm`.
  void read(MPI_Comm comm);
};

/// What the state of a batch looks like on this rank. Either the samples are dealt out to the ranks, or each of them
/// is spread over all ranks, as on a distributed grid: the terms know which.
struct BatchShape {
  std::int64_t samples;  ///< of this rank, which may be 0 and differ between ranks; if spread, all of them
  std::int64_t dof;      ///< entries of one sample; if spread, those of this rank
};

/// Whether a forward run is followed by its adjoint.
enum class Record { no, yes };

/// Integrates du/dt = G + H with one of methods() and differentiates the steps that were taken. Fixed steps by
/// default; with `-ts_adapt_type basic` PETSc controls the step and the adjoint follows the accepted steps. The linear
/// solves of the adjoint have their own prefix, `-adjoint_ksp_`, and a tight default.
///
/// Collective on the communicator throughout; all ranks take the same steps, and meet after each. The terms must accept
/// the ranks' parts independently or be collective themselves. A failure of one rank becomes one of all ranks when the
/// step ends.
class Integrator {
 public:
  Integrator(MPI_Comm comm, BatchShape shape, model::SplitSystem system, const IntegratorSettings& settings);
  ~Integrator();
  Integrator(const Integrator&) = delete;
  Integrator& operator=(const Integrator&) = delete;

  /// Integrates from u0 [samples, dof] at times[0] and returns the states at times[1..k] as [k, samples, dof], a
  /// buffer that the next call overwrites. The times are hit exactly; they must increase. Throws NumericalError on all
  /// ranks when a stage is not finite or a solve fails.
  const at::Tensor& forward(const at::Tensor& u0, const std::vector<double>& times, Record record);

  /// After forward(..., Record::yes): given the cotangents of its result [k, samples, dof], returns the cotangent of u0
  /// [samples, dof] (a buffer that the next call overwrites) and adds the parameters' cotangents to the terms' flat
  /// gradients (of this rank's samples: sum over ranks yourself). Once per forward run. Throws NumericalError on all
  /// ranks when a solve fails or the adjoint is not finite.
  const at::Tensor& adjoint(const at::Tensor& snapshot_cotangents);
  /// Forward runs since construction: adjoint() belongs to the last one.
  long runs() const;

  const BatchShape& shape() const;
  const Method& method() const;
  model::SplitSystem& system();
  /// Accepted steps of the last forward run, and their sizes.
  long steps() const;
  const std::vector<double>& step_sizes() const;
  long ksp_iterations_forward() const;  ///< totals since construction, repeated steps included
  long ksp_iterations_adjoint() const;
  /// Memory of the trajectory of the last recorded run, of this rank, at its peak; without the network evaluations that
  /// terms keep.
  double checkpoint_bytes() const;
  /// Steps that its adjoint has repeated: none unless -checkpoint_units bounds the memory.
  long repeated_steps() const;
  /// The TS underneath, until forward() is called with another number of times; see IntegratorSettings::configure.
  TS ts() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace espalier::ts
