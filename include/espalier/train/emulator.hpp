// Networks that emulate a solver's step and are trained through the solver itself (the mixed chain of K. Bhatia, F.
// Koehler, N. Thuerey, Progressively Refined Differentiable Physics, 2025).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/data/series_cache.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/io/grid_series.hpp"
#include "espalier/nn/grid_network.hpp"
#include "espalier/train/physics_step.hpp"
#include "espalier/train/refinement.hpp"
#include "espalier/train/trainer_options.hpp"

namespace espalier::train {

/// Trajectories of random initial states, the last ones for validation.
struct EmulatorData {
  long training = 200;
  long held_out = 5;
  long steps = 2;  ///< of each trajectory, beside its initial state
  long seed = 1;
  std::string folder = "espalier_data";

  /// Reads -data_training, -data_held_out, -data_seed and -data_dir. Throws UserError.
  void read(core::OptionReader& o);
  long trajectories() const { return training + held_out; }
  /// What data depend on beside the equation.
  io::Attributes settings() const;
};

/// What a step's error is divided by.
enum class EmulatorNorm {
  reference,  ///< the reference state at that step (the paper's equation 56)
  first       ///< the reference state after the first step (the paper's program)
};

struct EmulatorSettings {
  long steps = 2;  ///< t: the network is applied t times for the validation error
  EmulatorNorm norm = EmulatorNorm::reference;
  double converged = 1e-5;  ///< mean relative residual that converges the physics (K_eps)
  long most = 1000;         ///< iterations among which K_eps is looked for
  bool grad_check = false;
  std::string output;  ///< folder for restart files and prediction.h5; empty: none

  /// Reads -emulator_steps, -emulator_norm, -physics_converged, -grad_check and -output. Throws UserError.
  void read(core::OptionReader& o);
};

/// An experiment: u_1 = f(u_0; theta) by the network, u_2 = P_K(u_1) by K iterations of the solver, and u_2 is compared
/// with two steps of the converged solver.
struct Emulator {
  std::string title;    ///< for the terminal and the pictures
  io::GridSeries data;  ///< "state" [R, T, cells] in natural order at the times 0, 1, ... in steps of the solver
  EmulatorData samples;
  std::shared_ptr<const grid::CellGrid> grid;
  PhysicsStep::Factory make_solver;
  nn::GridNetworkSettings network;  ///< f
  EmulatorSettings settings;
  RefinementOptions refinement;
  TrainerOptions training;
};

/// Random states on a grid in (0, 1)^d, in natural order, [trajectories, cells]: sums over n = 1, ..., `modes` of the
/// products along the axes of sin(2 n pi x_d) or cos(2 n pi x_d), each with an amplitude from U(-1, 1). One rank has
/// the whole grid.
at::Tensor fourier_states(const grid::CellGrid& grid, long modes, const EmulatorData& data);

/// u_t to u_(t+1), as exactly as rounding lets it.
using Stepper = std::function<at::Tensor(const at::Tensor& u)>;
/// The trajectories of `step` from the given initial states [R, cells] on `grid`, which one rank alone has: "state"
/// [R, steps + 1, cells].
io::GridSeries roll_out(const std::string& name, const grid::CellGrid& grid, const at::Tensor& initial,
                        const EmulatorData& data, const io::Attributes& settings, const Stepper& step,
                        const data::ProgressCallback& progress);

/// Reads the options of all parts but the program's own, which `own` reads; they begin with `prefix`. Then refuses
/// misspelt ones. What the members hold before are the defaults. Throws UserError. Collective on `comm`.
void read_emulator(MPI_Comm comm, Emulator& experiment, const std::string& prefix,
                   const std::function<void(core::OptionReader&)>& own);

/// Trains theta on |u_2 - reference|^2 / cells, mean over samples, with the physics refined as
/// `refinement` says; K_eps, where -prdp_kmax does not give it, is the number of iterations that brings the mean
/// relative residual of the training samples below `converged`. Reported: the metrics validation_error and
/// validation_error_best
///
///   mean over held-out samples of |f^t(u_0) - u_t|^2 / |norm|^2
///
/// after the last epoch and the best one, those of Refinement::report(), k_eps_seconds, ksp_its_forward,
/// ksp_its_adjoint, training_seconds. Writes prediction.h5 (the first held-out trajectory) with an XDMF file.
/// With settings.grad_check only the gradient is checked. Collective.
void train_emulator(core::Session& session, Emulator& experiment);

}  // namespace espalier::train
