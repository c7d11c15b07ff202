// NeuralTerm::attach_explicit: a network added to the right-hand side of the caller's own TS.
#include <petscts.h>

#include "espalier/core/error.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/model/shell_operators.hpp"
#include "espalier/model/sum_term.hpp"
#include "espalier/petsc/compat.hpp"

namespace espalier::model {

namespace {

/// The right-hand side that the TS had before, seen as a term.
class CallerTerm : public Term {
 public:
  static std::shared_ptr<CallerTerm> of(TS ts) {
    auto term = std::make_shared<CallerTerm>();
    term->ts_ = ts;
    ESPALIER_CALL(TSGetRHSFunction(ts, nullptr, &term->function_, &term->function_context_));
    if (term->function_ == nullptr) return nullptr;
    // Asked of the DM first: the TS would want to create the matrix.
    DM dm = nullptr;
    ESPALIER_CALL(TSGetDM(ts, &dm));
    ESPALIER_CALL(DMTSGetRHSJacobian(dm, &term->jacobian_, &term->jacobian_context_));
    ESPALIER_REQUIRE(term->jacobian_ != nullptr,
                     "the TS has a right-hand side function but no Jacobian: call TSSetRHSJacobian() before grafting a "
                     "network, the adjoint needs it");
    Mat jacobian = nullptr;
    Mat preconditioner = nullptr;
    ESPALIER_CALL(TSGetRHSJacobian(ts, &jacobian, &preconditioner, nullptr, nullptr));
    term->matrix_ = petsc::MatHandle::share(jacobian);
    term->preconditioner_ = petsc::MatHandle::share(preconditioner);
    return term;
  }

  void apply(double t, Vec u, Vec y) override {
    if (function_ != TSComputeRHSFunctionLinear) {
      ESPALIER_CALL(function_(ts_, t, u, y, function_context_));
      return;
    }
    // f = A u: PETSc's function would multiply with what is the TS's Jacobian by now, the graft's.
    assemble(t, u);
    ESPALIER_CALL(MatMult(matrix_.get(), u, y));
  }

  std::shared_ptr<Linearization> linearize(double t, Vec u) override {
    assemble(t, u);
    return std::make_shared<MatrixLinearization>(matrix_.get());
  }

 private:
  void assemble(double t, Vec u) {
    ESPALIER_CALL(jacobian_(ts_, t, u, matrix_.get(), preconditioner_.get(), jacobian_context_));
  }

  class MatrixLinearization : public Linearization {
   public:
    explicit MatrixLinearization(Mat matrix) : matrix_(matrix) {}
    void jvp(Vec v, Vec y) override { ESPALIER_CALL(MatMult(matrix_, v, y)); }
    void vjp(Vec w, Vec u_bar) override { ESPALIER_CALL(MatMultTranspose(matrix_, w, u_bar)); }

   private:
    Mat matrix_;
  };

  TS ts_ = nullptr;
  TSRHSFunctionFn* function_ = nullptr;
  void* function_context_ = nullptr;
  TSRHSJacobianFn* jacobian_ = nullptr;
  void* jacobian_context_ = nullptr;
  petsc::MatHandle matrix_;
  petsc::MatHandle preconditioner_;  // perhaps the same one
};

/// Everything the TS's callbacks need; lives as long as the TS, composed with it.
struct Graft {
  std::shared_ptr<Term> right_hand_side;
  LinearizationMemo memo;
  std::unique_ptr<JacobianOperator> jacobian;
  std::unique_ptr<ParameterOperator> parameters;
};

PetscErrorCode graft_function(TS /*ts*/, PetscReal t, Vec u, Vec f, void* context) noexcept {
  return guard([&] { static_cast<Graft*>(context)->right_hand_side->apply(t, u, f); });
}

PetscErrorCode graft_jacobian(TS /*ts*/, PetscReal t, Vec u, Mat /*a*/, Mat /*p*/, void* context) noexcept {
  return guard([&] {
    auto& graft = *static_cast<Graft*>(context);
    graft.jacobian->set(graft.memo.at(*graft.right_hand_side, t, u), 0, 1);
  });
}

PetscErrorCode graft_jacobian_p(TS /*ts*/, PetscReal t, Vec u, Mat /*a*/, void* context) noexcept {
  return guard([&] {
    auto& graft = *static_cast<Graft*>(context);
    graft.parameters->set(graft.memo.at(*graft.right_hand_side, t, u), 1);
  });
}

PetscErrorCode graft_destroy(petsc::ContextArgument argument) noexcept {
  delete static_cast<Graft*>(petsc::context_of(argument));
  return PETSC_SUCCESS;
}

}  // namespace

void NeuralTerm::attach_explicit(TS ts, Vec state) {
  auto graft = std::make_unique<Graft>();
  // The TS does not own the network: the term does, and outlives the TS.
  const std::shared_ptr<Term> network(std::shared_ptr<Term>(), this);
  if (auto caller = CallerTerm::of(ts)) {
    graft->right_hand_side = std::make_shared<SumTerm>(std::vector<std::shared_ptr<Term>>{caller, network});
  } else {
    graft->right_hand_side = network;
  }
  graft->jacobian = std::make_unique<JacobianOperator>(state);
  const auto count = static_cast<PetscInt>(network_->parameters().count());
  graft->parameters = std::make_unique<ParameterOperator>(state, count, graft->jacobian.get(),
                                                          std::vector<nn::FlatParameters*>{&network_->parameters()});
  Graft* raw = graft.get();
  PetscContainer container = nullptr;
  ESPALIER_CALL(PetscContainerCreate(PetscObjectComm(reinterpret_cast<PetscObject>(ts)), &container));
  ESPALIER_CALL(PetscContainerSetPointer(container, graft.release()));
  ESPALIER_CALL(petsc::set_container_destroy(container, graft_destroy));
  ESPALIER_CALL(PetscObjectCompose(reinterpret_cast<PetscObject>(ts), "espalier_graft",
                                   reinterpret_cast<PetscObject>(container)));
  ESPALIER_CALL(PetscContainerDestroy(&container));
  ESPALIER_CALL(TSSetRHSFunction(ts, nullptr, graft_function, raw));
  ESPALIER_CALL(TSSetRHSJacobian(ts, raw->jacobian->mat(), raw->jacobian->mat(), graft_jacobian, raw));
  ESPALIER_CALL(TSSetRHSJacobianP(ts, raw->parameters->mat(), graft_jacobian_p, raw));
}

}  // namespace espalier::model
