#include "problem.hpp"

#include <ATen/ATen.h>

#include "espalier/data/wave_field.hpp"

namespace advection_diffusion {

using namespace espalier;

void Settings::read(core::OptionReader& o) {
  diffusivity = o.positive("-advection_diffusivity", "D", diffusivity);
  moving = o.flag("-advection_moving", "velocities that depend on time", moving);
  scheme = static_cast<model::FaceScheme>(o.choice("-advection_scheme", "the model's values of u at faces",
                                                   model::face_scheme_names(), static_cast<std::size_t>(scheme)));
}

train::FieldTermFactory equation(const Settings& s, model::FaceScheme scheme) {
  model::FiniteVolumeSettings settings;
  settings.advection = model::Advection::linear;
  settings.scheme = scheme;
  settings.diffusivity = s.diffusivity;
  return [settings](std::shared_ptr<const grid::CellGrid> grid, std::shared_ptr<model::CoefficientFields> fields) {
    return std::make_shared<model::FiniteVolumeTerm>(std::move(grid), settings, std::move(fields));
  };
}

train::FieldProblem truth(const Settings& s, const train::FieldDataSettings& data) {
  std::vector<data::WaveField> velocities;
  for (const int component : {0, 1}) {
    data::WaveFieldSettings waves;
    waves.reference = data.reference_cells();
    waves.waves = 15;
    waves.frequency = s.moving ? 1 : 0;
    waves.horizon = s.moving ? data.horizon : 0;
    waves.seed = data.field_seed(component);
    velocities.emplace_back(waves);
  }
  train::FieldProblem problem;
  problem.name = s.moving ? "advection_diffusion_dynamic" : "advection_diffusion_steady";
  problem.settings = {{"diffusivity", s.diffusivity}};
  problem.data = data;
  problem.field_names = {"velocity_x", "velocity_y"};
  problem.fields_move = s.moving;
  problem.fields = [velocities](const at::Tensor& points, double t) {
    return at::stack({velocities[0].evaluate(points, t), velocities[1].evaluate(points, t)});
  };
  problem.make_term = equation(s, model::FaceScheme::central);
  return problem;
}

}  // namespace advection_diffusion
