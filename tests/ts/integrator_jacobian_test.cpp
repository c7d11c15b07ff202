// Implicit methods with the assembled Jacobian: what it gives, what it costs, and what it is not for.
#include <cmath>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
namespace utf = boost::unit_test;

namespace {

ts::IntegratorSettings assembled(const std::string& method, double step) {
  ts::IntegratorSettings s = settings(method, step);
  s.jacobian = ts::Jacobian::assembled;
  return s;
}

bool mentions(const std::exception& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

/// f = a u, or f = a (mean of this rank's samples): by hand, so that a block can be singular and samples can couple.
class Growth : public model::Term {
 public:
  Growth(double a, bool couples) : a_(a), couples_(couples) {}
  void apply(double /*t*/, Vec u, Vec y) override { multiply(u, y); }
  std::shared_ptr<model::Linearization> linearize(double /*t*/, Vec /*u*/) override {
    struct Product : model::Linearization {
      explicit Product(Growth& term) : term_(term) {}
      void jvp(Vec v, Vec y) override { term_.multiply(v, y); }
      void vjp(Vec w, Vec u_bar) override { term_.multiply(w, u_bar); }
      Growth& term_;
    };
    return std::make_shared<Product>(*this);
  }

 private:
  void multiply(Vec u, Vec y) const {
    ESPALIER_CALL(VecCopy(u, y));
    ESPALIER_CALL(VecScale(y, a_));
    if (!couples_) return;
    PetscInt length = 0;
    PetscScalar* array = nullptr;
    ESPALIER_CALL(VecGetLocalSize(y, &length));
    ESPALIER_CALL(VecGetArray(y, &array));
    const at::Tensor rows = torch::from_blob(array, {length / dof, dof}, torch::kDouble);
    rows.copy_(rows.mean(0, true).expand_as(rows).clone());
    ESPALIER_CALL(VecRestoreArray(y, &array));
  }

  double a_;
  bool couples_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(ts_integrator_jacobian, *utf::label("sinode"))

BOOST_AUTO_TEST_CASE(assembled_and_shell_agree_with_the_unrolled_gradient,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  // With one sample all ranks but one have none.
  for (const std::int64_t count : {samples, std::int64_t{1}})
    for (const std::string method : {"cn", "beuler"}) {
      const System system;
      const at::Tensor u0 = random_tensor({count, dof}, 1);
      const at::Tensor weights = random_tensor({2, count, dof}, 2);
      const std::vector<double> times = {0, 0.2, 0.45};
      ts::Integrator direct(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), assembled(method, 0.1));
      ts::Integrator krylov(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), settings(method, 0.1));
      const Gradient ours = discrete_adjoint(system, direct, u0, times, weights);
      const Gradient shell = discrete_adjoint(system, krylov, u0, times, weights);
      const Gradient expected = unrolled(system, method, u0, {0.1, 0.1, 0.1, 0.1, 0.05}, {2, 5}, weights);
      BOOST_TEST_CONTEXT("method " << method << ", " << count << " samples") {
        for (const Gradient& other : {shell, expected}) {
          BOOST_TEST(relative(ours.snapshots, other.snapshots) <= 1e-10);
          BOOST_TEST(relative(ours.u0_bar, other.u0_bar) <= 1e-10);
          BOOST_TEST(relative(ours.theta_bar, other.theta_bar) <= 1e-10);
        }
      }
    }
}

// Equations of IMEX methods, of a linear part without a direct solver, and of a float network.
BOOST_AUTO_TEST_CASE(other_implicit_parts, *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  Setup krylov;
  krylov.solver = model::LinearSolver::krylov;
  const System system(krylov);
  const System other;
  Setup rounded;
  rounded.single_precision = true;
  const System single(rounded);
  struct Case {
    std::string method;
    const System& system;
    model::SplitSystem split;
    double step;
    double tolerance;
  };
  const Case cases[] = {{"3", other, {other.linear, other.neural}, 0.1, 1e-10},
                        {"l2", system, system.split(), 0.1, 1e-10},
                        {"cn", single, {single.neural, nullptr}, 1, 1e-5}};
  for (const Case& c : cases) {
    ts::Integrator direct(PETSC_COMM_WORLD, shape_of(mine(u0)), c.split, assembled(c.method, c.step));
    ts::Integrator shell(PETSC_COMM_WORLD, shape_of(mine(u0)), c.split, settings(c.method, c.step));
    const Gradient ours = discrete_adjoint(c.system, direct, u0, {0, 3 * c.step}, weights);
    const Gradient expected = discrete_adjoint(c.system, shell, u0, {0, 3 * c.step}, weights);
    BOOST_TEST_CONTEXT("method " << c.method) {
      BOOST_TEST(relative(ours.snapshots, expected.snapshots) <= c.tolerance);
      BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= c.tolerance);
      BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= c.tolerance);
    }
  }
}

// dof products for each system that is solved, one for its line search and one for the comparison; none for the half
// of an adjoint step that only multiplies.
BOOST_AUTO_TEST_CASE(products_are_made_where_systems_are_solved, *utf::label("unit")) {
  const System system;
  const auto& counters = system.neural->counters();
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), assembled("cn", 0.1));
  integrator.forward(u0, {0, 0.3}, ts::Record::yes);
  PetscInt iterations = 0;
  ESPALIER_CALL(TSGetSNESIterations(integrator.ts(), &iterations));
  BOOST_TEST(integrator.ksp_iterations_forward() == iterations);
  BOOST_TEST(counters.tangent == iterations * (dof + 1) + 1);
  const long before = counters.tangent;
  integrator.adjoint(random_tensor({1, samples, dof}, 2));
  BOOST_TEST(integrator.ksp_iterations_adjoint() == 3);
  BOOST_TEST(counters.tangent == before + 3 * dof);
}

