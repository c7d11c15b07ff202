// A network as a term of a system, for the library's Integrator or for any TS of the user's own.
#pragma once

#include <petscts.h>

#include <cstddef>
#include <deque>
#include <memory>

#include "espalier/model/term.hpp"
#include "espalier/nn/network.hpp"

namespace espalier::model {

/// How often a network was asked; totals since construction, of this rank.
struct NetworkCounters {
  long forward = 0;     ///< calls of f in forward runs
  long adjoint = 0;     ///< products (df/du)^T w
  long tangent = 0;     ///< products (df/du) v
  long recomputed = 0;  ///< evaluations repeated because none was kept, or with a step that is repeated
};

/// f(t, u) = network applied to each sample of u. The state's local part is read as [local size / inputs, inputs].
/// Collective on the network's comm(), if it has one.
class NeuralTerm : public Term {
 public:
  /// `keep_bytes`: memory for evaluations kept between a forward run and its adjoint.
  explicit NeuralTerm(std::shared_ptr<nn::Network> network, std::size_t keep_bytes = default_keep_bytes);
  ~NeuralTerm() override;

  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;
  std::vector<nn::FlatParameters*> parameters() override { return {&network_->parameters()}; }
  void keep_evaluations(bool keep) override;
  void repeat_evaluations(bool repeat, std::size_t latest) override;

  nn::Network& network() { return *network_; }
  /// Memory of the evaluations kept for the adjoint, in bytes.
  std::size_t kept_bytes() const { return kept_bytes_; }
  const NetworkCounters& counters() const { return counters_; }

  /// Level 1 of entry: adds this term to the explicit right-hand side of the caller's own TS. What the TS already has
  /// (TSSetRHSFunction, TSSetRHSJacobian) is kept and called first: du/dt = f_user + f_network. Sets RHSFunction,
  /// RHSJacobian and RHSJacobianP as shells, so TSSolve and TSAdjointSolve work as they are. `state`: a vector with
  /// the state's layout. Give TSSetCostGradients a mu made by create_mu(), or any Vec of that layout. The term must
  /// outlive the TS. Call it after the TS has its own callbacks and before TSSetUp. Collective on the TS.
  void attach_explicit(TS ts, Vec state);

  /// mu for TSSetCostGradients: an ordinary Vec with this rank's parameter gradient in its local part.
  petsc::VecHandle create_mu(MPI_Comm comm);

  static constexpr std::size_t default_keep_bytes = std::size_t{1} << 30;

 private:
  struct Kept;

  bool on_all_ranks(bool match) const;
  std::shared_ptr<Linearization> find_kept(double t, const at::Tensor& input);
  void note_recent(Kept evaluation);
  void forget();
  void forget_outdated();

  std::shared_ptr<nn::Network> network_;
  std::size_t keep_bytes_;
  std::size_t kept_bytes_ = 0;
  bool keep_ = false;
  bool repeat_ = false;
  std::size_t latest_ = 0;   // evaluations that are kept while steps are repeated
  std::deque<Kept> kept_;    // evaluations of the forward run, oldest first
  std::deque<Kept> recent_;  // evaluations repeated in the adjoint, newest last
  std::size_t cursor_ = 0;
  long version_ = 0;  // of the parameters that everything kept belongs to
  NetworkCounters counters_;
};

}  // namespace espalier::model
