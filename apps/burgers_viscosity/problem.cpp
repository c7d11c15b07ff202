#include "problem.hpp"

#include <ATen/ATen.h>

#include "espalier/core/error.hpp"
#include "espalier/data/wave_field.hpp"

namespace burgers_viscosity {

using namespace espalier;

void Settings::read(core::OptionReader& o) {
  speed = o.reals("-burgers_speed", "c_x, c_y of the flux c u^2 / 2", speed);
  ESPALIER_REQUIRE(speed.size() == 2, "-burgers_speed takes two numbers, such as 1,0.8");
  largest = o.positive("-burgers_largest", "largest viscosity of the truth", largest);
  least = o.positive("-burgers_least", "least viscosity of the truth", least);
  floor = o.real("-burgers_floor", "least viscosity of the model; 0: one that is not positive is an error", floor, 0);
  scheme = static_cast<model::FaceScheme>(o.choice("-burgers_scheme", "the model's fluxes at faces",
                                                   model::face_scheme_names(), static_cast<std::size_t>(scheme)));
}

train::FieldTermFactory equation(const Settings& s, model::FaceScheme scheme, double floor) {
  model::FiniteVolumeSettings settings;
  settings.advection = model::Advection::burgers;
  settings.scheme = scheme;
  settings.velocity = s.speed;
  if (floor > 0) settings.diffusivity_floor = floor;
  return [settings](std::shared_ptr<const grid::CellGrid> grid, std::shared_ptr<model::CoefficientFields> fields) {
    return std::make_shared<model::FiniteVolumeTerm>(std::move(grid), settings, std::move(fields));
  };
}

train::FieldProblem truth(const Settings& s, const train::FieldDataSettings& data) {
  data::WaveFieldSettings waves;
  waves.reference = data.reference_cells();
  waves.waves = 20;
  waves.largest_number = 3;
  waves.seed = data.field_seed(0);
  train::FieldProblem problem;
  problem.name = "burgers_viscosity";
  problem.settings = {{"speed_x", s.speed[0]}, {"speed_y", s.speed[1]}, {"largest", s.largest}, {"least", s.least}};
  problem.data = data;
  problem.field_names = {"diffusivity"};
  // nu = max(largest w, least)
  problem.fields = [field = data::WaveField(waves), s](const at::Tensor& points, double /*t*/) {
    return (s.largest * field.evaluate(points)).clamp_min(s.least).unsqueeze(0);
  };
  problem.make_term = equation(s, model::FaceScheme::central, 0);
  return problem;
}

}  // namespace burgers_viscosity
