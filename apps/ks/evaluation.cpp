#include "evaluation.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/progress.hpp"
#include "espalier/core/session.hpp"
#include "espalier/data/spectrum.hpp"
#include "espalier/io/files.hpp"
#include "espalier/io/hdf5.hpp"
#include "espalier/io/xdmf.hpp"
#include "espalier/train/batches.hpp"

namespace ks {

using namespace espalier;

namespace {

// Intervals that a rollout takes between two looks at what became of it.
constexpr std::int64_t rollout_chunk = 20;
// A mode counts as energetic when it holds this part of the energy.
constexpr double energetic_part = 0.01;
// A rollout counts as bounded while it stays within this multiple of the largest value in the data.
constexpr double bound_factor = 2;
constexpr double valid_threshold = 0.5;

train::Range my_part(MPI_Comm comm, train::Range range) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  return train::rank_slice(range, rank, size);
}

std::vector<double> to_vector(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// Predicted states of this rank's rollouts, [times, n, dof]; shorter than asked for if one stopped being finite.
struct Rollout {
  at::Tensor states;
  bool finite = true;
};

Rollout roll_out(MPI_Comm comm, train::IntegratorObjective& objective, const at::Tensor& u0, std::int64_t intervals) {
  Rollout rollout;
  std::vector<at::Tensor> parts = {u0.unsqueeze(0)};
  core::Progress progress(comm, "rollout", intervals);
  for (std::int64_t done = 0; done < intervals && rollout.finite;) {
    const std::int64_t chunk = std::min(rollout_chunk, intervals - done);
    try {
      parts.push_back(objective.predict(parts.back()[-1].contiguous(), chunk).clone());
      done += chunk;
      progress.update(done, "");
    } catch (const InternalError&) {
      throw;
    } catch (const Error& error) {
      // A model that blows up is a result here, not a failure of the program; all ranks come here together.
      ESPALIER_CALL(PetscPrintf(comm, "the rollout ended early: %s\n", error.what()));
      rollout.finite = false;
    }
  }
  rollout.states = at::cat(parts, 0);
  return rollout;
}

/// Energy spectrum averaged over time and all ranks' rollouts.
data::Spectrum mean_spectrum(MPI_Comm comm, const at::Tensor& states, double length) {
  const auto dof = static_cast<std::size_t>(states.size(2));
  const auto local = static_cast<std::size_t>(states.size(0) * states.size(1));
  data::Spectrum spectrum;
  spectrum.energy.assign(dof / 2 + 1, 0.0);
  for (std::size_t k = 0; k <= dof / 2; ++k) spectrum.wavenumber.push_back(2 * M_PI * static_cast<double>(k) / length);
  if (local > 0) {
    spectrum = data::energy_spectrum(to_vector(states).data(), local, dof, length);
    for (double& energy : spectrum.energy) energy *= static_cast<double>(local);
  }
  double count = static_cast<double>(local);
  MPI_Allreduce(MPI_IN_PLACE, spectrum.energy.data(), static_cast<int>(spectrum.energy.size()), MPI_DOUBLE, MPI_SUM,
                comm);
  MPI_Allreduce(MPI_IN_PLACE, &count, 1, MPI_DOUBLE, MPI_SUM, comm);
  for (double& energy : spectrum.energy) energy /= count;
  return spectrum;
}

// max over energetic modes of |E_k - E_k_true| / E_k_true.
double spectrum_error(const data::Spectrum& truth, const data::Spectrum& predicted) {
  double total = 0;
  for (const double energy : truth.energy) total += energy;
  double worst = 0;
  for (std::size_t k = 0; k < truth.energy.size(); ++k)
    if (truth.energy[k] >= energetic_part * total)
      worst = std::max(worst, std::abs(predicted.energy[k] - truth.energy[k]) / truth.energy[k]);
  return worst;
}

/// What rank 0 knows of the first rollout, for the figures.
struct Figure {
  std::vector<double> times;
  std::vector<double> truth;
  std::vector<double> prediction;
  data::Spectrum true_spectrum;
  data::Spectrum predicted_spectrum;
  double valid_time = 0;
};

void write_figure(const std::string& folder, const Settings& s, const io::Series& series, const std::string& method,
                  const Figure& figure) {
  io::make_folder(folder);
  io::Hdf5Writer file(folder + "/rollout.h5");
  const std::size_t dof = series.dof;
  const std::size_t count = figure.prediction.size() / dof;
  const std::size_t known = figure.truth.size() / dof;
  std::vector<double> error(known * dof);
  for (std::size_t i = 0; i < error.size(); ++i) error[i] = figure.prediction[i] - figure.truth[i];
  file.write("time", {count},
             std::vector<double>(figure.times.begin(), figure.times.begin() + static_cast<long>(count)));
  file.write("x", {dof}, series.coordinates);
  file.write("truth", {known, dof}, figure.truth);
  file.write("prediction", {count, dof}, figure.prediction);
  file.write("error", {known, dof}, error);
  file.write("spectrum/wavenumber", {figure.true_spectrum.wavenumber.size()}, figure.true_spectrum.wavenumber);
  file.write("spectrum/truth", {figure.true_spectrum.energy.size()}, figure.true_spectrum.energy);
  file.write("spectrum/prediction", {figure.predicted_spectrum.energy.size()}, figure.predicted_spectrum.energy);
  file.attribute("/", "title", std::string("Kuramoto-Sivashinsky, N = ") + std::to_string(s.points));
  file.attribute("/", "method", method);
  file.attribute("/", "valid_time", figure.valid_time);
  file.commit();
  const io::XdmfAxis time{known, figure.times.front(), s.interval};
  const io::XdmfAxis x{dof, series.coordinates.front(), s.length / static_cast<double>(s.points)};
  io::write_xdmf_space_time(folder + "/rollout.xdmf", "rollout.h5", time, x,
                            {{"truth", "truth"}, {"prediction", "prediction"}, {"error", "error"}});
}

}  // namespace

double window_error(MPI_Comm comm, train::IntegratorObjective& objective, const train::WindowDataset& windows,
                    std::int64_t batch) {
  double sum = 0;
  for (std::int64_t first = 0; first < windows.size(); first += batch) {
    const train::Range all{first, std::min(batch, windows.size() - first)};
    const train::Range mine = my_part(comm, all);
    const train::Batch samples = windows.gather_range(mine.first, mine.count);
    sum += objective.sum(samples.u0, samples.targets);
  }
  MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm);
  return sum / static_cast<double>(windows.size() * windows.intervals() * windows.dof());
}

