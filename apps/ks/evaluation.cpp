#include "evaluation.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/session.hpp"
#include "espalier/data/valid_time.hpp"
#include "espalier/io/comparison.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/batches.hpp"
#include "espalier/train/rollout.hpp"
#include "statistics.hpp"

namespace ks {

using namespace espalier;

namespace {

// A rollout counts as bounded while it stays within this multiple of the largest value in the data.
constexpr double bound_factor = 2;
// Largest exponent for L = 22 (P. Cvitanovic, R. L. Davidchack, E. Siminos, SIAM J. Appl. Dyn. Syst. 9, 2010); R. A.
// Edson, J. E. Bunder, T. W. Mattner, A. J. Roberts (ANZIAM J. 61, 2019) find 0.043.
constexpr double lyapunov_length = 22;
constexpr double lyapunov_exponent = 0.048;

/// Starts spread over the first half of the unseen states, the first of them at their beginning: each is followed by
/// at least as much truth as the last one, half of the unseen states.
struct Starts {
  std::int64_t count;
  std::int64_t spacing;
  std::int64_t known;  ///< intervals of truth after each start
  train::Range mine;

  Starts(MPI_Comm comm, std::int64_t wanted, std::int64_t states)
      : count(std::min(wanted, states)),
        spacing(std::max<std::int64_t>(1, states / (2 * count))),
        known(states - 1 - (count - 1) * spacing),
        mine(train::rank_slice({0, count}, comm)) {}
  std::int64_t state(std::int64_t j) const { return (mine.first + j) * spacing; }
  at::Tensor gather(const at::Tensor& states) const {
    return states.index_select(0, at::arange(mine.first, mine.first + mine.count, at::kLong) * spacing);
  }
};

std::vector<double> times_of(const Settings& s, std::int64_t count) {
  std::vector<double> times;
  for (std::int64_t i = 0; i < count; ++i) times.push_back(s.interval * static_cast<double>(i));
  return times;
}

// Valid times of all rollouts, on all ranks, against the truth that follows their starts; the same horizon for all.
std::vector<data::ValidTime> measure_valid_times(MPI_Comm comm, const Settings& s, const Starts& starts,
                                                 const at::Tensor& held_out, const at::Tensor& states) {
  const auto dof = static_cast<std::size_t>(states.size(2));
  const std::int64_t length = std::min(starts.known + 1, states.size(0));
  const std::vector<double> times = times_of(s, length);
  const double norm = data::mean_norm(train::to_vector(held_out), dof);
  const auto count = static_cast<std::size_t>(starts.count);
  std::vector<double> found(2 * count, 0.0);
  for (std::int64_t j = 0; j < starts.mine.count; ++j) {
    const std::int64_t start = starts.state(j);
    const data::ValidTime valid = data::valid_time(
        times, data::normalised_error(train::to_vector(held_out.slice(0, start, start + length)),
                                      train::to_vector(states.slice(0, 0, length).select(1, j)), dof, norm));
    const auto k = static_cast<std::size_t>(starts.mine.first + j);
    found[2 * k] = valid.time;
    found[2 * k + 1] = valid.censored ? 1 : 0;
  }
  MPI_Allreduce(MPI_IN_PLACE, found.data(), static_cast<int>(found.size()), MPI_DOUBLE, MPI_SUM, comm);
  std::vector<data::ValidTime> all;
  for (std::size_t k = 0; k < count; ++k) all.push_back({found[2 * k], found[2 * k + 1] > 0});
  return all;
}

void publish_size(MPI_Comm comm, const Settings& s, const Starts& starts, const io::Series& series,
                  const train::Rollout& rollout, core::RunReport& report) {
  double largest = rollout.states.numel() > 0 ? rollout.states.abs().max().item<double>() : 0;
  MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, comm);
  double largest_true = 0;
  for (const double u : series.states) largest_true = std::max(largest_true, std::abs(u));
  const bool bounded = rollout.complete() && largest <= bound_factor * largest_true;
  report.metric("rollout_time_reached", rollout.time_reached);
  report.metric("rollout_bounded", bounded ? 1 : 0);
  report.metric("rollout_max_abs", largest);
  ESPALIER_CALL(PetscPrintf(comm, "rollout of %g time units from %lld unseen states: %s, largest |u| %.3g (data %.3g)",
                            s.rollout_time, static_cast<long long>(starts.count), bounded ? "bounded" : "NOT bounded",
                            largest, largest_true));
  if (!rollout.complete())
    ESPALIER_CALL(PetscPrintf(comm, ", ended after %g time units: no statistics", rollout.time_reached));
  ESPALIER_CALL(PetscPrintf(comm, "\n"));
}

void publish_valid_times(MPI_Comm comm, const Settings& s, const std::vector<data::ValidTime>& all, double horizon,
                         core::RunReport& report) {
  const data::ValidTimes valid = data::summarise(all);
  report.metric("valid_time", all.front().time);
  report.metric("valid_time_mean", valid.mean);
  report.metric("valid_time_std", valid.deviation);
  report.metric("valid_time_starts", static_cast<double>(valid.count));
  report.metric("valid_time_censored", static_cast<double>(valid.censored));
  report.metric("valid_time_horizon", horizon);
  ESPALIER_CALL(PetscPrintf(comm, "valid time (normalised error %g): mean %.3g, standard deviation %.3g of %zu starts",
                            data::valid_threshold, valid.mean, valid.deviation, valid.count));
  if (s.length == lyapunov_length) {
    report.metric("valid_time_lyapunov", lyapunov_exponent * valid.mean);
    ESPALIER_CALL(PetscPrintf(comm, "; mean %.3g Lyapunov times", lyapunov_exponent * valid.mean));
  }
  ESPALIER_CALL(PetscPrintf(comm, "; %zu still valid after %.4g\n", valid.censored, horizon));
}

}  // namespace

void evaluate_rollout(MPI_Comm comm, train::IntegratorObjective& objective, const Settings& s, const io::Series& series,
                      const at::Tensor& held_out, const std::string& method, core::RunReport& report) {
  const core::StageScope stage("Rollout");
  const auto intervals = static_cast<std::int64_t>(std::llround(s.rollout_time / s.interval));
  if (intervals == 0) return;
  const Starts starts(comm, s.rollout_samples, held_out.size(0));
  const train::Rollout rollout = train::roll_out(comm, objective, starts.gather(held_out), intervals, "rollout");
  const Statistics statistics = measure_statistics(comm, s, series, rollout);
  const std::vector<data::ValidTime> valid = measure_valid_times(comm, s, starts, held_out, rollout.states);
  publish_size(comm, s, starts, series, rollout, report);
  publish_statistics(comm, statistics, report);
  const double horizon = std::min(rollout.time_reached, s.interval * static_cast<double>(starts.known));
  publish_valid_times(comm, s, valid, horizon, report);
  if (s.output.empty()) return;
  core::agree(comm, [&] {
    int rank = 0;
    MPI_Comm_rank(comm, &rank);
    if (rank != 0) return;
    io::make_folder(s.output);
    const std::int64_t known = std::min(held_out.size(0), intervals + 1);
    const io::Comparison first{"Kuramoto-Sivashinsky, N = " + std::to_string(s.points), method,
                               times_of(s, intervals + 1), train::to_vector(held_out.slice(0, 0, known)),
                               train::to_vector(rollout.states.select(1, 0))};
    io::write_comparison(s.output + "/rollout.h5", series, first, [&](io::Hdf5Writer& file) {
      file.attribute("/", "valid_time", valid.front().time);
      write_statistics(file, statistics);
    });
  });
}

}  // namespace ks
