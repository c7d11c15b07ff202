// The options -checkpoint_* of a trajectory, and the schedule that they come to for a run.
#pragma once

#include <petscts.h>

#include <string>

#include "espalier/checkpoint/schedule.hpp"
#include "espalier/core/options.hpp"

namespace espalier::checkpoint {

struct CheckpointOptions {
  std::string schedule;     ///< -checkpoint_schedule; empty: what the other options suggest
  long units = 0;           ///< -checkpoint_units: states kept at most; 0: not given
  double ram = 0;           ///< -checkpoint_ram: bytes of each rank; 0: not given
  double disk = 0;          ///< -checkpoint_disk: bytes of all ranks together
  std::string folder;       ///< -checkpoint_dir
  long steps = 0;           ///< -checkpoint_steps: of the whole run; 0: by its times and step size
  bool keep_graph = false;  ///< -checkpoint_keep_graph: the Integrator's
  bool view = false;        ///< -checkpoint_view: one line before the first run, and where another plan follows

  /// Throws UserError for values that no run can have.
  void read(core::OptionReader& o);
  bool operator==(const CheckpointOptions& other) const;
};

/// Vectors of a run: how many its stages are, and how long.
struct RunShape {
  long steps = 0;
  bool steps_known = true;  ///< false: `steps` is a guess
  long stages = 1;
  bool stiffly_accurate = false;
  double state_bytes = 0;  ///< of the largest rank
  double file_bytes = 0;   ///< of a state on disk, all ranks together
};

bool operator==(const RunShape& a, const RunShape& b);

/// What a run follows.
struct Choice {
  std::string schedule;
  Budget budget;
  long steps;
};

/// The schedule and its budget in units. Throws UserError, with the least that would do, when the bytes hold less.
Choice choose_schedule(const CheckpointOptions& options, const RunShape& run);

/// One line: steps, units, schedule, steps that will be repeated, peak of the checkpoints and of the process (of the
/// largest rank, whose memory now is `resident_bytes`).
std::string plan_text(const Choice& choice, const RunShape& run, double resident_bytes);

}  // namespace espalier::checkpoint
