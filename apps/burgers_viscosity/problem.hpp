// A scalar Burgers equation in the plane with a hidden viscosity: the problem of Im-PiNDiff's third experiment.
#pragma once

#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "espalier/train/field_data.hpp"

namespace burgers_viscosity {

/// What the options -burgers_* say.
struct Settings {
  std::vector<double> speed = {1, 0.8};  ///< c, the flux is c u^2 / 2
  double largest = 1e-2;                 ///< viscosity of the truth: waves scaled to [0, largest],
  double least = 1e-3;                   ///< lifted to this where they are less
  double floor = 0;                      ///< of the model's viscosity; 0: a value that is not positive is an error
  espalier::model::FaceScheme scheme = espalier::model::FaceScheme::central;  ///< of the model

  void read(espalier::core::OptionReader& o);
};

/// u_t + c . grad (u^2 / 2) = div(nu grad u) with the field nu = diffusivity, never less than `floor` (0: not looked
/// after).
espalier::train::FieldTermFactory equation(const Settings& settings, espalier::model::FaceScheme scheme, double floor);

/// The equation with the viscosity from a sum of 20 waves.
espalier::train::FieldProblem truth(const Settings& settings, const espalier::train::FieldDataSettings& data);

}  // namespace burgers_viscosity
