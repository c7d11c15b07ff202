// What a long run of the model has in common with truth: energy spectrum and joint density of (u_x, u_xx).
#pragma once

#include <optional>

#include "espalier/core/report.hpp"
#include "espalier/data/joint_density.hpp"
#include "espalier/data/spectrum.hpp"
#include "espalier/io/hdf5.hpp"
#include "espalier/train/rollout.hpp"
#include "model.hpp"

namespace ks {

/// Joint density of (u_x, u_xx) of the truth, and the distance of its two halves in time: a model that is no farther
/// away than these from each other cannot be told from the truth.
struct TrueDensity {
  espalier::data::JointDensity all;
  double floor = 0;
};

/// Of truth and of all ranks' rollouts; those of a model that has blown up mean nothing and are left out.
struct Statistics {
  espalier::data::Spectrum true_spectrum;
  TrueDensity true_density;
  std::optional<espalier::data::Spectrum> spectrum;
  std::optional<espalier::data::JointDensity> density;
};

/// Truth is the whole series. Collective.
Statistics measure_statistics(MPI_Comm comm, const Settings& settings, const espalier::io::Series& series,
                              const espalier::train::Rollout& rollout);

/// Distances into the report and, one line, to standard output. Collective.
void publish_statistics(MPI_Comm comm, const Statistics& statistics, espalier::core::RunReport& report);

/// The groups `spectrum` and `density` of rollout.h5. Not collective.
void write_statistics(espalier::io::Hdf5Writer& file, const Statistics& statistics);

}  // namespace ks
