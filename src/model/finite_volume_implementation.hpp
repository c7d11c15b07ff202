// What the files of FiniteVolumeTerm share: where faces lie in memory, coefficients at one time, buffers of a batch.
#pragma once

#include <array>
#include <vector>

#include "espalier/grid/halo.hpp"
#include "espalier/petsc/vec_arrays.hpp"
#include "espalier/petsc/vec_pool.hpp"
#include "finite_volume_flux.hpp"

namespace espalier::model {

using petsc::ReadArray;
using petsc::WriteArray;

/// A row of faces that continues along x.
struct FaceRow {
  std::int64_t count;
  std::array<std::int64_t, 4> cells;  // the first face's four cells among the ghosted ones
  std::int64_t face;                  // its place among the faces of its axis
  std::int64_t left, right;           // owned cells at the first face, x: of the row; -1: of another rank, or beyond
};

/// Faces normal to axis d are numbered x fastest; with four states there is one layer more on each side, whose fluxes
/// depend on cells of this rank.
struct FiniteVolumeTerm::Discretisation {
  Discretisation(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t fields, const FluxScheme& scheme);

  /// Derivative m of the faces of axis d starts at derivatives(d, m).
  std::int64_t derivatives(std::size_t d, int m) const { return offset[d] + m * length[d]; }
  /// First face of the row of cells (0, j, k), towards lower d.
  std::int64_t face(std::size_t d, std::int64_t j, std::int64_t k) const {
    return outer * stride[d][d] + j * stride[d][1] + k * stride[d][2];
  }
  FluxRow row(const Coefficients& c, std::size_t d, const FaceRow& faces, const double* u) const;
  /// f of one sample, from u with its ghosts.
  void evaluate(const Coefficients& c, const double* u, double* f);
  /// (dPhi/du) / h of all faces for one sample, ghost values beyond boundaries expressed by those inside. `frozen`: at
  /// frozen coefficients.
  void differentiate(const Coefficients& c, const double* u, double* result, bool frozen = false) const;

  FluxScheme scheme;
  grid::Halo fields_halo;
  double threshold = 0;  // of the limiter, squared
  std::size_t dimension;
  std::int64_t outer;                            // layers of faces more on each side
  std::array<std::int64_t, 3> extent{};          // of the owned cells
  std::array<std::int64_t, 3> cell_stride{};     // among the owned cells
  std::array<std::int64_t, 3> ghosted_stride{};  // among the ghosted cells
  std::array<double, 3> inverse_spacing{};
  std::array<std::array<std::int64_t, 3>, 3> stride{};  // [d]: among the faces of axis d
  std::array<std::int64_t, 3> length{};                 // faces of axis d
  std::array<std::int64_t, 3> offset{};                 // of their derivatives
  std::int64_t total = 0;                               // derivatives of all axes
  std::array<std::vector<FaceRow>, 3> rows;             // faces of cells of this rank
  std::array<std::vector<FaceRow>, 3> outer_rows;
  std::array<std::array<double, 2>, 3> reflection{};  // [d][end]: du_ghost/du_in at a physical boundary, else 0
  std::array<std::array<bool, 2>, 3> point{};         // [d][end]: the first ghost is given, the next its images
  std::vector<double> scratch;                        // four rows of faces

  double* scratch_row(int n) { return scratch.data() + n * (extent[0] + 1); }

 private:
  void add_rows(std::size_t d);
  FaceRow make_row(std::size_t d, std::int64_t f, std::int64_t j, std::int64_t k, std::int64_t count) const;
  void fold(std::size_t d, bool high, double* derivatives) const;
};

/// Coefficients at one time with their ghosts.
struct FiniteVolumeTerm::Coefficients {
  double t = 0;
  long version = 0;
  long reading = 0;                 // tells these values from earlier ones
  std::vector<double> arrays;       // the fields' in their order, then the constants': [.., ghosted cells]
  std::vector<const double*> of;    // v_x, v_y, ..., D among them
  std::vector<double> active;       // for each cell: 0 where the floor replaces D, else 1; empty without a floor
  std::vector<double> derivatives;  // of all faces, once asked for, if f is linear in u
};

/// What batches of one number of samples need.
struct FiniteVolumeTerm::Batch {
  Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t samples, std::int64_t derivatives);

  std::int64_t samples() const { return halo.samples(); }

  grid::Halo halo;
  petsc::VecHandle work;         // a ghosted buffer
  petsc::VecHandle derivatives;  // of all faces and samples; the model of others
  petsc::VecPool ghosted_pool;
  petsc::VecPool derivatives_pool;
};

class FiniteVolumeTerm::Product : public Linearization {
 public:
  /// `u`: ghosted, null without fields; `derivatives`: null where the coefficients hold them.
  Product(FiniteVolumeTerm& term, std::shared_ptr<Coefficients> coefficients, std::shared_ptr<Batch> batch,
          std::shared_ptr<petsc::VecHandle> u, std::shared_ptr<petsc::VecHandle> derivatives)
      : term_(&term),
        coefficients_(std::move(coefficients)),
        batch_(std::move(batch)),
        u_(std::move(u)),
        derivatives_(std::move(derivatives)) {}

  void jvp(Vec v, Vec y) override;
  void vjp(Vec w, Vec u_bar) override;
  void accumulate(double alpha) override;
  std::int64_t matrices() const override;
  petsc::MatHandle create_matrix() const override;
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override;
  long matrices_version() const override;

 private:
  class Derivatives;
  template <bool transposed>
  void multiply(const double* v, double* y) const;
  void accumulate_axis(std::size_t d, double alpha, double* v_bar, double* d_bar);

  FiniteVolumeTerm* term_;
  std::shared_ptr<Coefficients> coefficients_;
  std::shared_ptr<Batch> batch_;
  std::shared_ptr<petsc::VecHandle> u_;
  std::shared_ptr<petsc::VecHandle> derivatives_;
  std::shared_ptr<petsc::VecHandle> w_;  // of the last vjp, ghosted
};

}  // namespace espalier::model
