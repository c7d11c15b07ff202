// The preconditioner of SampleMatrices as a type of PETSc's PC.
#include <petsc/private/pcimpl.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/compat.hpp"
#include "espalier/petsc/matrix_fields.hpp"
#include "espalier/petsc/sample_matrices.hpp"

namespace espalier::petsc {

namespace {

/// What serves one direction: the PCs of the matrices, or of their transposes.
struct Side {
  std::vector<PcHandle> pcs;
  std::vector<MatHandle> transposes;  // empty where the PCs are those of the matrices themselves
  bool current = false;
};

bool is_one_of(const char* type, std::initializer_list<const char*> types) {
  return std::any_of(types.begin(), types.end(), [&](const char* one) { return std::string(one) == type; });
}

/// Whether the transposed application of a PC is known to be exact, whatever its options. Collective.
bool transposes_itself(PC pc) {
  PCType type = nullptr;
  ESPALIER_CALL(PCGetType(pc, &type));
  if (is_one_of(type, {PCNONE, PCJACOBI, PCPBJACOBI, PCILU, PCICC, PCLU, PCCHOLESKY})) return true;
  if (!is_one_of(type, {PCBJACOBI})) return false;
  PetscInt count = 0;
  KSP* blocks = nullptr;
  ESPALIER_CALL(PCSetUp(pc));
  ESPALIER_CALL(PCBJacobiGetSubKSP(pc, &count, nullptr, &blocks));
  bool all = true;
  for (PetscInt k = 0; k < count; ++k) {
    PC of_block = nullptr;
    KSPType solver = nullptr;
    ESPALIER_CALL(KSPGetPC(blocks[k], &of_block));
    ESPALIER_CALL(KSPGetType(blocks[k], &solver));
    all = all && is_one_of(solver, {KSPPREONLY}) && transposes_itself(of_block);
  }
  return !core::any_rank(PetscObjectComm(reinterpret_cast<PetscObject>(pc)), !all);
}

/// Whether a PC stays as it is though its matrix changes. The blocks of bjacobi look at the matrix themselves.
void freeze(PC pc, PetscBool frozen) {
  PetscBool has_blocks = PETSC_FALSE;
  ESPALIER_CALL(PCSetReusePreconditioner(pc, frozen));
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(pc), PCBJACOBI, &has_blocks));
  if (has_blocks == PETSC_FALSE || pc->setupcalled == 0) return;
  PetscInt count = 0;
  KSP* blocks = nullptr;
  ESPALIER_CALL(PCBJacobiGetSubKSP(pc, &count, nullptr, &blocks));
  for (PetscInt k = 0; k < count; ++k) ESPALIER_CALL(KSPSetReusePreconditioner(blocks[k], frozen));
}

class SamplesPc {
 public:
  explicit SamplesPc(PC pc) : pc_(pc) {}

  PetscErrorCode read_options(OptionItems PetscOptionsObject) noexcept {
    PetscFunctionBegin;
    PetscOptionsHeadBegin(PetscOptionsObject, "Preconditioners of samples");
    PetscCall(PetscOptionsBoundedInt("-samples_lag", "renew with every n-th change of the matrices; 0: never", nullptr,
                                     lag_, &lag_, nullptr, 0));
    PetscCall(PetscOptionsBool("-samples_own_transpose", "apply any PC's own transpose", nullptr, own_transpose_,
                               &own_transpose_, nullptr));
    PetscOptionsHeadEnd();
    PetscFunctionReturn(PETSC_SUCCESS);
  }

  /// The matrices changed: both sides are out of date, unless they may lag behind.
  void set_up() {
    Mat pmat = nullptr;
    ESPALIER_CALL(PCGetOperators(pc_, nullptr, &pmat));
    matrices_ = SampleMatrices::of(pmat);
    ESPALIER_REQUIRE(matrices_ != nullptr && matrices_->count() > 0,
                     std::string("-pc_type ") + samples_pc_type +
                         " needs the sparse matrices of a batch: choose -ts_jacobian assembled for a term that has "
                         "them, or another -pc_type");
    const bool renew = lag_ == 0 ? changes_ == 0 : changes_ % lag_ == 0;
    ++changes_;
    for (Side& side : sides_) {
      side.current = side.current && !renew && side.pcs.size() == matrices_->count();
      if (side.current)
        for (auto& pc : side.pcs) freeze(pc.get(), PETSC_TRUE);
    }
  }

