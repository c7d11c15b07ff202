// A plain PETSc program with a TS of its own, the van der Pol oscillator
//
//   du_1/dt = u_2,   du_2/dt = mu (1 - u_1^2) u_2 - u_1,   u(0) = (2, 0),   0 <= t <= 1,
//
// that grafts a network onto its right-hand side. Its own TSSolve and TSAdjointSolve then give the gradient of
// |u(1)|^2 / 2 with respect to the network's parameters and to u(0); central differences confirm both.
#include <petscts.h>

#include <cmath>
#include <espalier/core/error.hpp>
#include <espalier/model/neural_term.hpp>
#include <espalier/nn/mlp.hpp>
#include <memory>
#include <vector>

namespace {

constexpr PetscReal mu = 1.5;
constexpr PetscInt steps = 40;

PetscErrorCode oscillator(TS /*ts*/, PetscReal /*t*/, Vec u, Vec f, void* /*context*/) {
  const PetscScalar* x;
  PetscScalar* y;
  PetscFunctionBeginUser;
  PetscCall(VecGetArrayRead(u, &x));
  PetscCall(VecGetArrayWrite(f, &y));
  y[0] = x[1];
  y[1] = mu * (1 - x[0] * x[0]) * x[1] - x[0];
  PetscCall(VecRestoreArrayRead(u, &x));
  PetscCall(VecRestoreArrayWrite(f, &y));
  PetscFunctionReturn(PETSC_SUCCESS);
}

PetscErrorCode oscillator_jacobian(TS /*ts*/, PetscReal /*t*/, Vec u, Mat jacobian, Mat /*p*/, void* /*context*/) {
  const PetscInt rows[] = {0, 1};
  const PetscScalar* x;
  PetscFunctionBeginUser;
  PetscCall(VecGetArrayRead(u, &x));
  const PetscScalar entries[] = {0, 1, -2 * mu * x[0] * x[1] - 1, mu * (1 - x[0] * x[0])};
  PetscCall(VecRestoreArrayRead(u, &x));
  PetscCall(MatSetValues(jacobian, 2, rows, 2, rows, entries, INSERT_VALUES));
  PetscCall(MatAssemblyBegin(jacobian, MAT_FINAL_ASSEMBLY));
  PetscCall(MatAssemblyEnd(jacobian, MAT_FINAL_ASSEMBLY));
  PetscFunctionReturn(PETSC_SUCCESS);
}

struct Gradient {
  std::vector<double> initial_state;
  std::vector<double> parameters;
};

std::vector<double> entries_of(Vec v) {
  PetscInt size = 0;
  const PetscScalar* x = nullptr;
  PetscCallAbort(PETSC_COMM_SELF, VecGetLocalSize(v, &size));
  PetscCallAbort(PETSC_COMM_SELF, VecGetArrayRead(v, &x));
  std::vector<double> entries(x, x + size);
  PetscCallAbort(PETSC_COMM_SELF, VecRestoreArrayRead(v, &x));
  return entries;
}

/// |u(1)|^2 / 2, and its gradient if asked for.
PetscErrorCode solve(espalier::model::NeuralTerm& term, const std::vector<double>& start, double* loss,
                     Gradient* gradient) {
  TS ts;
  Vec u;
  Mat jacobian;
  PetscFunctionBeginUser;
  PetscCall(VecCreateSeq(PETSC_COMM_SELF, 2, &u));
  PetscCall(VecSetValue(u, 0, start[0], INSERT_VALUES));
  PetscCall(VecSetValue(u, 1, start[1], INSERT_VALUES));
  PetscCall(VecAssemblyBegin(u));
  PetscCall(VecAssemblyEnd(u));
  PetscCall(MatCreateSeqDense(PETSC_COMM_SELF, 2, 2, nullptr, &jacobian));

  PetscCall(TSCreate(PETSC_COMM_SELF, &ts));
  PetscCall(TSSetProblemType(ts, TS_NONLINEAR));
  PetscCall(TSSetType(ts, TSRK));
  PetscCall(TSRKSetType(ts, TSRK4));
  PetscCall(TSSetRHSFunction(ts, nullptr, oscillator, nullptr));
  PetscCall(TSSetRHSJacobian(ts, jacobian, jacobian, oscillator_jacobian, nullptr));
  term.attach_explicit(ts, u);

  PetscCall(TSSetMaxTime(ts, 1.0));
  PetscCall(TSSetTimeStep(ts, 1.0 / steps));
  PetscCall(TSSetExactFinalTime(ts, TS_EXACTFINALTIME_MATCHSTEP));
  if (gradient != nullptr) PetscCall(TSSetSaveTrajectory(ts));
  PetscCall(TSSetFromOptions(ts));
  PetscCall(TSSolve(ts, u));
  PetscCall(VecDot(u, u, loss));
  *loss /= 2;

  if (gradient != nullptr) {
    Vec lambda;
    PetscCall(VecDuplicate(u, &lambda));
    PetscCall(VecCopy(u, lambda));
    const auto mu_vector = term.create_mu(PETSC_COMM_SELF);
    Vec mu_of_loss = mu_vector.get();
    PetscCall(VecZeroEntries(mu_of_loss));
    PetscCall(TSSetCostGradients(ts, 1, &lambda, &mu_of_loss));
    PetscCall(TSAdjointSolve(ts));
    gradient->initial_state = entries_of(lambda);
    gradient->parameters = entries_of(mu_of_loss);
    PetscCall(VecDestroy(&lambda));
  }
  PetscCall(TSDestroy(&ts));
  PetscCall(MatDestroy(&jacobian));
  PetscCall(VecDestroy(&u));
  PetscFunctionReturn(PETSC_SUCCESS);
}

/// Largest difference between `gradient` and central differences of the loss in the entries of `x`.
PetscErrorCode compare(espalier::model::NeuralTerm& term, const std::vector<double>& start, double* x,
                       const std::vector<double>& gradient, double* worst) {
  constexpr double h = 1e-5;
  PetscFunctionBeginUser;
  *worst = 0;
  for (const double exact : gradient) {
    const double kept = *x;
    double plus = 0;
    double minus = 0;
    *x = kept + h;
    term.network().parameters().mark_changed();
    PetscCall(solve(term, start, &plus, nullptr));
    *x = kept - h;
    term.network().parameters().mark_changed();
    PetscCall(solve(term, start, &minus, nullptr));
    *x++ = kept;
    *worst = std::fmax(*worst, std::fabs((plus - minus) / (2 * h) - exact));
  }
  term.network().parameters().mark_changed();
  PetscFunctionReturn(PETSC_SUCCESS);
}

PetscErrorCode check_gradient(bool* right) {
  espalier::nn::MlpSettings settings;
  settings.widths = {2, 8, 2};
  settings.activation = espalier::nn::Activation::tanh;
  settings.seed = 1;
  espalier::model::NeuralTerm term(std::make_shared<espalier::nn::Mlp>(settings));
  std::vector<double> start{2, 0};
  double loss = 0;
  double state_error = 0;
  double parameter_error = 0;
  Gradient gradient;
  PetscFunctionBeginUser;
  PetscCall(solve(term, start, &loss, &gradient));
  PetscCall(compare(term, start, start.data(), gradient.initial_state, &state_error));
  PetscCall(compare(term, start, term.network().parameters().values().data_ptr<double>(), gradient.parameters,
                    &parameter_error));
  double largest = 0;
  for (const double entry : gradient.parameters) largest = std::fmax(largest, std::fabs(entry));
  PetscCall(PetscPrintf(PETSC_COMM_SELF,
                        "loss %g, %zu parameters, largest gradient entry %g\n"
                        "gradient against central differences: u(0) %.1e, parameters %.1e\n",
                        loss, gradient.parameters.size(), largest, state_error, parameter_error));
  *right = largest > 1e-3 && state_error < 1e-8 && parameter_error < 1e-8;
  PetscFunctionReturn(PETSC_SUCCESS);
}

}  // namespace

int main(int argc, char** argv) {
  PetscFunctionBeginUser;
  PetscCall(PetscInitialize(&argc, &argv, nullptr, "A network grafted onto a van der Pol oscillator.\n"));
  bool right = false;
  try {
    PetscCall(check_gradient(&right));
  } catch (const espalier::Error& error) {
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s\n", error.what()));
  }
  PetscCall(PetscPrintf(PETSC_COMM_SELF, right ? "The gradient is right.\n" : "The gradient is WRONG.\n"));
  PetscCall(PetscFinalize());
  return right ? 0 : 1;
}