// Newton may use a Jacobian or its inverse more than once; the adjoint may not.
BOOST_AUTO_TEST_CASE(lagged_jacobians_leave_the_gradient_exact, *utf::label("gradient")) {
  const System system;
  const auto& counters = system.neural->counters();
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  const Gradient expected = unrolled(system, "cn", u0, {0.1, 0.1, 0.1}, {3}, weights);
  long every_time = 0;
  for (const std::string name : {"", "-snes_lag_jacobian", "-snes_lag_preconditioner"})
    for (const auto& s : {assembled("cn", 0.1), settings("cn", 0.1)}) {
      const Option lag(name.empty() ? "-no_lag" : name, "4");
      ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), s);
      for (int run = 0; run < 2; ++run) {
        const long before = counters.tangent;
        const Gradient ours = discrete_adjoint(system, integrator, u0, {0, 0.3}, weights);
        BOOST_TEST_CONTEXT(name << ", run " << run << (s.jacobian == ts::Jacobian::shell ? ", shell" : "")) {
          BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= 1e-10);
          BOOST_TEST(relative(ours.theta_bar, expected.theta_bar) <= 1e-10);
          if (s.jacobian == ts::Jacobian::shell) continue;
          if (name.empty()) every_time = counters.tangent - before;
          if (name == "-snes_lag_jacobian") BOOST_TEST(counters.tangent - before < every_time);
        }
      }
    }
}

BOOST_AUTO_TEST_CASE(solvers_remain_petscs_options, *utf::label("unit")) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const Option forward("-ksp_type", "gmres");
  const Option preconditioner("-pc_type", "lu");
  const Option adjoint("-adjoint_ksp_type", "gmres");
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), assembled("cn", 0.1));
  const Gradient ours = discrete_adjoint(system, integrator, u0, {0, 0.2}, weights);
  const Gradient expected = unrolled(system, "cn", u0, {0.1, 0.1}, {2}, weights);
  BOOST_TEST(relative(ours.u0_bar, expected.u0_bar) <= 1e-10);
  SNES snes = nullptr;
  KSP ksp = nullptr;
  PC pc = nullptr;
  PetscBool is_lu = PETSC_FALSE;
  ESPALIER_CALL(TSGetSNES(integrator.ts(), &snes));
  ESPALIER_CALL(SNESGetKSP(snes, &ksp));
  ESPALIER_CALL(KSPGetPC(ksp, &pc));
  ESPALIER_CALL(PetscObjectTypeCompare(reinterpret_cast<PetscObject>(pc), PCLU, &is_lu));
  BOOST_TEST(is_lu == PETSC_TRUE);
}

BOOST_AUTO_TEST_CASE(the_option_is_read_and_refused_where_it_means_nothing, *utf::label("unit")) {
  const System system;
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const Option option("-a_ts_jacobian", "assembled");
  for (const std::string method : {"cn", "l2", "rk4"}) {
    ts::IntegratorSettings read = settings(method, 0.1, "a_");
    read.read(PETSC_COMM_WORLD);
    BOOST_TEST((read.jacobian == ts::Jacobian::assembled));
    const auto make = [&] { ts::Integrator(PETSC_COMM_WORLD, shape_of(u0), system.split(), read); };
    if (method == "cn") {
      BOOST_CHECK_NO_THROW(make());
    } else {
      const std::string reason = method == "l2" ? "direct solver" : "explicit";
      BOOST_CHECK_EXCEPTION(make(), UserError, [&](const auto& e) {
        return mentions(e, "-ts_jacobian assembled") && mentions(e, "-method " + method) && mentions(e, reason);
      });
    }
  }
  const Option unknown("-b_ts_jacobian", "dense");
  ts::IntegratorSettings read = settings("cn", 0.1, "b_");
  BOOST_CHECK_EXCEPTION(read.read(PETSC_COMM_WORLD), UserError,
                        [](const auto& e) { return mentions(e, "_ts_jacobian dense") && mentions(e, "assembled"); });
}

BOOST_AUTO_TEST_CASE(samples_that_couple_are_refused, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const bool last = rank_of() == size_of() - 1;
  const at::Tensor u0 = random_tensor({2, dof}, 1);
  const auto term = std::make_shared<Growth>(0.5, last);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {term, nullptr}, assembled("cn", 0.1));
  BOOST_CHECK_EXCEPTION(integrator.forward(u0, {0, 0.2}, ts::Record::no), UserError,
                        [](const auto& e) { return mentions(e, "-ts_jacobian shell"); });
}

// 1/h I - a I = 0 for the last rank's samples alone.
BOOST_AUTO_TEST_CASE(a_singular_block_of_one_rank_stops_all,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const bool last = rank_of() == size_of() - 1;
  const at::Tensor u0 = random_tensor({2, dof}, 1);
  const auto term = std::make_shared<Growth>(last ? 4 : 1, false);
  ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(u0), {term, nullptr}, assembled("beuler", 0.25));
  BOOST_CHECK_THROW(integrator.forward(u0, {0, 0.5}, ts::Record::no), NumericalError);
  // Nobody is left in a call of PETSc's.
  BOOST_TEST(sum_over_ranks(torch::ones({1}, torch::kDouble)).item<double>() == size_of());
}

BOOST_AUTO_TEST_SUITE_END()