  void apply(Vec b, Vec x, bool transpose) {
    Side& side = sides_[transpose ? 1 : 0];
    if (!side.current) update(side, transpose);
    const PetscScalar* in = nullptr;
    PetscScalar* out = nullptr;
    ESPALIER_CALL(VecGetArrayRead(b, &in));
    ESPALIER_CALL(VecGetArrayWrite(x, &out));
    const bool by_its_transpose = transpose && side.transposes.empty();
    if (matrices_->shared() && matrices_->samples() > 1 && !by_its_transpose) {
      apply_to_all(side.pcs.front().get(), in, out);
    } else {
      apply_to_each(side, by_its_transpose, in, out);
    }
    ESPALIER_CALL(VecRestoreArrayRead(b, &in));
    ESPALIER_CALL(VecRestoreArrayWrite(x, &out));
  }

  void view(PetscViewer viewer) {
    for (const Side& side : sides_) {
      if (side.pcs.empty()) continue;
      ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, "  %zu matrices for %d samples%s; the first one's PC:\n",
                                           matrices_->count(), static_cast<int>(matrices_->samples()),
                                           &side == &sides_[1] ? ", transposed" : ""));
      ESPALIER_CALL(PetscViewerASCIIPushTab(viewer));
      ESPALIER_CALL(PCView(side.pcs.front().get(), viewer));
      ESPALIER_CALL(PetscViewerASCIIPopTab(viewer));
    }
  }

 private:
  void create_pcs(Side& side) {
    const char* prefix = nullptr;
    ESPALIER_CALL(PCGetOptionsPrefix(pc_, &prefix));
    side.pcs.clear();
    side.pcs.resize(matrices_->count());
    for (std::size_t k = 0; k < side.pcs.size(); ++k) {
      PcHandle& pc = side.pcs[k];
      ESPALIER_CALL(PCCreate(PetscObjectComm(reinterpret_cast<PetscObject>(pc_)), pc.out()));
      ESPALIER_CALL(PCSetOptionsPrefix(pc.get(), prefix));
      ESPALIER_CALL(PCAppendOptionsPrefix(pc.get(), "samples_"));
      ESPALIER_CALL(PCSetOperators(pc.get(), matrix_of(side, k), matrix_of(side, k)));
      ESPALIER_CALL(PCSetFromOptions(pc.get()));
      // Does nothing for other types.
      for (const MatrixField& field : fields_of(matrices_->matrix(k)))
        ESPALIER_CALL(PCFieldSplitSetIS(pc.get(), field.name.c_str(), field.rows.get()));
    }
  }

  Mat matrix_of(const Side& side, std::size_t k) const {
    return side.transposes.empty() ? matrices_->matrix(k) : side.transposes[k].get();
  }

  void create(Side& side, bool transpose) {
    side.transposes.clear();
    create_pcs(side);
    if (!transpose || own_transpose_ == PETSC_TRUE || transposes_itself(side.pcs.front().get())) return;
    std::vector<MatHandle> transposes(matrices_->count());
    for (std::size_t k = 0; k < transposes.size(); ++k)
      ESPALIER_CALL(MatTranspose(matrices_->matrix(k), MAT_INITIAL_MATRIX, transposes[k].out()));
    side.transposes = std::move(transposes);
    create_pcs(side);
  }

  // Setting the same matrix again keeps what a PC may keep, such as the pattern of its factors.
  void update(Side& side, bool transpose) {
    const bool first = side.pcs.size() != matrices_->count();
    if (first) create(side, transpose);
    for (std::size_t k = 0; k < side.pcs.size(); ++k) {
      Mat matrix = matrix_of(side, k);
      if (!first && !side.transposes.empty())
        ESPALIER_CALL(MatTranspose(matrices_->matrix(k), MAT_REUSE_MATRIX, &matrix));
      freeze(side.pcs[k].get(), PETSC_FALSE);
      ESPALIER_CALL(PCSetOperators(side.pcs[k].get(), matrix, matrix));
      ESPALIER_CALL(PCSetUp(side.pcs[k].get()));
    }
    matrices_->note_set_up();
    side.current = true;
  }

  // X = P^-1 B for the batch as a dense matrix with one column for each sample.
  void apply_to_all(PC pc, const PetscScalar* in, PetscScalar* out) {
    if (input_.empty()) {
      create_dense(input_);
      create_dense(output_);
    }
    ESPALIER_CALL(MatDensePlaceArray(input_.get(), in));
    ESPALIER_CALL(MatDensePlaceArray(output_.get(), out));
    ESPALIER_CALL(PCMatApply(pc, input_.get(), output_.get()));
    ESPALIER_CALL(MatDenseResetArray(input_.get()));
    ESPALIER_CALL(MatDenseResetArray(output_.get()));
  }

  void create_dense(MatHandle& dense) {
    PetscInt rows = 0;
    ESPALIER_CALL(MatGetLocalSize(matrices_->matrix(0), &rows, nullptr));
    ESPALIER_CALL(MatCreateDense(PetscObjectComm(reinterpret_cast<PetscObject>(pc_)), rows, PETSC_DECIDE,
                                 PETSC_DETERMINE, matrices_->samples(), nullptr, dense.out()));
  }

  void apply_to_each(Side& side, bool by_its_transpose, const PetscScalar* in, PetscScalar* out) {
    if (column_in_.empty()) {
      ESPALIER_CALL(MatCreateVecs(matrices_->matrix(0), column_in_.out(), column_out_.out()));
    }
    PetscInt rows = 0;
    ESPALIER_CALL(VecGetLocalSize(column_in_.get(), &rows));
    for (PetscInt k = 0; k < matrices_->samples(); ++k) {
      PC pc = side.pcs[matrices_->shared() ? 0 : static_cast<std::size_t>(k)].get();
      ESPALIER_CALL(VecPlaceArray(column_in_.get(), in + k * rows));
      ESPALIER_CALL(VecPlaceArray(column_out_.get(), out + k * rows));
      ESPALIER_CALL(by_its_transpose ? PCApplyTranspose(pc, column_in_.get(), column_out_.get())
                                     : PCApply(pc, column_in_.get(), column_out_.get()));
      ESPALIER_CALL(VecResetArray(column_in_.get()));
      ESPALIER_CALL(VecResetArray(column_out_.get()));
    }
  }

  PC pc_;
  SampleMatrices* matrices_ = nullptr;
  std::array<Side, 2> sides_;
  PetscInt lag_ = 1;
  PetscBool own_transpose_ = PETSC_FALSE;
  long changes_ = 0;
  MatHandle input_;
  MatHandle output_;
  VecHandle column_in_;
  VecHandle column_out_;
};

