// For how long a prediction of a chaotic system stays near the truth.
//
// Normalised error and valid time as in J. Pathak, A. Wikner, R. Fussell, S. Chandra, B. R. Hunt, M. Girvan, E. Ott,
// Hybrid forecasting of chaotic processes, Chaos 28, 041101 (2018), which takes the threshold 0.4:
//   e(t) = |u(t) - truth(t)|_2 / sqrt(mean over time of |truth|_2^2).
#pragma once

#include <cstddef>
#include <vector>

namespace espalier::data {

/// The error that ends the valid time.
constexpr double valid_threshold = 0.4;

/// sqrt(mean over time of |u|_2^2) of states [T, dof]. Throws UserError unless T >= 1 and it is positive.
double mean_norm(const std::vector<double>& states, std::size_t dof);

/// e(t) at each time, [T], of `truth` and `prediction` [T, dof]; `norm`: mean_norm() of a long truth. Throws UserError
/// if sizes do not agree.
std::vector<double> normalised_error(const std::vector<double>& truth, const std::vector<double>& prediction,
                                     std::size_t dof, double norm);

struct ValidTime {
  double time = 0;        ///< from the first time to the first error above the threshold, or to the last time
  bool censored = false;  ///< no error is above it: the valid time is at least `time`
};

/// An error that is not a number is above every threshold. times, error: [T], T >= 1.
ValidTime valid_time(const std::vector<double>& times, const std::vector<double>& error,
                     double threshold = valid_threshold);

/// Mean and standard deviation (of the sample; 0 for one) of valid times, those that are censored as they are: the mean
/// is then a lower bound.
struct ValidTimes {
  double mean = 0;
  double deviation = 0;
  std::size_t count = 0;
  std::size_t censored = 0;
};

ValidTimes summarise(const std::vector<ValidTime>& all);

}  // namespace espalier::data
