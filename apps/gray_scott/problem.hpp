// The Gray-Scott equations on a fine grid, and what is known of them on a coarse one.
#pragma once

#include "espalier/core/options.hpp"
#include "espalier/train/closure_data.hpp"

namespace espalier::gray_scott {

/// What the network stands for.
enum class Closure {
  subgrid,  ///< what the coarse grid does not resolve, beside the known reaction
  reaction  ///< the reaction as a whole
};

struct Settings {
  double length = 1.25;  ///< of the square's sides
  double feed = 0.04;    ///< F
  double decay = 0.06;   ///< k
  Closure closure = Closure::subgrid;

  /// Reads -gray_scott_*. Throws UserError.
  void read(core::OptionReader& o);
};

/// Initial states: u = 1 - s / 2, v = s / 4, s the largest of six bumps at random places.
train::ClosureProblem equations(const Settings& settings, const train::ClosureDataSettings& data);

}  // namespace espalier::gray_scott
