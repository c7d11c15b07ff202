// How an Integrator's TS is made: parts, shells, solvers and steps.
#include "espalier/core/options.hpp"
#include "espalier/model/sum_term.hpp"
#include "espalier/petsc/ts_private.hpp"
#include "espalier/ts/adams.hpp"
#include "integrator_implementation.hpp"

namespace espalier::ts {

namespace {

using model::AssembledJacobian;
using model::JacobianOperator;
using model::LinearOperator;
using model::ParameterOperator;
using model::SparseJacobian;

// Newton's and the Krylov solves' tolerances: a gradient is only as exact as the equations that it differentiates.
constexpr double newton_tolerance = 1e-12;
constexpr double newton_tolerance_float = 1e-6;  // below it lies the rounding of a float network
constexpr double newton_krylov_tolerance = 1e-8;
constexpr double krylov_tolerance = 1e-13;
constexpr PetscInt krylov_iterations = 2000;
// By how much two ways to the same product may differ.
constexpr double product_tolerance = 1e-8;
constexpr double product_tolerance_float = 1e-4;

PetscInt parameter_count(const std::shared_ptr<model::Term>& term) {
  PetscInt count = 0;
  if (term)
    for (auto* parameters : term->parameters()) count += static_cast<PetscInt>(parameters->count());
  return count;
}

bool has_float_parameters(const std::shared_ptr<model::Term>& term) {
  for (auto* parameters : term->parameters())
    if (parameters->values().scalar_type() == at::kFloat) return true;
  return false;
}

// What stands in the vectors of parameter length is never stored: one entry each is enough for PETSc.
PetscInt gradient_size(PetscInt parameters) { return parameters > 0 ? 1 : 0; }

}  // namespace

void IntegratorSettings::read(MPI_Comm comm) {
  std::vector<std::string> names;
  for (const auto& known : methods()) names.push_back(known.name);
  const auto index = [&](const std::string& name) {
    return static_cast<std::size_t>(&find_method(name) - methods().data());
  };
  core::read_options(
      comm, "Time integration",
      [&](core::OptionReader& o) {
        method = names[o.choice("-method", "integration method", names, index(method))];
        step = o.positive("-ts_dt", "step size; the first one when adaptive", step);
        fit_steps = o.flag("-ts_fit_steps", "equal steps between observation times, of about -ts_dt", fit_steps);
        jacobian = static_cast<Jacobian>(
            o.choice("-ts_jacobian",
                     "implicit part's Jacobian. shell: products; assembled: the term's matrices, or dense blocks",
                     {"shell", "assembled"}, static_cast<std::size_t>(jacobian)));
        (void)o.text("-ts_adapt_type", "none: fixed steps; basic: controlled by -ts_rtol and -ts_atol", "none");
      },
      prefix);
}

// Which part a method treats implicitly.
void Integrator::Implementation::split() {
  const bool has_both = system_.explicit_part && system_.implicit_part;
  switch (method_.splitting) {
    case Splitting::semi_implicit:
      ESPALIER_REQUIRE(has_both, "-method " + method_.name +
                                     " needs an explicit and an implicit part; for a system of one part choose an "
                                     "explicit method such as rk4 or an implicit one such as cn");
      explicit_ = system_.explicit_part;
      implicit_ = system_.implicit_part;
      break;
    case Splitting::fully_explicit:
      explicit_ = model::sum_of(system_);
      break;
    case Splitting::fully_implicit:
      implicit_ = model::sum_of(system_);
      break;
  }
  if (!implicit_) return;
  const auto linear = std::dynamic_pointer_cast<LinearOperator>(system_.implicit_part);
  implicit_is_affine_ = implicit_->affine();
  if (linear && linear->solves_directly()) linear_ = linear;
}

void Integrator::Implementation::check_jacobian() const {
  if (settings_.jacobian == Jacobian::shell) return;
  ESPALIER_REQUIRE(implicit_, "-ts_jacobian assembled is for methods that solve equations, and -method " +
                                  method_.name + " is explicit: leave the option out");
  ESPALIER_REQUIRE(!linear_ || linear_ != implicit_, "-ts_jacobian assembled: the part that -method " + method_.name +
                                                         " treats implicitly is linear and has a direct solver of "
                                                         "its own: leave the option out");
}

void Integrator::Implementation::build() {
  create_ts();
  attach_explicit_part();
  attach_implicit_part();
  configure_solvers();
  configure_steps();
}

void Integrator::Implementation::create_vectors() {
  ESPALIER_CALL(VecCreate(comm_, state_.out()));
  ESPALIER_CALL(VecSetSizes(state_.get(), static_cast<PetscInt>(shape_.samples * shape_.dof), PETSC_DETERMINE));
  ESPALIER_CALL(VecSetOptionsPrefix(state_.get(), settings_.prefix.c_str()));
  ESPALIER_CALL(VecSetFromOptions(state_.get()));
  ESPALIER_CALL(VecDuplicate(state_.get(), lambda_.out()));
  mu_ = petsc::create_gradient_vec(comm_, gradient_size(parameter_count(explicit_) + parameter_count(implicit_)));
  lambda_array_[0] = lambda_.get();
  mu_array_[0] = mu_.get();
}

void Integrator::Implementation::create_ts() {
  bounded_trajectory_.reset();
  ESPALIER_CALL(TSCreate(comm_, ts_.out()));
  ESPALIER_CALL(TSSetOptionsPrefix(ts_.get(), settings_.prefix.c_str()));
  register_adams();
  ESPALIER_CALL(TSSetType(ts_.get(), method_.ts_type.c_str()));
  if (method_.ts_type == TSARKIMEX) ESPALIER_CALL(TSARKIMEXSetType(ts_.get(), method_.ts_sub_type.c_str()));
  if (method_.ts_type == TSRK) ESPALIER_CALL(TSRKSetType(ts_.get(), method_.ts_sub_type.c_str()));
  if (method_.ts_type == adams_type) set_adams_method(ts_.get(), method_.ts_sub_type);
  ESPALIER_CALL(TSSetApplicationContext(ts_.get(), this));
  const bool parameters = parameter_count(explicit_) + parameter_count(implicit_) > 0;
  ESPALIER_CALL(TSSetCostGradients(ts_.get(), 1, lambda_array_, parameters ? mu_array_ : nullptr));
}

// du/dt = G: RHSFunction, dG/du and dG/dtheta.
void Integrator::Implementation::attach_explicit_part() {
  if (!explicit_) return;
  const PetscInt columns = gradient_size(parameter_count(explicit_) + parameter_count(implicit_));
  explicit_jacobian_ = std::make_unique<JacobianOperator>(state_.get());
  explicit_parameters_ =
      std::make_unique<ParameterOperator>(state_.get(), columns, explicit_jacobian_.get(), explicit_->parameters());
  ESPALIER_CALL(TSSetRHSFunction(
      ts_.get(), nullptr,
      [](TS, PetscReal t, Vec u, Vec f, void* context) noexcept {
        return guard([&] { of(context).apply(*of(context).explicit_, t, u, f); });
      },
      this));
  ESPALIER_CALL(TSSetRHSJacobian(
      ts_.get(), explicit_jacobian_->mat(), explicit_jacobian_->mat(),
      [](TS, PetscReal t, Vec u, Mat, Mat, void* context) noexcept {
        return guard([&] {
          auto& self = of(context);
          self.explicit_jacobian_->set(self.explicit_memo_.at(*self.explicit_, t, u), 0, 1);
        });
      },
      this));
  ESPALIER_CALL(TSSetRHSJacobianP(
      ts_.get(), explicit_parameters_->mat(),
      [](TS, PetscReal t, Vec u, Mat, void* context) noexcept {
        return guard([&] {
          auto& self = of(context);
          self.explicit_parameters_->set(self.explicit_memo_.at(*self.explicit_, t, u), 1);
        });
      },
      this));
}

// F(u_t, u) = u_t - H: dF/du = shift I - dH/du, dF/dtheta = -dH/dtheta. The mass matrix is the identity, which
// TSAdjointStep_ARKIMEX takes for granted.
void Integrator::Implementation::attach_implicit_part() {
  if (!implicit_) return;
  const PetscInt columns = gradient_size(parameter_count(explicit_) + parameter_count(implicit_));
  implicit_jacobian_ = std::make_unique<JacobianOperator>(state_.get());
  implicit_parameters_ =
      std::make_unique<ParameterOperator>(state_.get(), columns, implicit_jacobian_.get(), implicit_->parameters());
  ESPALIER_CALL(TSSetIFunction(
      ts_.get(), nullptr,
      [](TS, PetscReal t, Vec u, Vec u_t, Vec f, void* context) noexcept {
        return guard([&] {
          of(context).apply(*of(context).implicit_, t, u, f);
          ESPALIER_CALL(VecAYPX(f, -1.0, u_t));
        });
      },
      this));
  create_assembled_jacobian();
  // Products are the shell's, so that the adjoint shares them with the parameters; solves are the assembled matrix's.
  ESPALIER_CALL(TSSetIJacobian(
      ts_.get(), implicit_jacobian_->mat(), preconditioner_matrix(),
      [](TS, PetscReal t, Vec u, Vec, PetscReal shift, Mat, Mat, void* context) noexcept {
        return guard([&] { of(context).set_implicit_jacobian(t, u, shift); });
      },
      this));
  // TSAdjointStep_ARKIMEX wants this matrix even when H has no parameters.
  ESPALIER_CALL(TSSetIJacobianP(
      ts_.get(), implicit_parameters_->mat(),
      [](TS, PetscReal t, Vec u, Vec, PetscReal, Mat, void* context) noexcept {
        return guard([&] {
          auto& self = of(context);
          const bool trainable = parameter_count(self.implicit_) > 0;
          self.implicit_parameters_->set(trainable ? self.implicit_memo_.at(*self.implicit_, t, u) : nullptr, -1);
        });
      },
      this));
}

void Integrator::Implementation::create_assembled_jacobian() {
  if (settings_.jacobian == Jacobian::shell) return;
  if (implicit_->forms_matrices()) {
    petsc::register_samples_pc();
    sparse_jacobian_ = std::make_unique<SparseJacobian>(state_.get(), static_cast<PetscInt>(shape_.samples));
    return;
  }
  assembled_jacobian_ = std::make_unique<AssembledJacobian>(
      state_.get(), static_cast<PetscInt>(shape_.dof),
      has_float_parameters(implicit_) ? product_tolerance_float : product_tolerance);
}

Mat Integrator::Implementation::preconditioner_matrix() const {
  if (assembled_jacobian_) return assembled_jacobian_->mat();
  return sparse_jacobian_ ? sparse_jacobian_->mat() : implicit_jacobian_->mat();
}

// Systems are solved with a positive shift, 1 / (a_ii h); with any other the adjoint only multiplies.
void Integrator::Implementation::set_implicit_jacobian(double t, Vec u, double shift) {
  const auto linearization = implicit_memo_.at(*implicit_, t, u);
  implicit_jacobian_->set(linearization, shift, -1);
  if (shift <= 0) return;
  if (assembled_jacobian_) assembled_jacobian_->set(*linearization, shift, -1);
  if (sparse_jacobian_) sparse_jacobian_->set(*linearization, shift, -1);
}

// (shift I - A)^-1 for the whole batch, as a preconditioner: exact for a linear implicit part.
void Integrator::Implementation::attach_direct_solver(KSP ksp) {
  PC pc = nullptr;
  ESPALIER_CALL(KSPGetPC(ksp, &pc));
  if (assembled_jacobian_ || sparse_jacobian_ || !linear_) {
    const char* of_matrix = sparse_jacobian_ ? petsc::samples_pc_type : PCNONE;
    ESPALIER_CALL(PCSetType(pc, assembled_jacobian_ ? PCPBJACOBI : of_matrix));
    return;
  }
  ESPALIER_CALL(PCSetType(pc, PCSHELL));
  ESPALIER_CALL(PCShellSetName(pc, "(shift I - A)^-1 of the batch's linear part"));
  ESPALIER_CALL(PCShellSetContext(pc, this));
  ESPALIER_CALL(PCShellSetApply(pc, [](PC shell, Vec b, Vec x) noexcept {
    return guard([&] {
      void* context = nullptr;
      ESPALIER_CALL(PCShellGetContext(shell, &context));
      of(context).linear_->solve(of(context).implicit_jacobian_->shift(), b, x, false);
    });
  }));
  ESPALIER_CALL(PCShellSetApplyTranspose(pc, [](PC shell, Vec b, Vec x) noexcept {
    return guard([&] {
      void* context = nullptr;
      ESPALIER_CALL(PCShellGetContext(shell, &context));
      of(context).linear_->solve(of(context).implicit_jacobian_->shift(), b, x, true);
    });
  }));
}

void Integrator::Implementation::configure_ksp(KSP ksp, double tolerance) {
  ESPALIER_CALL(KSPSetType(ksp, solves_directly() ? KSPPREONLY : KSPGMRES));
  ESPALIER_CALL(KSPSetTolerances(ksp, tolerance, PETSC_CURRENT, PETSC_CURRENT, krylov_iterations));
  // A rank whose block is singular may not stop alone: SNES and TSAdjoint stop all ranks.
  ESPALIER_CALL(KSPSetErrorIfNotConverged(ksp, assembled_jacobian_ ? PETSC_FALSE : PETSC_TRUE));
  attach_direct_solver(ksp);
}

void Integrator::Implementation::configure_solvers() {
  if (!implicit_) return;
  if (implicit_is_affine_) {
    ESPALIER_CALL(SNESSetType(snes(), SNESKSPONLY));
    ESPALIER_CALL(SNESSetNormSchedule(snes(), SNES_NORM_NONE));
  } else {
    const double tolerance = has_float_parameters(implicit_) ? newton_tolerance_float : newton_tolerance;
    ESPALIER_CALL(SNESSetTolerances(snes(), PETSC_CURRENT, tolerance, tolerance, PETSC_CURRENT, PETSC_CURRENT));
  }
  configure_ksp(forward_ksp(), implicit_is_affine_ ? krylov_tolerance : newton_krylov_tolerance);
  ESPALIER_CALL(KSPCreate(comm_, adjoint_ksp_.out()));
  ESPALIER_CALL(KSPSetOptionsPrefix(adjoint_ksp_.get(), (settings_.prefix + "adjoint_").c_str()));
  configure_ksp(adjoint_ksp_.get(), krylov_tolerance);
  ESPALIER_CALL(KSPSetFromOptions(adjoint_ksp_.get()));
}

void Integrator::Implementation::configure_steps() {
  TSAdapt adapt = nullptr;
  ESPALIER_CALL(TSGetAdapt(ts_.get(), &adapt));
  ESPALIER_CALL(TSAdaptSetType(adapt, TSADAPTNONE));
  ESPALIER_CALL(TSSetExactFinalTime(ts_.get(), TS_EXACTFINALTIME_MATCHSTEP));
  ESPALIER_CALL(TSSetMaxSteps(ts_.get(), PETSC_INT_MAX));
  ESPALIER_CALL(TSSetPostStage(ts_.get(), [](TS ts, PetscReal t, PetscInt stage, Vec* stages) noexcept {
    return guard([&] {
      Implementation* self = nullptr;
      ESPALIER_CALL(TSGetApplicationContext(ts, &self));
      self->after_stage(t, stage, stages[stage]);
    });
  }));
  ESPALIER_CALL(TSSetPostStep(ts_.get(), [](TS ts) noexcept {
    return guard([&] {
      Implementation* self = nullptr;
      ESPALIER_CALL(TSGetApplicationContext(ts, &self));
      self->after_step();
    });
  }));
  if (settings_.configure) settings_.configure(ts_.get());
  ESPALIER_CALL(TSSetFromOptions(ts_.get()));
  check_options(adapt);
}

// PETSc's own options may not undo what -method decides.
void Integrator::Implementation::check_options(TSAdapt adapt) {
  TSType type = nullptr;
  const char* sub_type = method_.ts_sub_type.c_str();
  PetscBool fully_implicit = PETSC_FALSE;
  TSExactFinalTimeOption final_time = TS_EXACTFINALTIME_UNSPECIFIED;
  ESPALIER_CALL(TSGetType(ts_.get(), &type));
  const std::string found = type;
  const bool kept = method_.ts_type == found || (method_.ts_type == TSCN && found == TSTHETA);
  if (kept && found == TSARKIMEX) {
    ESPALIER_CALL(TSARKIMEXGetType(ts_.get(), &sub_type));
    ESPALIER_CALL(TSARKIMEXGetFullyImplicit(ts_.get(), &fully_implicit));
  }
  if (kept && found == TSRK) ESPALIER_CALL(TSRKGetType(ts_.get(), &sub_type));
  if (kept && found == adams_type) sub_type = adams_method(ts_.get());
  ESPALIER_REQUIRE(kept && method_.ts_sub_type == sub_type && !fully_implicit,
                   "the options -ts_type, -ts_arkimex_*, -ts_rk_type and -ts_adams_type may not change the method "
                   "(here to " +
                       found + " " + sub_type + "): -method chooses it, and splits the right-hand side");
  ESPALIER_CALL(TSGetExactFinalTime(ts_.get(), &final_time));
  ESPALIER_REQUIRE(final_time == TS_EXACTFINALTIME_MATCHSTEP,
                   "-ts_exact_final_time must be matchstep: observation times are hit exactly");
  TSAdaptType adapt_type = nullptr;
  ESPALIER_CALL(TSAdaptGetType(adapt, &adapt_type));
  adaptive_ = std::string(adapt_type) != TSADAPTNONE;
  if (found == adams_type) require_fixed_steps(ts_.get());
  ESPALIER_REQUIRE(!adaptive_ || !settings_.fit_steps,
                   "-ts_fit_steps is for fixed steps, and -ts_adapt_type chooses them itself: leave one of them out");
  if (!adaptive_) petsc::keep_steps_whole(adapt);
}

}  // namespace espalier::ts
