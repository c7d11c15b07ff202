// Advection, Burgers' flux and diffusion by finite volumes on a distributed grid.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/model/coefficient_fields.hpp"
#include "espalier/model/term.hpp"

namespace espalier::model {

/// F_d along axis d.
enum class Advection {
  none,
  linear,  ///< v_d u
  burgers  ///< c_d u^2 / 2
};

/// The value of F on a face.
enum class FaceScheme {
  central,  ///< of the average of both cells; second order
  upwind,   ///< of the cell the flow comes from (Burgers: Engquist and Osher 1981); first order
  limited   ///< upwind of states reconstructed with the smooth limiter of van Albada, van Leer, Roberts (1982); second
            ///< order; needs a grid of stencil width 2
};

/// The names for options, in the order of the enumerations.
const std::vector<std::string>& advection_names();
const std::vector<std::string>& face_scheme_names();

struct FiniteVolumeSettings {
  Advection advection = Advection::linear;
  FaceScheme scheme = FaceScheme::central;
  std::vector<double> velocity;             ///< v_d or c_d for each axis; empty: 0
  double diffusivity = 0;                   ///< D, not negative
  std::optional<double> diffusivity_floor;  ///< lower values of a field are lifted to it; there its derivative is 0
  double limiter_threshold = 1e-6;          ///< differences of u between neighbours that are not limited
};

/// du/dt = -div F(u) + div(D grad u), with a flux for each face of each cell, so that what leaves one cell enters its
/// neighbour. v, c and D are constants, or fields named velocity_x, velocity_y, velocity_z, diffusivity, whose values
/// take the place of the constants. On a face they are the average of both cells; beyond a physical boundary they are
/// those of the last cell. (So coefficients that have a slope at a boundary make the error there first order.)
///
/// A state holds the samples one after another on each rank, [samples, local cells]; all samples share the
/// coefficients. The values of boundaries are the grid's. Collective on the grid's communicator. Matrices: one if f is
/// linear in u, else one for each sample; exact for all schemes, MATAIJ in the numbering of the grid's DM.
class FiniteVolumeTerm : public Term {
 public:
  /// `fields` may be null. Throws UserError on all ranks for settings or fields that do not fit the grid.
  FiniteVolumeTerm(std::shared_ptr<const grid::CellGrid> grid, FiniteVolumeSettings settings,
                   std::shared_ptr<CoefficientFields> fields = nullptr);
  ~FiniteVolumeTerm() override;

  /// Throws on all ranks: UserError when u does not hold whole samples of this grid or values of the fields have
  /// another shape; NumericalError, naming rank, cell and value, when the field `diffusivity` is not positive (without
  /// a floor) or not finite.
  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;
  /// Burgers' flux is F'(u) u / 2, of which F'(u) is frozen.
  std::shared_ptr<Linearization> linearize_frozen(double t, Vec u) override;
  /// Those of the fields; the gradient is that of the rank's cells: sum over ranks.
  std::vector<nn::FlatParameters*> parameters() override;
  bool affine() const override;
  bool forms_matrices() const override { return true; }
  void finish_adjoint() override;

  const grid::CellGrid& grid() const { return *grid_; }
  const FiniteVolumeSettings& settings() const { return settings_; }

 private:
  class Product;
  struct Batch;
  struct Coefficients;
  struct Discretisation;

  void check_settings() const;
  void find_fields();
  std::shared_ptr<Coefficients> coefficients(double t);
  std::shared_ptr<Coefficients> new_coefficients();
  void read_fields(Coefficients& coefficients);
  void check_fields(const at::Tensor& values) const;
  void clip_diffusivity(Coefficients& coefficients, const at::Tensor& values) const;
  std::shared_ptr<Batch> batch_of(Vec u);
  std::shared_ptr<Linearization> product_at(double t, Vec u, bool frozen);

  std::shared_ptr<const grid::CellGrid> grid_;
  FiniteVolumeSettings settings_;
  std::shared_ptr<CoefficientFields> fields_;
  std::vector<int> slots_;      // for v_x, v_y, ..., D: which of the coefficient arrays
  int diffusivity_field_ = -1;  // its place in the fields
  std::unique_ptr<Discretisation> discretisation_;
  std::deque<std::shared_ptr<Coefficients>> recent_;
  long readings_ = 0;                                       // of coefficients
  std::map<std::int64_t, std::shared_ptr<Batch>> batches_;  // by number of samples
};

}  // namespace espalier::model
