#include "statistics.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "espalier/core/error.hpp"

namespace ks {

using namespace espalier;

namespace {

// A mode counts as energetic when it holds this part of the energy.
constexpr double energetic_part = 0.01;
// Of the joint density, along each axis.
constexpr std::size_t density_bins = 40;

/// Energy spectrum averaged over time and all ranks' rollouts.
data::Spectrum mean_spectrum(MPI_Comm comm, const at::Tensor& states, double length) {
  const auto dof = static_cast<std::size_t>(states.size(2));
  const auto local = static_cast<std::size_t>(states.size(0) * states.size(1));
  data::Spectrum spectrum;
  spectrum.energy.assign(dof / 2 + 1, 0.0);
  for (std::size_t k = 0; k <= dof / 2; ++k) spectrum.wavenumber.push_back(2 * M_PI * static_cast<double>(k) / length);
  if (local > 0) {
    spectrum = data::energy_spectrum(train::to_vector(states).data(), local, dof, length);
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

// The pairs (u_x, u_xx) at all times and points.
TrueDensity true_density(const io::Series& series, double length) {
  const data::Derivatives u = data::periodic_derivatives(series.states.data(), series.count(), series.dof, length);
  data::JointDensity all(data::bins_over(u.first, density_bins), data::bins_over(u.second, density_bins));
  data::JointDensity first = all;
  data::JointDensity second = all;
  all.add(u.first.data(), u.second.data(), u.first.size());
  const std::size_t middle = series.count() / 2 * series.dof;
  first.add(u.first.data(), u.second.data(), middle);
  second.add(u.first.data() + middle, u.second.data() + middle, u.first.size() - middle);
  return {all, distance(first, second)};
}

}  // namespace

Statistics measure_statistics(MPI_Comm comm, const Settings& s, const io::Series& series,
                              const train::Rollout& rollout) {
  Statistics statistics{data::energy_spectrum(series), true_density(series, s.length), {}, {}};
  if (!rollout.complete()) return statistics;
  statistics.spectrum = mean_spectrum(comm, rollout.states, s.length);
  const data::JointDensity& truth = statistics.true_density.all;
  statistics.density.emplace(truth.first(), truth.second());
  const std::vector<double> states = train::to_vector(rollout.states);
  const auto dof = static_cast<std::size_t>(rollout.states.size(2));
  const data::Derivatives u = data::periodic_derivatives(states.data(), states.size() / dof, dof, s.length);
  statistics.density->add(u.first.data(), u.second.data(), u.first.size());
  statistics.density->reduce(comm);
  return statistics;
}

void publish_statistics(MPI_Comm comm, const Statistics& statistics, core::RunReport& report) {
  const double floor = statistics.true_density.floor;
  report.metric("joint_density_floor", floor);
  if (!statistics.spectrum) return;
  const double of_spectrum = spectrum_error(statistics.true_spectrum, *statistics.spectrum);
  const double of_density = distance(*statistics.density, statistics.true_density.all);
  report.metric("rollout_spectrum_error", of_spectrum);
  report.metric("joint_density_distance", of_density);
  ESPALIER_CALL(PetscPrintf(comm,
                            "long run: energy spectrum within %.1f %% of truth, joint density of (u_x, u_xx) %.3g "
                            "from truth (two halves of the truth: %.3g)\n",
                            100 * of_spectrum, of_density, floor));
}

void write_statistics(io::Hdf5Writer& file, const Statistics& statistics) {
  const data::Spectrum& spectrum = statistics.true_spectrum;
  file.write("spectrum/wavenumber", {spectrum.wavenumber.size()}, spectrum.wavenumber);
  file.write("spectrum/truth", {spectrum.energy.size()}, spectrum.energy);
  if (statistics.spectrum) file.write("spectrum/prediction", {spectrum.energy.size()}, statistics.spectrum->energy);
  const data::JointDensity& density = statistics.true_density.all;
  file.write("density/u_x", {density_bins}, density.first().centres());
  file.write("density/u_xx", {density_bins}, density.second().centres());
  file.write("density/truth", {density_bins, density_bins}, density.density());
  file.attribute("density", "floor", statistics.true_density.floor);
  if (!statistics.density) return;
  file.write("density/prediction", {density_bins, density_bins}, statistics.density->density());
  file.attribute("density", "distance", distance(*statistics.density, density));
}

}  // namespace ks
