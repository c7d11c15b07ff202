// Chemical vapour infiltration with hidden laws: the problem of Im-PiNDiff's last experiment.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/implicit/infiltration_term.hpp"
#include "espalier/io/grid_series.hpp"
#include "espalier/nn/mlp.hpp"
#include "espalier/train/field_data.hpp"
#include "espalier/train/integrator_objective.hpp"

namespace cvi {

/// What the options -cvi_* and -network_* say. All dimensionless: the molarity in units of that outside of the preform,
/// the temperature in those of T_ref.
struct Settings {
  double diffusivity = 0.3;                        ///< D_0 of the true D = D_0 eps^(3/2)
  double surface = 1.5;                            ///< s of the true S = s eps sqrt(-ln eps)
  double activation = 14;                          ///< E / (R T_ref) of the true k = exp(-E / R (1/T - 1/T_ref))
  double consumption = 1;                          ///< beta, known
  espalier::implicit::InfiltrationSettings solve;  ///< of the model
  espalier::nn::MlpSettings network;               ///< of each learnt law

  Settings();
  /// Reads -cvi_*.
  void read(espalier::core::OptionReader& o);
};

/// The names of the laws, in the order of laws_of().
const std::vector<std::string>& law_names();
std::vector<std::shared_ptr<espalier::nn::Network>> laws_of(const espalier::implicit::InfiltrationLaws& laws);

/// D = D_0 eps^(3/2) (Bruggeman 1935); S = s eps sqrt(-ln eps), the surface of parallel fibres of one radius that
/// overlap at random and grow, s = 2 sqrt(pi l) with l fibres for each area (Tomadakis & Sotirchos, AIChE J. 37, 1991:
/// eps = exp(-pi l r^2), S = 2 pi l r eps); Arrhenius' k.
espalier::implicit::InfiltrationLaws true_laws(const Settings& settings);
/// Networks. k S is known from porosities, since the molarity outside is 1 and beta is known, and with it D; k and S
/// alone are known but for a factor, which k(T_ref) = 1 fixes.
espalier::implicit::InfiltrationLaws learnt_laws(const espalier::nn::MlpSettings& network);

/// The preform [-1, 1] x [0, 1], the gas with its molarity 1 all around.
std::vector<espalier::grid::Axis> axes(const espalier::train::FieldDataSettings& data);

/// Trajectories with the true laws: quantities "porosity" [R, T, cells] and "temperature" [R, cells]. Initial
/// porosities lie between 1/2 and 3/4; the temperatures of the training trajectories from 0.96 to 1.04, the others'
/// from 0.95 to 1.05. From the file data.path("cvi"), made on first use by RK4. Collective on `comm`.
espalier::io::GridSeries reference(const Settings& settings, const espalier::train::FieldDataSettings& data,
                                   MPI_Comm comm);

/// This rank's states of all trajectories at these indices of time, [R, K, local cells + 1]: the porosities, then the
/// temperature.
at::Tensor states(const espalier::io::GridSeries& series, const espalier::grid::CellGrid& grid,
                  const std::vector<std::int64_t>& indices);

/// Counts the molarity's solves, and the memory that they keep, with the integrator's.
class Objective : public espalier::train::IntegratorObjective {
 public:
  Objective(MPI_Comm comm, std::shared_ptr<espalier::implicit::InfiltrationTerm> term,
            const espalier::ts::IntegratorSettings& integrator, const std::vector<double>& times);
  espalier::train::Counters counters() const override;
  double checkpoint_bytes() const override;

 private:
  std::shared_ptr<espalier::implicit::InfiltrationTerm> term_;
};

}  // namespace cvi
