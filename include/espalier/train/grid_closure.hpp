// The course of an experiment that learns a closure: what a coarse grid does not see of an equation, by a network that
// is spread over the ranks like the grid.
#pragma once

#include <functional>
#include <string>

#include "espalier/core/session.hpp"
#include "espalier/nn/grid_network.hpp"
#include "espalier/train/closure_data.hpp"
#include "espalier/train/trainer_options.hpp"
#include "espalier/ts/integrator.hpp"

namespace espalier::train {

/// What the options decide in every such experiment.
struct GridClosureSettings {
  ClosureDataSettings data;
  nn::GridNetworkSettings network;  ///< its channels are the state's fields
  ts::IntegratorSettings integrator;
  TrainerOptions training;
  int groups = 1;      ///< of ranks, that share the samples of a batch
  std::string output;  ///< folder for restart files and prediction.h5; empty: none
  bool grad_check = false;

  /// A small residual network, ARKIMEX 3 with preconditioned solves, windows of two intervals.
  GridClosureSettings();
  /// Reads the options of all parts, `own` those of the program, which begin with `prefix`. `fields`: of the state;
  /// `periodic`: whether the grid is along all axes. Throws UserError, also for misspelt options. Collective.
  void read(MPI_Comm comm, const std::string& title, const std::string& prefix, std::int64_t fields, bool periodic,
            const std::function<void(core::OptionReader&)>& own);
};

/// Trains G in du/dt = known(u) + G(u; theta) on the mean squared error over windows of the averaged solution, from G =
/// 0 on, and measures: held_out_error beside error_without_closure (the same with G = 0) and persistence_error, and
/// rollout_error beside rollout_error_without_closure, the mean relative L2 error at the end of the held-out
/// trajectories, integrated from their first states (infinite if it blows up). Writes prediction.h5 (the first held-out
/// trajectory and the truth) with an XDMF file. Files fit any number of ranks. With settings.grad_check only the
/// gradient is checked. Collective.
void learn_closure(core::Session& session, const std::string& title, const ClosureProblem& problem,
                   const GridClosureSettings& settings);

}  // namespace espalier::train
