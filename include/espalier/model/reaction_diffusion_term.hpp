// Diffusion and reaction of several fields on a distributed grid.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/model/reaction.hpp"
#include "espalier/model/term.hpp"

namespace espalier::model {

/// f_i(u) = D_i Laplace u_i + R_i(u_1, ..., u_F) in each cell, for F fields: second order, with 3, 5 or 7 points. The
/// boundaries are the grid's, for all fields alike. No parameters; does not depend on t.
///
/// A state holds on each rank [samples, F, local cells]: the fields one after another within a sample, x fastest. So an
/// Integrator's BatchShape is {samples, F local_cells}, spread over the ranks. Collective on the grid's communicator.
/// Host memory. After the first call with a number of samples nothing is allocated but the linearisation's object.
///
/// Matrices: one if f is affine, else one for each sample; exact, MATAIJ with F local_cells rows on each rank in the
/// state's order, with the fields of petsc/matrix_fields.hpp.
class ReactionDiffusionTerm : public Term {
 public:
  /// `diffusivities`: D_1, ..., D_F, in length^2 / time; all zero: no exchange between cells or ranks. `reaction` may
  /// be null: diffusion alone. `names`: of the fields; without them the reaction's, else "0", "1", ... Throws UserError
  /// for diffusivities that are negative, not finite, or not as many as the reaction has fields, and for names that are
  /// not as many.
  ReactionDiffusionTerm(std::shared_ptr<const grid::CellGrid> grid, std::vector<double> diffusivities,
                        std::shared_ptr<const Reaction> reaction = nullptr, std::vector<std::string> names = {});
  ~ReactionDiffusionTerm() override;

  /// Throws UserError on all ranks when u does not hold whole samples of F fields on this grid.
  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;
  bool affine() const override { return !reaction_ || reaction_->affine(); }
  bool forms_matrices() const override { return true; }

  int fields() const { return static_cast<int>(diffusivities_.size()); }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<double>& diffusivities() const { return diffusivities_; }
  const grid::CellGrid& grid() const { return *grid_; }

 private:
  class Product;
  struct Batch;
  struct Stencil;
  struct Entries;

  std::shared_ptr<Batch> batch_of(Vec u);
  Entries& entries();

  std::shared_ptr<const grid::CellGrid> grid_;
  std::vector<double> diffusivities_;
  std::shared_ptr<const Reaction> reaction_;
  std::vector<std::string> names_;
  std::unique_ptr<Stencil> stencil_;
  std::unique_ptr<Entries> entries_;                        // of matrices, once asked for
  std::map<std::int64_t, std::shared_ptr<Batch>> batches_;  // by number of samples
  long linearizations_ = 0;
};

}  // namespace espalier::model
