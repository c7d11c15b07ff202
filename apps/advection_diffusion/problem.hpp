// Advection and diffusion in the plane with hidden velocities: the problem of Im-PiNDiff's first two experiments.
#pragma once

#include <mpi.h>

#include "espalier/core/options.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/train/field_data.hpp"

namespace advection_diffusion {

/// What the options -advection_* say.
struct Settings {
  double diffusivity = 1e-3;                                                  ///< D
  bool moving = false;                                                        ///< whether the velocities depend on time
  espalier::model::FaceScheme scheme = espalier::model::FaceScheme::central;  ///< of the model

  void read(espalier::core::OptionReader& o);
};

/// u_t + div(v u) = D lap u with the fields velocity_x and velocity_y.
espalier::train::FieldTermFactory equation(const Settings& settings, espalier::model::FaceScheme scheme);

/// The equation with velocities from sums of 15 waves, scaled to [0, 1].
espalier::train::FieldProblem truth(const Settings& settings, const espalier::train::FieldDataSettings& data);

}  // namespace advection_diffusion
