// The course of the experiment: training with refined solves, rollouts with converged ones, prediction.
#pragma once

#include <mpi.h>

#include <string>

#include "espalier/core/session.hpp"
#include "espalier/io/grid_series.hpp"
#include "espalier/nn/resnet.hpp"
#include "espalier/train/refinement.hpp"
#include "espalier/train/trainer_options.hpp"
#include "problem.hpp"

namespace navier_stokes_corrector {

struct Experiment {
  Settings flow;
  espalier::train::EmulatorData samples;
  espalier::nn::ResnetSettings network;
  espalier::train::RefinementOptions refinement;
  espalier::train::TrainerOptions training;

  long steps = 5;           ///< after which the validation error is taken
  double converged = 1e-5;  ///< relative residual of a converged solve
  long most = 1000;         ///< cycles among which those that converge it are looked for
  bool grad_check = false;
  std::string output;  ///< folder for restart files and prediction.h5; empty: none

  /// Reads all options, and refuses misspelt ones. Throws UserError. Collective on `comm`.
  void read(MPI_Comm comm);
};

/// Minimises the mean of |s_1 - reference|^2 and |s_2 - reference|^2 over the training trajectories (the paper's sum of
/// both, divided by 2) by the solves of two steps, refined alike as -prdp_* says. Reported: the metrics
/// validation_error and validation_error_best
///
///   mean over held-out trajectories of |u_T - reference|^2 / |reference|^2, u along x, T = steps, converged solves
///
/// after the last epoch and the best one, solver_error (the same without network), those of Refinement::report(),
/// k_eps_seconds, ksp_its_forward, ksp_its_adjoint, ksp_its_validation, parameters and peak_rss_mb. Writes
/// prediction.h5 (the first held-out trajectory) with an XDMF file. With grad_check only the gradient is checked.
/// Collective.
void run(espalier::core::Session& session, Experiment& experiment);

}  // namespace navier_stokes_corrector
