// Right-hand sides of several terms.
#pragma once

#include <memory>
#include <vector>

#include "espalier/model/term.hpp"

namespace espalier::model {

/// f = f_1 + f_2 + ..., of terms whose states are alike.
///
/// Matrices: the sum of those of the terms that form some, so that a network beside a discretised operator leaves that
/// operator's matrix to the preconditioner; exact if all terms form theirs. One if that holds for each term, else one
/// for each sample.
class SumTerm : public Term {
 public:
  /// Throws UserError when two terms have parameters in common.
  explicit SumTerm(std::vector<std::shared_ptr<Term>> terms);
  void apply(double t, Vec u, Vec y) override;
  std::shared_ptr<Linearization> linearize(double t, Vec u) override;
  std::vector<nn::FlatParameters*> parameters() override;
  bool affine() const override;
  bool forms_matrices() const override;
  void keep_evaluations(bool keep) override;
  void repeat_evaluations(bool repeat, std::size_t latest) override;
  void finish_adjoint() override;

 private:
  class Product;
  class Matrices;

  void prepare_work(Vec like);

  std::vector<std::shared_ptr<Term>> terms_;
  std::shared_ptr<petsc::VecHandle> work_;
  std::shared_ptr<Matrices> matrices_;
};

/// The whole right-hand side G + H. Throws UserError when there is none.
std::shared_ptr<Term> sum_of(const SplitSystem& system);

}  // namespace espalier::model
