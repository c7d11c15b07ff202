#include "espalier/model/term.hpp"

#include <algorithm>
#include <set>

#include "espalier/core/error.hpp"

namespace espalier::model {

void Linearization::accumulate(double /*alpha*/) {}

void Linearization::add_to_matrix(std::int64_t /*k*/, double /*scale*/, Mat /*matrix*/) const {
  ESPALIER_ASSERT(false, "this term forms no matrices");
}

void Linearization::write_matrix(std::int64_t k, double shift, double scale, Mat matrix) const {
  ESPALIER_CALL(MatZeroEntries(matrix));
  add_to_matrix(k, scale, matrix);
  ESPALIER_CALL(MatShift(matrix, shift));
}

namespace {

class SumLinearization : public Linearization {
 public:
  SumLinearization(std::vector<std::shared_ptr<Linearization>> parts, std::shared_ptr<petsc::VecHandle> work)
      : parts_(std::move(parts)), work_(std::move(work)) {}

  // J v = sum_k J_k v.
  void jvp(Vec v, Vec y) override {
    parts_.front()->jvp(v, y);
    for (std::size_t k = 1; k < parts_.size(); ++k) {
      parts_[k]->jvp(v, work_->get());
      ESPALIER_CALL(VecAXPY(y, 1.0, work_->get()));
    }
  }

  void vjp(Vec w, Vec u_bar) override {
    parts_.front()->vjp(w, u_bar);
    for (std::size_t k = 1; k < parts_.size(); ++k) {
      parts_[k]->vjp(w, work_->get());
      ESPALIER_CALL(VecAXPY(u_bar, 1.0, work_->get()));
    }
  }

  void accumulate(double alpha) override {
    for (auto& part : parts_) part->accumulate(alpha);
  }

 private:
  std::vector<std::shared_ptr<Linearization>> parts_;
  std::shared_ptr<petsc::VecHandle> work_;
};

}  // namespace

SumTerm::SumTerm(std::vector<std::shared_ptr<Term>> terms)
    : terms_(std::move(terms)), work_(std::make_shared<petsc::VecHandle>()) {
  ESPALIER_ASSERT(!terms_.empty(), "a sum of terms needs at least one");
  // Their products would share buffers.
  const auto all = parameters();
  ESPALIER_REQUIRE(std::set<nn::FlatParameters*>(all.begin(), all.end()).size() == all.size(),
                   "a sum cannot hold the same network twice: make it one term, or two networks");
}

// Batches may change their size; linearisations at the former one keep its work vector.
void SumTerm::prepare_work(Vec like) {
  if (terms_.size() == 1) return;
  if (!work_->empty()) {
    PetscLayout wanted = nullptr;
    PetscLayout present = nullptr;
    PetscBool same = PETSC_FALSE;
    ESPALIER_CALL(VecGetLayout(like, &wanted));
    ESPALIER_CALL(VecGetLayout(work_->get(), &present));
    ESPALIER_CALL(PetscLayoutCompare(wanted, present, &same));
    if (same) return;
  }
  auto work = std::make_shared<petsc::VecHandle>();
  ESPALIER_CALL(VecDuplicate(like, work->out()));
  work_ = std::move(work);
}

void SumTerm::apply(double t, Vec u, Vec y) {
  prepare_work(y);
  terms_.front()->apply(t, u, y);
  for (std::size_t k = 1; k < terms_.size(); ++k) {
    terms_[k]->apply(t, u, work_->get());
    ESPALIER_CALL(VecAXPY(y, 1.0, work_->get()));
  }
}

std::shared_ptr<Linearization> SumTerm::linearize(double t, Vec u) {
  prepare_work(u);
  std::vector<std::shared_ptr<Linearization>> parts;
  parts.reserve(terms_.size());
  for (auto& term : terms_) parts.push_back(term->linearize(t, u));
  return std::make_shared<SumLinearization>(std::move(parts), work_);
}

std::vector<nn::FlatParameters*> SumTerm::parameters() {
  std::vector<nn::FlatParameters*> all;
  for (auto& term : terms_)
    for (auto* parameters : term->parameters()) all.push_back(parameters);
  return all;
}

bool SumTerm::affine() const {
  return std::all_of(terms_.begin(), terms_.end(), [](const auto& term) { return term->affine(); });
}

void SumTerm::keep_evaluations(bool keep) {
  for (auto& term : terms_) term->keep_evaluations(keep);
}

void SumTerm::repeat_evaluations(bool repeat, std::size_t latest) {
  for (auto& term : terms_) term->repeat_evaluations(repeat, latest);
}

void SumTerm::finish_adjoint() {
  for (auto& term : terms_) term->finish_adjoint();
}

nn::FlatParameters joined_parameters(const SplitSystem& system) {
  std::vector<nn::FlatParameters*> all;
  for (const auto& term : {system.explicit_part, system.implicit_part})
    if (term)
      for (auto* parameters : term->parameters()) all.push_back(parameters);
  ESPALIER_REQUIRE(!all.empty(), "the system has no trainable parameters");
  for (const auto* parameters : all)
    ESPALIER_REQUIRE(parameters->values().scalar_type() == all.front()->values().scalar_type(),
                     "the trained parts of a system must have one precision, and a trained linear part is double: "
                     "choose -network_precision double");
  return nn::FlatParameters::joined(all);
}

}  // namespace espalier::model