double persistence_error(const train::WindowDataset& windows) {
  const train::Batch all = windows.gather_range(0, windows.size());
  return (all.targets - all.u0.unsqueeze(1)).square().mean().item<double>();
}

void evaluate_rollout(MPI_Comm comm, train::IntegratorObjective& objective, const Settings& s, const io::Series& series,
                      const at::Tensor& held_out, const std::string& method, core::RunReport& report) {
  const core::StageScope stage("Rollout");
  const auto intervals = static_cast<std::int64_t>(std::llround(s.rollout_time / s.interval));
  if (intervals == 0) return;
  // Starts spread over the unseen states, the first of them at their beginning: its truth is known longest.
  const std::int64_t starts = std::min<std::int64_t>(s.rollout_samples, held_out.size(0));
  const std::int64_t spacing = std::max<std::int64_t>(1, held_out.size(0) / (2 * starts));
  const train::Range mine = my_part(comm, {0, starts});
  const at::Tensor rows = at::arange(mine.first, mine.first + mine.count, at::kLong) * spacing;
  const at::Tensor u0 = held_out.index_select(0, rows);
  const Rollout rollout = roll_out(comm, objective, u0, intervals);

  double largest = rollout.states.numel() > 0 ? rollout.states.abs().max().item<double>() : 0;
  MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, comm);
  const double largest_true = at::from_blob(const_cast<double*>(series.states.data()),
                                            {static_cast<std::int64_t>(series.states.size())}, at::kDouble)
                                  .abs()
                                  .max()
                                  .item<double>();
  const bool bounded = rollout.finite && largest <= bound_factor * largest_true;

  Figure figure;
  figure.true_spectrum = data::energy_spectrum(series);
  figure.predicted_spectrum = mean_spectrum(comm, rollout.states, s.length);
  const std::int64_t known = std::min(held_out.size(0), rollout.states.size(0));
  for (std::int64_t i = 0; i < rollout.states.size(0); ++i) figure.times.push_back(s.interval * static_cast<double>(i));

  // Valid time of each rollout against the truth that follows its start.
  double valid_sum = 0;
  for (std::int64_t j = 0; j < mine.count; ++j) {
    const std::int64_t start = (mine.first + j) * spacing;
    const std::int64_t length = std::min(held_out.size(0) - start, rollout.states.size(0));
    const std::vector<double> times(figure.times.begin(), figure.times.begin() + length);
    const double valid =
        data::valid_time(times, to_vector(held_out.slice(0, start, start + length)),
                         to_vector(rollout.states.slice(0, 0, length).select(1, j)), series.dof, valid_threshold);
    valid_sum += valid;
    if (start == 0) figure.valid_time = valid;
  }
  MPI_Allreduce(MPI_IN_PLACE, &valid_sum, 1, MPI_DOUBLE, MPI_SUM, comm);
  MPI_Bcast(&figure.valid_time, 1, MPI_DOUBLE, 0, comm);

  report.metric("rollout_bounded", bounded ? 1 : 0);
  report.metric("rollout_max_abs", largest);
  report.metric("rollout_spectrum_error", spectrum_error(figure.true_spectrum, figure.predicted_spectrum));
  report.metric("valid_time", figure.valid_time);
  report.metric("valid_time_mean", valid_sum / static_cast<double>(starts));
  ESPALIER_CALL(PetscPrintf(comm,
                            "rollout of %g time units from %lld unseen states: %s, largest |u| %.3g (data %.3g), "
                            "energy spectrum within %.1f %%, valid for %.1f (mean %.1f)\n",
                            s.rollout_time, static_cast<long long>(starts), bounded ? "bounded" : "NOT bounded",
                            largest, largest_true,
                            100 * spectrum_error(figure.true_spectrum, figure.predicted_spectrum), figure.valid_time,
                            valid_sum / static_cast<double>(starts)));
  if (s.output.empty()) return;
  core::agree(comm, [&] {
    int rank = 0;
    MPI_Comm_rank(comm, &rank);
    if (rank != 0) return;
    figure.truth = to_vector(held_out.slice(0, 0, known));
    figure.prediction = to_vector(rollout.states.select(1, 0));
    write_figure(s.output, s, series, method, figure);
  });
}

}  // namespace ks