SamplesPc& of(PC pc) { return *static_cast<SamplesPc*>(pc->data); }

PetscErrorCode set_up(PC pc) noexcept {
  return guard([&] { of(pc).set_up(); });
}

PetscErrorCode apply(PC pc, Vec b, Vec x) noexcept {
  return guard([&] { of(pc).apply(b, x, false); });
}

PetscErrorCode apply_transpose(PC pc, Vec b, Vec x) noexcept {
  return guard([&] { of(pc).apply(b, x, true); });
}

PetscErrorCode set_from_options(PC pc, OptionItems items) noexcept { return of(pc).read_options(items); }

PetscErrorCode view(PC pc, PetscViewer viewer) noexcept {
  return guard([&] { of(pc).view(viewer); });
}

PetscErrorCode destroy(PC pc) noexcept {
  delete static_cast<SamplesPc*>(pc->data);
  pc->data = nullptr;
  return PETSC_SUCCESS;
}

PetscErrorCode create(PC pc) noexcept {
  return guard([&] {
    pc->data = new SamplesPc(pc);
    pc->ops->setup = set_up;
    pc->ops->apply = apply;
    pc->ops->applytranspose = apply_transpose;
    pc->ops->setfromoptions = set_from_options;
    pc->ops->view = view;
    pc->ops->destroy = destroy;
  });
}

}  // namespace

void register_samples_pc() { ESPALIER_CALL(PCRegister(samples_pc_type, create)); }

}  // namespace espalier::petsc
