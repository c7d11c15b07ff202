#include "espalier/data/valid_time.hpp"

#include <cmath>
#include <string>

#include "espalier/core/error.hpp"

namespace espalier::data {

double mean_norm(const std::vector<double>& states, std::size_t dof) {
  ESPALIER_REQUIRE(dof > 0 && !states.empty() && states.size() % dof == 0,
                   "mean norm: " + std::to_string(states.size()) + " values are not states of " + std::to_string(dof));
  double square = 0;
  for (const double value : states) square += value * value;
  ESPALIER_REQUIRE(square > 0, "mean norm: the states are zero everywhere");
  const std::size_t count = states.size() / dof;
  return std::sqrt(square / static_cast<double>(count));
}

std::vector<double> normalised_error(const std::vector<double>& truth, const std::vector<double>& prediction,
                                     std::size_t dof, double norm) {
  ESPALIER_REQUIRE(dof > 0 && truth.size() == prediction.size() && truth.size() % dof == 0,
                   "normalised error: truth has " + std::to_string(truth.size()) + " values, prediction " +
                       std::to_string(prediction.size()) + "; both need the same number of states of " +
                       std::to_string(dof));
  std::vector<double> error(truth.size() / dof);
  for (std::size_t i = 0; i < error.size(); ++i) {
    double square = 0;
    for (std::size_t j = i * dof; j < (i + 1) * dof; ++j)
      square += (prediction[j] - truth[j]) * (prediction[j] - truth[j]);
    error[i] = std::sqrt(square) / norm;
  }
  return error;
}

ValidTime valid_time(const std::vector<double>& times, const std::vector<double>& error, double threshold) {
  ESPALIER_REQUIRE(
      !times.empty() && error.size() == times.size(),
      "valid time: " + std::to_string(times.size()) + " times for " + std::to_string(error.size()) + " errors");
  for (std::size_t i = 0; i < error.size(); ++i)
    if (!(error[i] <= threshold)) return {times[i] - times.front(), false};
  return {times.back() - times.front(), true};
}

ValidTimes summarise(const std::vector<ValidTime>& all) {
  ESPALIER_REQUIRE(!all.empty(), "valid times: at least one is needed");
  ValidTimes summary;
  summary.count = all.size();
  const auto n = static_cast<double>(all.size());
  for (const ValidTime& one : all) {
    summary.mean += one.time / n;
    summary.censored += one.censored ? 1 : 0;
  }
  double square = 0;
  for (const ValidTime& one : all) square += (one.time - summary.mean) * (one.time - summary.mean);
  if (all.size() > 1) summary.deviation = std::sqrt(square / (n - 1));
  return summary;
}

}  // namespace espalier::data
