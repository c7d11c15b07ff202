// What a right-hand side must offer to be integrated and differentiated: f, J v, J^T w and (df/dtheta)^T w.
#pragma once

#include <petscmat.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/nn/flat_parameters.hpp"
#include "espalier/petsc/gradient_vec.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::model {

/// A term f(t, u; theta) linearised at one point. Collectivity is the term's.
class Linearization : public petsc::PendingProduct {
 public:
  /// y = (df/du) v.
  virtual void jvp(Vec v, Vec y) = 0;
  /// u_bar = (df/du)^T w; w is remembered for accumulate().
  virtual void vjp(Vec w, Vec u_bar) = 0;
  /// theta_bar += alpha (df/dtheta)^T w, into the flat gradients of the term's parameters(), at the latest when
  /// Term::finish_adjoint() is called.
  void accumulate(double alpha) override;

  /// Sparse matrices, for preconditioners: how many make up df/du of a batch. 0: this term forms none; 1: all samples
  /// share one; else one for each sample. State vectors hold the samples one after another, each sample's entries
  /// spread over the ranks.
  virtual std::int64_t matrices() const { return 0; }
  /// Whether they are df/du itself. Else they are a part of it, good enough for a preconditioner.
  virtual bool matrices_are_exact() const { return true; }
  /// A matrix of one sample with the nonzero pattern of df/du, zero. Collective.
  virtual petsc::MatHandle create_matrix() const { return {}; }
  /// matrix += scale df/du of sample k (of any sample where they share it). Collective; leaves the matrix assembled.
  virtual void add_to_matrix(std::int64_t k, double scale, Mat matrix) const;
  /// matrix = shift I + scale df/du of sample k, for a matrix of create_matrix(); by add_to_matrix() unless the term
  /// knows a faster way. Collective.
  virtual void write_matrix(std::int64_t k, double shift, double scale, Mat matrix) const;
  /// Tells whether matrices made of an earlier linearisation of the same term are still true: equal numbers say so.
  /// They only grow. Negative: nothing is known.
  virtual long matrices_version() const { return -1; }
};

/// One additive part of a right-hand side. State vectors hold this rank's samples one after another (samples x dof).
class Term {
 public:
  virtual ~Term() = default;
  /// y = f(t, u).
  virtual void apply(double t, Vec u, Vec y) = 0;
  /// The derivative at (t, u). Lives as long as the caller keeps it, but not longer than the term.
  virtual std::shared_ptr<Linearization> linearize(double t, Vec u) = 0;
  /// As linearize(), but with what multiplies u frozen at u: products with L(u), and its matrices, where f(u) = L(u) u
  /// + constant. What Picard's iterations solve with. Empty: f has no such form.
  virtual std::shared_ptr<Linearization> linearize_frozen(double /*t*/, Vec /*u*/) { return nullptr; }
  /// Trainable parameters, possibly of several networks; empty if there are none.
  virtual std::vector<nn::FlatParameters*> parameters() { return {}; }
  /// Whether f is affine in u, so that one linear solve takes the place of Newton's iterations.
  virtual bool affine() const { return false; }
  /// Whether its linearisations have sparse matrices().
  virtual bool forms_matrices() const { return false; }
  /// From now on, keep evaluations (as memory allows) so that linearize() at the same points needs no new one.
  /// Switching on forgets what was kept before.
  virtual void keep_evaluations(bool /*keep*/) {}
  /// While on, apply() repeats evaluations of the recorded run on behalf of its adjoint: it keeps the `latest` ones and
  /// nothing more, and what linearize() was repeated for stays.
  virtual void repeat_evaluations(bool /*repeat*/, std::size_t /*latest*/) {}
  /// Called when all products of an adjoint run have been accumulated: what was put off is added to the flat gradients
  /// now. Collectivity is the term's.
  virtual void finish_adjoint() {}
};

/// du/dt = G(t, u) + H(t, u): G is treated explicitly and H implicitly by methods that can; either may be empty.
struct SplitSystem {
  std::shared_ptr<Term> explicit_part;
  std::shared_ptr<Term> implicit_part;
};

/// The parameters of both parts in one buffer, the explicit part's first. The terms must outlive it. Throws UserError
/// when there are none, or of two precisions.
nn::FlatParameters joined_parameters(const SplitSystem& system);

}  // namespace espalier::model
