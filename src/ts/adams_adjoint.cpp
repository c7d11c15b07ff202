// The discrete adjoint of the Adams methods. lambda is the cotangent of u_{n+1} when a step is entered from its end and
// that of u_n when it is left. The cotangent of f_n gathers in a ring what the steps from n on have to say about it;
// observations may be added to lambda between two steps.
#include "adams_implementation.hpp"
#include "espalier/core/error.hpp"

namespace espalier::ts {

void Adams::set_up_adjoint() {
  ESPALIER_REQUIRE(ts_->numcost == 1 && ts_->quadraturets == nullptr && ts_->vecs_sensi2 == nullptr,
                   "the adjoint of an Adams method takes one cost function, without integral and second order");
  f_bar_ = duplicates(lambda(), method_->depth());
  z_bar_ = duplicates(lambda(), method_->start.stages());
  ESPALIER_CALL(VecDuplicate(lambda(), stage_bar_.out()));
  ESPALIER_CALL(VecDuplicate(lambda(), solved_.out()));
  ESPALIER_CALL(VecDuplicate(lambda(), right_side_.out()));
  if (ts_->vecs_sensip != nullptr) ESPALIER_CALL(VecDuplicate(ts_->vecs_sensip[0], parameter_product_.out()));
}

void Adams::reset_adjoint() {
  f_bar_.clear();
  z_bar_.clear();
  for (auto* vector : {&stage_bar_, &solved_, &right_side_, &parameter_product_}) vector->reset();
}

void Adams::adjoint_step() {
  const auto n = static_cast<std::size_t>(ts_->steps);
  ESPALIER_REQUIRE(n < steps_.size(), "the adjoint of an Adams method follows a forward run with a trajectory");
  if (n + 1 == steps_.size())
    for (const auto& vector : f_bar_) ESPALIER_CALL(VecZeroEntries(vector.get()));
  if (method_->implicit()) {
    adjoint_implicit(steps_[n]);
  } else {
    adjoint_explicit(steps_[n]);
  }
}

// f_bar_{n-j} += h b_j lambda.
void Adams::adjoint_explicit(const Step& step) {
  if (starts(step)) {
    adjoint_start_explicit(step);
  } else {
    for (std::size_t j = 0; j < method_->depth(); ++j)
      ESPALIER_CALL(VecAXPY(f_bar(static_cast<int>(j)), step.h * method_->weights[j], lambda()));
  }
  pull_f_n_back(step.t, stored_);
}

// k_bar_i = h b_i lambda + h sum_{j>i} a_ji z_bar_j, z_bar_i = J_i^T k_bar_i, lambda += sum_{i>0} z_bar_i. Stage 0 is
// f_n, which later steps have used as well.
void Adams::adjoint_start_explicit(const Step& step) {
  const OneStepMethod& start = method_->start;
  Mat jacobian = nullptr;
  Mat preconditioner = nullptr;
  ESPALIER_CALL(TSGetRHSJacobian(ts_, &jacobian, &preconditioner, nullptr, nullptr));
  for (std::size_t i = start.stages(); i-- > 0;) {
    Vec k_bar = i > 0 ? stage_bar_.get() : f_bar(0);
    if (i > 0) ESPALIER_CALL(VecZeroEntries(k_bar));
    ESPALIER_CALL(VecAXPY(k_bar, step.h * start.b[i], lambda()));
    for (std::size_t j = i + 1; j < start.stages(); ++j)
      ESPALIER_CALL(VecAXPY(k_bar, step.h * start.a[j][i], z_bar_[j].get()));
    if (i == 0) break;
    const double t = step.t + start.c[i] * step.h;
    Vec u = kept(step, i - 1);
    ESPALIER_CALL(TSComputeRHSJacobian(ts_, t, u, jacobian, preconditioner));
    ESPALIER_CALL(MatMultTranspose(jacobian, k_bar, z_bar_[i].get()));
    accumulate_parameters(t, u, k_bar);
  }
  for (std::size_t i = 1; i < start.stages(); ++i) ESPALIER_CALL(VecAXPY(lambda(), 1.0, z_bar_[i].get()));
}

// lambda = z_bar, f_bar_{n-j} += h b_j z_bar.
void Adams::adjoint_implicit(const Step& step) {
  if (starts(step)) {
    adjoint_start_implicit(step);
  } else {
    solve_transposed(step.t + step.h, stored_, step.h * method_->next, lambda(), f_bar(-1), lambda());
    ESPALIER_CALL(VecZeroEntries(f_bar(-1)));
    for (std::size_t j = 0; j < method_->depth(); ++j)
      ESPALIER_CALL(VecAXPY(f_bar(static_cast<int>(j)), step.h * method_->weights[j], lambda()));
  }
  if (step.evaluates_f_n) pull_f_n_back(step.t, kept(step, 0));
}

// k_bar_i = h sum_{j>i} a_ji z_bar_j, with lambda and what later steps say about f_{n+1} for the last stage;
// lambda = sum_i z_bar_i.
void Adams::adjoint_start_implicit(const Step& step) {
  const OneStepMethod& start = method_->start;
  const std::size_t last = start.stages() - 1;
  const std::size_t first_kept = step.evaluates_f_n ? 1 : 0;
  solve_transposed(step.t + step.h, stored_, step.h * start.a[last][last], lambda(), f_bar(-1), lambda());
  ESPALIER_CALL(VecZeroEntries(f_bar(-1)));
  ESPALIER_CALL(VecCopy(lambda(), z_bar_[last].get()));
  for (std::size_t i = last; i-- > 0;) {
    ESPALIER_CALL(VecZeroEntries(stage_bar_.get()));
    for (std::size_t j = i + 1; j <= last; ++j)
      ESPALIER_CALL(VecAXPY(stage_bar_.get(), step.h * start.a[j][i], z_bar_[j].get()));
    solve_transposed(step.t + start.c[i] * step.h, kept(step, first_kept + i), step.h * start.a[i][i], nullptr,
                     stage_bar_.get(), z_bar_[i].get());
    ESPALIER_CALL(VecAXPY(lambda(), 1.0, z_bar_[i].get()));
  }
}

// Y = z + scale k, k = f(Y), given the cotangents u_bar of Y (nullptr: zero) and f_bar of k. With J at Y and
// shift = 1 / scale, the whole cotangent y of f(Y) is f_bar + scale z_bar, and z_bar = u_bar + J^T y, so
//   (shift I - J)^T y = u_bar + shift f_bar,  z_bar = shift (y - f_bar),  theta_bar += (df/dtheta)^T y.
void Adams::solve_transposed(double t, Vec u, double scale, Vec u_bar, Vec f_bar, Vec z_bar) {
  const double shift = 1 / scale;
  KSP ksp = nullptr;
  Mat jacobian = nullptr;
  Mat preconditioner = nullptr;
  KSPConvergedReason reason = KSP_CONVERGED_ITERATING;
  ESPALIER_CALL(SNESGetKSP(ts_->snes, &ksp));
  ESPALIER_CALL(TSGetIJacobian(ts_, &jacobian, &preconditioner, nullptr, nullptr));
  ESPALIER_CALL(TSComputeIJacobian(ts_, t, u, u_t_.get(), shift, jacobian, preconditioner, PETSC_FALSE));
  ESPALIER_CALL(KSPSetOperators(ksp, jacobian, preconditioner));
  ESPALIER_CALL(VecAXPBY(right_side_.get(), shift, 0.0, f_bar));
  if (u_bar != nullptr) ESPALIER_CALL(VecAXPY(right_side_.get(), 1.0, u_bar));
  ESPALIER_CALL(KSPSolveTranspose(ksp, right_side_.get(), solved_.get()));
  ESPALIER_CALL(KSPGetConvergedReason(ksp, &reason));
  if (reason < 0)
    throw NumericalError(std::string("a transposed solve of the adjoint failed (") + KSPConvergedReasons[reason] +
                             "): tighten or change the adjoint's KSP",
                         __FILE__, __LINE__);
  accumulate_parameters(t, u, solved_.get());
  ESPALIER_CALL(VecAXPBYPCZ(z_bar, shift, -shift, 0, solved_.get(), f_bar));
}

// f_n was evaluated at u_n: lambda += J_n^T f_bar_n, and nothing is left to say about f_n.
void Adams::pull_f_n_back(double t, Vec u) {
  Mat jacobian = nullptr;
  Mat preconditioner = nullptr;
  if (method_->implicit()) {
    ESPALIER_CALL(TSGetIJacobian(ts_, &jacobian, &preconditioner, nullptr, nullptr));
    ESPALIER_CALL(TSComputeIJacobian(ts_, t, u, u_t_.get(), 0.0, jacobian, preconditioner, PETSC_FALSE));
  } else {
    ESPALIER_CALL(TSGetRHSJacobian(ts_, &jacobian, &preconditioner, nullptr, nullptr));
    ESPALIER_CALL(TSComputeRHSJacobian(ts_, t, u, jacobian, preconditioner));
  }
  ESPALIER_CALL(MatMultTranspose(jacobian, f_bar(0), solved_.get()));
  accumulate_parameters(t, u, f_bar(0));
  ESPALIER_CALL(VecAXPY(lambda(), method_->implicit() ? -1.0 : 1.0, solved_.get()));
  ESPALIER_CALL(VecZeroEntries(f_bar(0)));
}

// mu += (df/dtheta)^T f_bar; dF/dtheta = -df/dtheta.
void Adams::accumulate_parameters(double t, Vec u, Vec f_bar) {
  if (ts_->vecs_sensip == nullptr) return;
  Mat product = method_->implicit() ? ts_->Jacp : ts_->Jacprhs;
  if (method_->implicit()) {
    ESPALIER_CALL(TSComputeIJacobianP(ts_, t, u, u_t_.get(), 0.0, product, PETSC_FALSE));
  } else {
    ESPALIER_CALL(TSComputeRHSJacobianP(ts_, t, u, product));
  }
  ESPALIER_CALL(MatMultTranspose(product, f_bar, parameter_product_.get()));
  ESPALIER_CALL(VecAXPY(ts_->vecs_sensip[0], method_->implicit() ? -1.0 : 1.0, parameter_product_.get()));
}

}  // namespace espalier::ts
