#include "adams_coefficients.hpp"

#include <algorithm>

#include "espalier/core/error.hpp"

namespace espalier::ts {

namespace {

const OneStepMethod heun = {{{}, {1.0}}, {0.5, 0.5}, {0.0, 1.0}};
const OneStepMethod kutta3 = {{{}, {0.5}, {-1.0, 2.0}}, {1.0 / 6, 2.0 / 3, 1.0 / 6}, {0.0, 0.5, 1.0}};
const OneStepMethod kutta4 = {
    {{}, {0.5}, {0.0, 0.5}, {0.0, 0.0, 1.0}}, {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6}, {0.0, 0.5, 0.5, 1.0}};

// L-stable SDIRK of order 3, Alexander 1977: g is the root of g^3 - 3 g^2 + 3/2 g - 1/6 in (1/6, 1/2).
constexpr double g = 0.43586652150845899941601945;
constexpr double alexander_b0 = -(6 * g * g - 16 * g + 1) / 4;
constexpr double alexander_b1 = (6 * g * g - 20 * g + 5) / 4;
const OneStepMethod alexander3 = {
    {{g}, {(1 - g) / 2, g}, {alexander_b0, alexander_b1, g}}, {alexander_b0, alexander_b1, g}, {g, (1 + g) / 2, 1.0}};

// L-stable SDIRK of order 4, Hairer & Wanner, Solving Ordinary Differential Equations II, table IV.6.5.
const OneStepMethod hairer_wanner4 = {{{1.0 / 4},
                                       {1.0 / 2, 1.0 / 4},
                                       {17.0 / 50, -1.0 / 25, 1.0 / 4},
                                       {371.0 / 1360, -137.0 / 2720, 15.0 / 544, 1.0 / 4},
                                       {25.0 / 24, -49.0 / 48, 125.0 / 16, -85.0 / 12, 1.0 / 4}},
                                      {25.0 / 24, -49.0 / 48, 125.0 / 16, -85.0 / 12, 1.0 / 4},
                                      {1.0 / 4, 3.0 / 4, 11.0 / 20, 1.0 / 2, 1.0}};

const std::vector<AdamsMethod>& adams_methods() {
  static const std::vector<AdamsMethod> all = {
      {"ab2", 2, 0.0, {3.0 / 2, -1.0 / 2}, heun},
      {"ab3", 3, 0.0, {23.0 / 12, -16.0 / 12, 5.0 / 12}, kutta3},
      {"ab4", 4, 0.0, {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}, kutta4},
      {"am2", 2, 1.0 / 2, {1.0 / 2}, {}},
      {"am3", 3, 5.0 / 12, {8.0 / 12, -1.0 / 12}, alexander3},
      {"am4", 4, 9.0 / 24, {19.0 / 24, -5.0 / 24, 1.0 / 24}, hairer_wanner4},
  };
  return all;
}

}  // namespace

const AdamsMethod& find_adams_method(const std::string& name) {
  const auto& all = adams_methods();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& method) { return method.name == name; });
  if (found != all.end()) return *found;
  std::vector<std::string> names;
  for (const auto& method : all) names.push_back(method.name);
  throw UserError("-ts_adams_type " + name + ": unknown Adams method; choose one of: " + core::join(names), __FILE__,
                  __LINE__);
}

}  // namespace espalier::ts
