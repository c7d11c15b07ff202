// Chemical vapour infiltration: the porosity's rate, behind which a molarity field is solved for at every time.
#pragma once

#include <petscvec.h>
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "espalier/grid/cell_grid.hpp"
#include "espalier/implicit/root_solve.hpp"
#include "espalier/model/term.hpp"
#include "espalier/nn/network.hpp"

namespace espalier::implicit {

/// The laws of the process, functions of one number that are positive; known or learnt.
struct InfiltrationLaws {
  std::shared_ptr<nn::Network> diffusivity;  ///< D of the porosity
  std::shared_ptr<nn::Network> surface;      ///< S of the porosity, surface for each volume
  std::shared_ptr<nn::Network> rate;         ///< k of the temperature T / T_ref
};

struct InfiltrationSettings {
  double consumption = 1;            ///< beta
  std::string prefix = "molarity_";  ///< PETSc options of the molarity's solve, -<prefix>ksp_*, -<prefix>adjoint_ksp_*
  /// implicit: any KSP, differentiated by one transposed solve; unrolled: `iterations` sweeps of point Jacobi from
  /// c = 1, each differentiated.
  Differentiation differentiation = Differentiation::implicit;
  long iterations = 200;
  std::size_t keep_bytes = std::size_t{1} << 34;  ///< of molarities kept for the adjoint; beyond, solves are repeated
};

/// d eps/dt = -beta k(T) S(eps) c with the molarity c of the quasi-steady gas,
///
///   div(D(eps) grad c) = k(T) S(eps) c,   c on the boundary the grid's, 1 say.
///
/// A sample of a state holds on each rank the porosities eps of its cells and then one number, T / T_ref, whose rate is
/// 0: dof = local cells + 1. All samples are solved for together, one linear system with a matrix for each sample.
/// (D. Akhare, Z. Chen, R. Gulotty, T. Luo, J.-X. Wang, npj Computational Materials 10, 2024; equation 39 of Akhare,
/// Luo, Wang, Implicit Neural Differential Model for Spatiotemporal Dynamics, 2025.)
///
/// J^T w takes one transposed elliptic solve, J v one more solve; both then go through the laws by torch's products.
/// Default solvers: CG with block Jacobi and ILU(0), relative tolerance 1e-13. Collective on the grid's communicator.
class InfiltrationTerm : public model::Term {
 public:
  InfiltrationTerm(std::shared_ptr<const grid::CellGrid> grid, InfiltrationLaws laws,
                   InfiltrationSettings settings = {});
  ~InfiltrationTerm() override;

  /// Throws UserError on all ranks when u does not hold whole samples, NumericalError when a solve fails or a law gives
  /// a value that is not positive.
  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<model::Linearization> linearize(double t, Vec u) override;
  /// Those of the laws that are trained; the gradient is that of the rank's cells: sum over ranks.
  std::vector<nn::FlatParameters*> parameters() override;
  void keep_evaluations(bool keep) override;

  /// c of a state [samples, local cells + 1]: [samples, local cells]. Collective.
  at::Tensor molarity(const at::Tensor& u);
  const InfiltrationSettings& settings() const { return settings_; }
  /// Iterations of the KSP, or sweeps, since construction.
  long iterations_forward() const;
  long iterations_adjoint() const;
  /// The largest memory that kept molarities have taken, of this rank.
  double peak_kept_bytes() const { return peak_bytes_; }

 private:
  class Products;
  struct Batch;
  struct Solution;
  struct Fields;

  Batch& batch_of(Vec u);
  std::shared_ptr<const Solution> solve(Batch& batch, const Fields& fields, bool record);
  std::uint64_t key_of(const at::Tensor& u);
  std::shared_ptr<const Solution> find(std::uint64_t key) const;
  void keep(std::uint64_t key, std::shared_ptr<const Solution> solution);

  std::shared_ptr<const grid::CellGrid> grid_;
  InfiltrationLaws laws_;
  InfiltrationSettings settings_;
  std::map<std::int64_t, std::unique_ptr<Batch>> batches_;  // by number of samples
  bool keep_ = false;
  std::unordered_map<std::uint64_t, std::shared_ptr<const Solution>> kept_;  // by key_of()
  double kept_bytes_ = 0;
  double peak_bytes_ = 0;
};

}  // namespace espalier::implicit
