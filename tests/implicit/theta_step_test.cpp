// Rollouts of implicit steps as chains of torch nodes, against the integrator's adjoint of the same steps.
#include "espalier/implicit/root_solve.hpp"
#include "espalier/model/sum_term.hpp"
#include "model/vectors.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(implicit_theta_step, *utf::label("gradient") * utf::label("implicit"))

BOOST_AUTO_TEST_CASE(a_rollout_equals_the_integrator, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const torch::AutoGradMode with_grad(true);
  const System system;
  const auto sum =
      std::make_shared<model::SumTerm>(std::vector<std::shared_ptr<model::Term>>{system.neural, system.linear});
  const at::Tensor u0 = random_tensor({samples, dof}, 1);
  const at::Tensor weights = random_tensor({1, samples, dof}, 2);
  petsc::VecHandle like;
  ESPALIER_CALL(VecCreateMPI(PETSC_COMM_WORLD, static_cast<PetscInt>(mine(u0).numel()), PETSC_DETERMINE, like.out()));
  constexpr double h = 0.1;
  for (const std::string method : {"cn", "beuler"}) {
    ts::Integrator integrator(PETSC_COMM_WORLD, shape_of(mine(u0)), system.split(), settings(method, h));
    const Gradient expected = discrete_adjoint(system, integrator, u0, {0, 5 * h}, weights);
    for (const auto solver : {implicit::RootSolver::newton, implicit::RootSolver::anderson}) {
      implicit::RootSettings root;
      root.solver = solver;
      const double theta = method == "cn" ? 0.5 : 1;
      const auto residual = std::make_shared<implicit::ThetaStep>(sum, theta, h, system.linear);
      implicit::RootSolve step(residual, like.get(), root);
      const at::Tensor leaf = mine(u0).clone().requires_grad_(true);
      system.network->parameters().zero_gradient();
      at::Tensor u = leaf;
      for (int k = 0; k < 5; ++k) u = implicit::root_solve(step, u);
      (u * mine(weights, 1)[0]).sum().backward();
      BOOST_TEST_CONTEXT(method << ", solver " << static_cast<int>(solver)) {
        BOOST_TEST(relative(u.detach(), expected.snapshots[0]) <= 1e-9);
        BOOST_TEST(relative(leaf.grad(), expected.u0_bar) <= 1e-9);
        BOOST_TEST(relative(sum_over_ranks(system.network->parameters().gradient()), expected.theta_bar) <= 1e-9);
      }
    }
  }
}

// Products that accumulate() needs may have been taken elsewhere in between.
BOOST_AUTO_TEST_CASE(products_of_a_step_in_any_order) {
  const System system;
  implicit::ThetaStep step(system.neural, 0.5, 0.1);
  petsc::VecHandle x;
  petsc::VecHandle y;
  petsc::VecHandle result;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, 2 * dof, x.out()));
  ESPALIER_CALL(VecDuplicate(x.get(), y.out()));
  ESPALIER_CALL(VecDuplicate(x.get(), result.out()));
  ESPALIER_CALL(VecSet(x.get(), 0.3));
  ESPALIER_CALL(VecSet(y.get(), -0.8));
  auto& parameters = system.network->parameters();
  const auto products = step.linearize(x.get(), y.get());
  const auto gradient_after = [&](const std::function<void()>& between) {
    parameters.zero_gradient();
    products->vjp(x.get(), result.get());
    between();
    products->accumulate(1);
    return parameters.gradient().clone();
  };
  const at::Tensor expected = gradient_after([] {});
  BOOST_TEST(relative(gradient_after([&] { products->vjp_data(x.get(), result.get()); }), expected) <= 1e-14);
  BOOST_TEST(relative(gradient_after([&] { products->accumulate(1); }), 2 * expected) <= 1e-14);
  // The product that accumulate() took is handed out again, but not for another cotangent.
  const auto data_of = [&](Vec w) {
    products->vjp_data(w, result.get());
    return espalier::testing::entries_of(result.get());
  };
  const auto handed_out = data_of(x.get());
  const auto of_y = data_of(y.get());
  const auto fresh = step.linearize(x.get(), y.get());
  fresh->vjp_data(x.get(), result.get());
  BOOST_TEST(espalier::testing::distance(handed_out, espalier::testing::entries_of(result.get())) <= 1e-15);
  fresh->vjp_data(y.get(), result.get());
  BOOST_TEST(espalier::testing::distance(of_y, espalier::testing::entries_of(result.get())) <= 1e-15);
}

BOOST_AUTO_TEST_SUITE_END()
