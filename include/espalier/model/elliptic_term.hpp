// Diffusion and reaction of several samples, each with coefficients of its own, on a distributed grid.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/grid/halo.hpp"
#include "espalier/model/term.hpp"
#include "espalier/petsc/vec_pool.hpp"

namespace espalier::model {

/// f(c) = R c - div(D grad c), symmetric and positive definite where D > 0 and R > 0, by finite volumes as in
/// FiniteVolumeTerm: D on a face is the average of both cells, on the boundary that of the last cell. Affine in c: the
/// values of Dirichlet boundaries enter. A batch is [samples, local cells]; D and R are fields of the same shape, its
/// parameters(). Collective on the grid's communicator. Matrices: one for each sample, MATAIJ in the numbering of the
/// grid's DM.
class EllipticTerm : public Term {
 public:
  /// Whether rows are divided by the diagonal: f(c) = diag^-1 (R c - div(D grad c)). Sweeps c <- c - f(c) are then
  /// point Jacobi's; products know the diagonal's derivative too, and there are no matrices.
  enum class Rows { plain, divided };

  /// Throws UserError on all ranks for Neumann boundaries with a value other than 0.
  EllipticTerm(std::shared_ptr<const grid::CellGrid> grid, std::int64_t samples, Rows rows = Rows::plain);

  /// D and R from now on, [samples, local cells]; parameters().front()->version() grows. Throws NumericalError on all
  /// ranks for a D that is not positive, or an R that is not finite. Collective.
  void set_coefficients(const at::Tensor& diffusivity, const at::Tensor& reaction);

  void apply(double t, Vec c, Vec f) override;
  /// Products belong to the coefficients of their time: set_coefficients() ends their use.
  std::shared_ptr<Linearization> linearize(double t, Vec c) override;
  /// f_tan = (df/dD) D_tan + (df/dR) R_tan at c.
  void apply_tangent(Vec c, const at::Tensor& diffusivity_tan, const at::Tensor& reaction_tan, Vec f_tan);

  /// Holds D, then R; accumulate() adds to its gradient.
  std::vector<nn::FlatParameters*> parameters() override { return {&coefficients_}; }
  const at::Tensor& diffusivity_gradient() const { return coefficients_.gradients()[0]; }
  const at::Tensor& reaction_gradient() const { return coefficients_.gradients()[1]; }
  bool affine() const override { return true; }
  bool forms_matrices() const override { return rows_ == Rows::plain; }
  const grid::CellGrid& grid() const { return *grid_; }
  std::int64_t samples() const { return halo_.samples(); }

 private:
  class Product;
  using Field = std::vector<double>;  // [samples, ghosted cells], or [samples, local cells]

  const double* diffusivity() const { return coefficients_.tensors()[0].data_ptr<double>(); }
  const double* reaction() const { return coefficients_.tensors()[1].data_ptr<double>(); }
  /// 1 / h^2 along axis d.
  double inverse_area(int d) const;
  /// body(cell, ghosted, neighbour, factor) for each cell and each of its faces normal to axis d on one side: its place
  /// among the samples' local cells, and among the ghosted ones with that of its neighbour; factor: 1, on a boundary
  /// 1 - dc_ghost/dc, which is 2 (Dirichlet) or 0 (Neumann).
  template <class Body>
  void for_faces(int d, bool high, const Body& body) const;
  template <class Body>
  void for_faces_of(std::int64_t sample, int d, bool high, const Body& body) const;
  void check_coefficients() const;
  void multiply(const double* ghosted_diffusivity, const double* reaction, const double* ghosted_c, double* f) const;
  void diagonal(const double* ghosted_diffusivity, const double* reaction, double* result) const;
  void divide(double* f) const;

  std::shared_ptr<const grid::CellGrid> grid_;
  grid::Halo halo_;
  Rows rows_;
  nn::FlatParameters coefficients_;
  Field ghosted_diffusivity_;
  Field diagonal_;  // where rows are divided
  Field ghosted_;   // of an argument
  Field ghosted_w_;
  petsc::VecHandle like_ghosted_;
  petsc::VecPool pool_;
};

}  // namespace espalier::model
