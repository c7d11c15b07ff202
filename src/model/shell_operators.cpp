#include "espalier/model/shell_operators.hpp"

#include <ATen/ATen.h>

#include "espalier/core/error.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

template <class Operator>
Operator& context(Mat mat) {
  void* pointer = nullptr;
  ESPALIER_CALL(MatShellGetContext(mat, &pointer));
  return *static_cast<Operator*>(pointer);
}

petsc::MatHandle create_shell(Vec state, PetscInt local_columns, void* context) {
  PetscInt rows = 0;
  ESPALIER_CALL(VecGetLocalSize(state, &rows));
  petsc::MatHandle mat;
  ESPALIER_CALL(MatCreateShell(PetscObjectComm(reinterpret_cast<PetscObject>(state)), rows, local_columns,
                               PETSC_DETERMINE, PETSC_DETERMINE, context, mat.out()));
  VecType type = nullptr;
  ESPALIER_CALL(VecGetType(state, &type));
  ESPALIER_CALL(MatShellSetVecType(mat.get(), type));
  return mat;
}

PetscInt local_size(Vec vec) {
  PetscInt size = 0;
  ESPALIER_CALL(VecGetLocalSize(vec, &size));
  return size;
}

// Takes back what PETSc scaled and shifted since, as TS does for implicit methods, and increases the state.
void restore_shell(Mat mat) {
  ESPALIER_CALL(MatAssemblyBegin(mat, MAT_FINAL_ASSEMBLY));
  ESPALIER_CALL(MatAssemblyEnd(mat, MAT_FINAL_ASSEMBLY));
}

using VoidFunction = void (*)();

}  // namespace

std::shared_ptr<Linearization> LinearizationMemo::at(Term& term, double t, Vec u) {
  const petsc::ObjectState state = petsc::state_of(reinterpret_cast<PetscObject>(u));
  long version = 0;
  for (const auto* parameters : term.parameters()) version += parameters->version();
  if (!last_ || t != t_ || !(state == state_) || version != version_) {
    last_ = term.linearize(t, u);
    version_ = version;
    t_ = t;
    state_ = state;
  }
  return last_;
}

JacobianOperator::JacobianOperator(Vec state) : mat_(create_shell(state, local_size(state), this)) {
  using Product = PetscErrorCode (*)(Mat, Vec, Vec);
  const Product product = [](Mat mat, Vec v, Vec y) noexcept {
    return guard([&] { context<JacobianOperator>(mat).multiply(v, y); });
  };
  const Product transposed = [](Mat mat, Vec w, Vec u_bar) noexcept {
    return guard([&] { context<JacobianOperator>(mat).multiply_transpose(w, u_bar); });
  };
  ESPALIER_CALL(MatShellSetOperation(mat(), MATOP_MULT, reinterpret_cast<VoidFunction>(product)));
  ESPALIER_CALL(MatShellSetOperation(mat(), MATOP_MULT_TRANSPOSE, reinterpret_cast<VoidFunction>(transposed)));
}

void JacobianOperator::set(std::shared_ptr<Linearization> linearization, double shift, double scale) {
  linearization_ = std::move(linearization);
  shift_ = shift;
  scale_ = scale;
  last_linearization_ = nullptr;
  restore_shell(mat());
}

// y = shift v + scale J v.
void JacobianOperator::multiply(Vec v, Vec y) {
  linearization_->jvp(v, y);
  if (shift_ != 0 || scale_ != 1) ESPALIER_CALL(VecAXPBY(y, shift_, scale_, v));
}

// u_bar = shift w + scale J^T w.
void JacobianOperator::multiply_transpose(Vec w, Vec u_bar) {
  linearization_->vjp(w, u_bar);
  if (shift_ != 0 || scale_ != 1) ESPALIER_CALL(VecAXPBY(u_bar, shift_, scale_, w));
  note_product(*linearization_, w);
}

void JacobianOperator::note_product(const Linearization& linearization, Vec w) {
  last_linearization_ = &linearization;
  last_cotangent_ = petsc::state_of(reinterpret_cast<PetscObject>(w));
}

bool JacobianOperator::last_product_was(const Linearization& linearization, Vec w) const {
  return last_linearization_ == &linearization && petsc::state_of(reinterpret_cast<PetscObject>(w)) == last_cotangent_;
}

ParameterOperator::ParameterOperator(Vec state, PetscInt local_parameters, JacobianOperator* jacobian,
                                     std::vector<nn::FlatParameters*> parameters)
    : mat_(create_shell(state, local_parameters, this)), jacobian_(jacobian), parameters_(std::move(parameters)) {
  ESPALIER_CALL(VecDuplicate(state, scratch_.out()));
  using Product = PetscErrorCode (*)(Mat, Vec, Vec);
  const Product transposed = [](Mat mat, Vec w, Vec theta_bar) noexcept {
    return guard([&] { context<ParameterOperator>(mat).multiply_transpose(w, theta_bar); });
  };
  ESPALIER_CALL(MatShellSetOperation(mat(), MATOP_MULT_TRANSPOSE, reinterpret_cast<VoidFunction>(transposed)));
}

void ParameterOperator::set(std::shared_ptr<Linearization> linearization, double sign) {
  linearization_ = std::move(linearization);
  sign_ = sign;
  restore_shell(mat());
}

void ParameterOperator::multiply_transpose(Vec w, Vec theta_bar) {
  const bool lazy = petsc::is_gradient_vec(theta_bar);
  if (!linearization_) {
    if (lazy) {
      petsc::set_pending(theta_bar, nullptr);
    } else {
      ESPALIER_CALL(VecZeroEntries(theta_bar));
    }
    return;
  }
  const bool taken = jacobian_ != nullptr && jacobian_->last_product_was(*linearization_, w);
  if (!taken) {
    linearization_->vjp(w, scratch_.get());
    if (jacobian_ != nullptr) jacobian_->note_product(*linearization_, w);
  }
  if (lazy) {
    petsc::set_pending(theta_bar, this);
  } else {
    write_product(theta_bar);
  }
}

void ParameterOperator::accumulate(double alpha) { linearization_->accumulate(alpha * sign_); }

// theta_bar = sign (df/dtheta)^T w, by way of the flat gradients, which get back what they held.
void ParameterOperator::write_product(Vec theta_bar) {
  std::vector<at::Tensor> held;
  for (auto* parameters : parameters_) {
    held.push_back(parameters->gradient().clone());
    parameters->zero_gradient();
  }
  linearization_->accumulate(sign_);
  const petsc::TensorView view(theta_bar, {local_size(theta_bar)}, petsc::Access::write);
  std::int64_t offset = 0;
  for (std::size_t k = 0; k < parameters_.size(); ++k) {
    at::Tensor& gradient = parameters_[k]->gradient();
    view.tensor().narrow(0, offset, gradient.numel()).copy_(gradient);
    offset += gradient.numel();
    gradient.copy_(held[k]);
  }
}

}  // namespace espalier::model
