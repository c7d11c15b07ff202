// What the files of ReactionDiffusionTerm share: the stencil, buffers of a batch, entries of matrices.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "espalier/grid/halo.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/petsc/vec_arrays.hpp"
#include "espalier/petsc/vec_pool.hpp"

namespace espalier::model {

using petsc::ReadArray;
using petsc::WriteArray;

/// Some rows of cells along x, one after another: what is worked on while it is in the cache.
struct CellBlock {
  std::int64_t first_row;
  std::int64_t rows;
  std::int64_t first;  // cell
  std::int64_t cells;
};

/// D_i Laplace, and which fields couple.
struct ReactionDiffusionTerm::Stencil {
  Stencil(const grid::CellGrid& grid, const std::vector<double>& diffusivities, const Reaction* reaction);

  /// y = D_i Laplace u in a block of one field; `u`: all of its ghosted cells, which are not looked at where D_i = 0;
  /// `y`: the block's first cell.
  void multiply(std::size_t field, const CellBlock& block, const double* u, double* y) const;
  /// body(block) for all cells.
  template <class Body>
  void for_blocks(const Body& body) const {
    for (std::int64_t row = 0; row < rows; row += rows_of_block) {
      const std::int64_t count = std::min(rows_of_block, rows - row);
      body(CellBlock{row, count, row * extent[0], count * extent[0]});
    }
  }
  /// Place of dR_i/du_j among the coupling pairs, -1 where they do not couple.
  std::int64_t pair(std::size_t i, std::size_t j) const { return pairs[i * fields + j]; }
  /// f_i += R_i(u) in a block; u and f: its first cell in [fields, cells].
  void add_rates(const Reaction& reaction, const CellBlock& block, const double* u, double* f);
  /// r = dR_i/du_j [pair_count, cells] of one sample u [fields, cells].
  void differentiate(const Reaction& reaction, const double* u, double* r);
  /// Field i of sample s among ghosted fields.
  const double* ghosted_field(const double* ghosted, std::int64_t s, std::size_t i) const {
    return ghosted + (s * static_cast<std::int64_t>(fields) + static_cast<std::int64_t>(i)) * ghosted_cells;
  }
  /// Where the cells of field i begin in a sample.
  std::int64_t row(std::size_t i) const { return static_cast<std::int64_t>(i) * cells; }

  std::size_t fields;
  std::vector<double> diffusivities;
  bool diffuses;  // not all D_i are 0
  std::size_t dimension;
  std::array<std::int64_t, 3> extent{};   // of the rank's cells
  std::array<std::int64_t, 3> strides{};  // among the ghosted ones
  std::array<double, 3> inverse_area{};   // 1 / h^2 along each axis
  std::int64_t cells;
  std::int64_t ghosted_cells = 1;
  std::int64_t origin = 0;  // first cell among the ghosted ones
  std::int64_t rows;
  std::int64_t rows_of_block;
  std::vector<std::int64_t> pairs;  // [fields, fields]
  std::int64_t pair_count = 0;
  std::vector<double> constant;  // dR_i/du_j where it does not depend on u: [pair_count, cells]

 private:
  std::vector<const double*> arguments_;  // rows for a reaction
  std::vector<double*> results_;
  std::vector<double*> derivatives_;
};

/// What batches of one number of samples need.
struct ReactionDiffusionTerm::Batch {
  Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t samples, const Stencil& stencil,
        bool constant_derivatives);

  /// The ghosted fields of a state, [samples, fields, ghosted cells]; empty without diffusion.
  const double* fill(const double* state, grid::Beyond beyond);

  std::int64_t samples;
  std::unique_ptr<grid::Halo> halo;  // null without diffusion
  std::vector<double> ghosted;
  petsc::VecHandle derivatives;  // [samples, pair_count, cells]: the model of others; null where they are constant
  petsc::VecPool pool;
};

/// The entries of one sample's matrix in the order of MatSetValuesCOO(): those of neighbours, then the diagonal
/// [fields, cells], then the pairs of different fields, [cells] each.
struct ReactionDiffusionTerm::Entries {
  Entries(const grid::CellGrid& grid, const Stencil& stencil);

  petsc::MatHandle create_matrix(const grid::CellGrid& grid, const std::vector<std::string>& names) const;
  /// values = shift I + scale J with the derivatives `r` [pair_count, cells], null without a reaction.
  void evaluate(const Stencil& stencil, double shift, double scale, const double* r);

  std::vector<PetscInt> rows;
  std::vector<PetscInt> columns;
  std::vector<double> neighbours;  // D_i / h^2
  std::vector<double> diagonal;    // of D_i Laplace
  std::vector<double> values;

 private:
  double scaled_ = 0;  // by which the neighbours stand in the values
};

class ReactionDiffusionTerm::Product : public Linearization {
 public:
  /// `derivatives`: null where they are constant or absent.
  Product(ReactionDiffusionTerm& term, std::shared_ptr<Batch> batch, std::shared_ptr<petsc::VecHandle> derivatives,
          long version)
      : term_(&term), batch_(std::move(batch)), derivatives_(std::move(derivatives)), version_(version) {}

  void jvp(Vec v, Vec y) override;
  void vjp(Vec w, Vec u_bar) override;
  std::int64_t matrices() const override { return term_->affine() ? 1 : batch_->samples; }
  petsc::MatHandle create_matrix() const override;
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override;
  void write_matrix(std::int64_t k, double shift, double scale, Mat matrix) const override;
  long matrices_version() const override { return version_; }

 private:
  template <bool transposed>
  void multiply(Vec v, Vec y) const;
  void set_values(std::int64_t k, double shift, double scale, Mat matrix, InsertMode mode) const;

  ReactionDiffusionTerm* term_;
  std::shared_ptr<Batch> batch_;
  std::shared_ptr<petsc::VecHandle> derivatives_;  // [samples, pair_count, cells]
  long version_;
};

}  // namespace espalier::model
