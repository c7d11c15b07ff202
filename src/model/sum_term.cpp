#include "espalier/model/sum_term.hpp"

#include <algorithm>
#include <set>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/petsc/matrix_fields.hpp"

namespace espalier::model {

namespace {

using Linearizations = std::vector<std::shared_ptr<Linearization>>;

PetscLogDouble stored_entries(Mat matrix) {
  MatInfo info{};
  ESPALIER_CALL(MatGetInfo(matrix, MAT_GLOBAL_SUM, &info));
  return info.nz_used;
}

}  // namespace

/// A matrix of each term, written anew for each sample and added to that of the sum.
class SumTerm::Matrices {
 public:
  /// A matrix of zeros with all places of the terms' matrices.
  petsc::MatHandle create(const Linearizations& forming) {
    make_own(forming);
    petsc::MatHandle sum;
    ESPALIER_CALL(MatDuplicate(own_.front().get(), MAT_DO_NOT_COPY_VALUES, sum.out()));
    for (std::size_t p = 1; p < own_.size(); ++p)
      ESPALIER_CALL(MatAXPY(sum.get(), 1, own_[p].get(), DIFFERENT_NONZERO_PATTERN));
    ESPALIER_CALL(MatZeroEntries(sum.get()));
    std::vector<std::string> fields;
    for (std::size_t p = 0; p < own_.size() && fields.empty(); ++p)
      for (const auto& field : petsc::fields_of(own_[p].get())) fields.push_back(field.name);
    if (!fields.empty()) petsc::set_fields(sum.get(), fields);
    return sum;
  }

  // M += scale sum_p J_p.
  void add(const Linearizations& forming, std::int64_t k, double scale, Mat sum) {
    make_own(forming);
    for (std::size_t p = 0; p < forming.size(); ++p) {
      const Mat own = own_[p].get();
      forming[p]->write_matrix(forming[p]->matrices() == 1 ? 0 : k, 0, scale, own);
      // A part of the sum's places that is as large is all of them.
      const bool same = stored_entries(own) == stored_entries(sum);
      ESPALIER_CALL(MatAXPY(sum, 1, own, same ? SAME_NONZERO_PATTERN : SUBSET_NONZERO_PATTERN));
    }
  }

 private:
  void make_own(const Linearizations& forming) {
    if (!own_.empty()) return;
    for (const auto& part : forming) own_.push_back(part->create_matrix());
  }

  std::vector<petsc::MatHandle> own_;
};

class SumTerm::Product : public Linearization {
 public:
  /// `forming`: those of the parts that form matrices.
  Product(Linearizations parts, Linearizations forming, std::shared_ptr<petsc::VecHandle> work,
          std::shared_ptr<Matrices> matrices)
      : parts_(std::move(parts)),
        forming_(std::move(forming)),
        work_(std::move(work)),
        matrices_(std::move(matrices)) {}

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

  std::int64_t matrices() const override {
    std::int64_t most = 0;
    for (const auto& part : forming_) most = std::max(most, part->matrices());
    return most;
  }
  bool matrices_are_exact() const override {
    return forming_.size() == parts_.size() &&
           std::all_of(forming_.begin(), forming_.end(), [](const auto& part) { return part->matrices_are_exact(); });
  }
  petsc::MatHandle create_matrix() const override { return matrices_->create(forming_); }
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override {
    matrices_->add(forming_, k, scale, matrix);
  }
  // Versions only grow: their sum tells a change of any of them.
  long matrices_version() const override {
    long sum = 0;
    for (const auto& part : forming_) {
      const long version = part->matrices_version();
      if (version < 0) return -1;
      sum += version;
    }
    return sum;
  }

 private:
  Linearizations parts_;
  Linearizations forming_;
  std::shared_ptr<petsc::VecHandle> work_;
  std::shared_ptr<Matrices> matrices_;
};

SumTerm::SumTerm(std::vector<std::shared_ptr<Term>> terms)
    : terms_(std::move(terms)), work_(std::make_shared<petsc::VecHandle>()), matrices_(std::make_shared<Matrices>()) {
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
  Linearizations parts;
  Linearizations forming;
  for (auto& term : terms_) {
    parts.push_back(term->linearize(t, u));
    if (term->forms_matrices()) forming.push_back(parts.back());
  }
  return std::make_shared<Product>(std::move(parts), std::move(forming), work_, matrices_);
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

bool SumTerm::forms_matrices() const {
  return std::any_of(terms_.begin(), terms_.end(), [](const auto& term) { return term->forms_matrices(); });
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

std::shared_ptr<Term> sum_of(const SplitSystem& system) {
  ESPALIER_REQUIRE(system.explicit_part || system.implicit_part, "the system to integrate has no term");
  if (!system.explicit_part) return system.implicit_part;
  if (!system.implicit_part) return system.explicit_part;
  return std::make_shared<SumTerm>(std::vector<std::shared_ptr<Term>>{system.explicit_part, system.implicit_part});
}

}  // namespace espalier::model
