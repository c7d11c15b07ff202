#include "espalier/model/sum_term.hpp"

#include <boost/test/unit_test.hpp>

#include "espalier/model/finite_volume_term.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/model/grid_fields.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "model/sparse_products.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::NeuralTerm;
using model::SumTerm;
using testing::distance;
using testing::entries_of;
using testing::matrix_error;
using testing::Numbers;
using testing::QuadraticTerm;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

struct Products {
  Numbers f, jv, jtw;
};

Products products_of(model::Term& term, double t, const Numbers& x) {
  const auto u = vector_of(x);
  const auto v = vector_of(some_numbers(x.size(), 5));
  const auto w = vector_of(some_numbers(x.size(), 6));
  const auto result = unwritten_like(u.get());
  Products products;
  term.apply(t, u.get(), result.get());
  products.f = entries_of(result.get());
  const auto linearization = term.linearize(t, u.get());
  linearization->jvp(v.get(), result.get());
  products.jv = entries_of(result.get());
  linearization->vjp(w.get(), result.get());
  products.jtw = entries_of(result.get());
  linearization->accumulate(0.5);
  return products;
}

Numbers sum(const Numbers& a, const Numbers& b, const Numbers& c) {
  Numbers total(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) total[i] = a[i] + b[i] + c[i];
  return total;
}

constexpr PetscInt samples = 3;

/// Terms on a grid in the plane: those that form matrices and one that does not.
struct OnGrid {
  explicit OnGrid(model::Advection advection, model::FaceScheme scheme = model::FaceScheme::central)
      : grid(std::make_shared<const grid::CellGrid>(
            PETSC_COMM_WORLD, std::vector<grid::Axis>{{10, 0, 1, {}, {}}, {8, 0, 1, {}, {}}}, 2)) {
    fields = std::make_shared<model::GridFields>(std::vector<std::string>{"diffusivity"},
                                                 at::full({1, grid->local_cells()}, 0.2, at::kDouble));
    model::FiniteVolumeSettings settings;
    settings.advection = advection;
    settings.scheme = scheme;
    settings.velocity = {1, 0.5};
    transport = std::make_shared<model::FiniteVolumeTerm>(grid, settings, fields);
    diffusion = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{0.3});
    u = vec(1);
  }
  petsc::VecHandle vec(int seed) const {
    return vector_of(some_numbers(static_cast<std::size_t>(samples * grid->local_cells()), seed), PETSC_COMM_WORLD);
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::shared_ptr<model::GridFields> fields;
  std::shared_ptr<model::Term> transport;
  std::shared_ptr<model::Term> diffusion;
  std::shared_ptr<model::Term> without_matrices = std::make_shared<QuadraticTerm>();
  petsc::VecHandle u;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(model_sum_term, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(a_sum_is_the_sum_of_its_terms, *utf::label("gradient")) {
  const auto first = std::make_shared<NeuralTerm>(testing::small_mlp(3, 1));
  const auto second = std::make_shared<QuadraticTerm>();
  const auto third = std::make_shared<NeuralTerm>(testing::small_mlp(3, 2));
  SumTerm all({first, second, third});
  // Batches of changing size.
  for (const std::size_t samples : {4, 2, 7, 0, 4}) {
    const Numbers x = some_numbers(3 * samples, 1);
    first->network().parameters().zero_gradient();
    third->network().parameters().zero_gradient();
    const Products a = products_of(*first, 0.5, x);
    const Products b = products_of(*second, 0.5, x);
    const Products c = products_of(*third, 0.5, x);
    const Numbers a_bar = testing::gradient_of(first->network());
    const Numbers c_bar = testing::gradient_of(third->network());
    first->network().parameters().zero_gradient();
    third->network().parameters().zero_gradient();
    const Products total = products_of(all, 0.5, x);
    BOOST_TEST(distance(total.f, sum(a.f, b.f, c.f)) <= 1e-14);
    BOOST_TEST(distance(total.jv, sum(a.jv, b.jv, c.jv)) <= 1e-14);
    BOOST_TEST(distance(total.jtw, sum(a.jtw, b.jtw, c.jtw)) <= 1e-14);
    BOOST_TEST(distance(testing::gradient_of(first->network()), a_bar) == 0);
    BOOST_TEST(distance(testing::gradient_of(third->network()), c_bar) == 0);
  }
}

BOOST_AUTO_TEST_CASE(linearisations_of_other_batches_stay_usable, *utf::label("gradient")) {
  SumTerm all({std::make_shared<QuadraticTerm>(), std::make_shared<QuadraticTerm>()});
  const auto small = vector_of(some_numbers(4, 1));
  const auto large = vector_of(some_numbers(9, 1));
  const auto of_small = all.linearize(0, small.get());
  const auto of_large = all.linearize(0, large.get());
  const auto y = unwritten_like(small.get());
  of_small->jvp(small.get(), y.get());
  QuadraticTerm one;
  const auto expected = unwritten_like(small.get());
  one.linearize(0, small.get())->jvp(small.get(), expected.get());
  ESPALIER_CALL(VecScale(expected.get(), 2));
  BOOST_TEST(distance(entries_of(y.get()), entries_of(expected.get())) <= 1e-15);
}

BOOST_AUTO_TEST_CASE(one_term_is_a_sum_too, *utf::label("gradient")) {
  const auto only = std::make_shared<QuadraticTerm>();
  SumTerm sum_of_one({only});
  const Numbers x = some_numbers(5, 1);
  BOOST_TEST(distance(products_of(sum_of_one, 1, x).f, products_of(*only, 1, x).f) == 0);
  BOOST_CHECK_THROW(SumTerm({}), InternalError);
}

BOOST_AUTO_TEST_CASE(parameters_come_in_the_order_of_the_terms) {
  const auto first = std::make_shared<NeuralTerm>(testing::small_mlp(3, 1));
  const auto third = std::make_shared<NeuralTerm>(testing::small_mlp(3, 2));
  SumTerm all({first, std::make_shared<QuadraticTerm>(), third});
  const auto parameters = all.parameters();
  BOOST_TEST(parameters.size() == 2U);
  BOOST_TEST(parameters[0] == &first->network().parameters());
  BOOST_TEST(parameters[1] == &third->network().parameters());
}

BOOST_AUTO_TEST_CASE(keeping_evaluations_reaches_the_terms) {
  const auto network = std::make_shared<NeuralTerm>(testing::small_mlp(3, 1));
  SumTerm all({std::make_shared<QuadraticTerm>(), network});
  all.keep_evaluations(true);
  products_of(all, 0, some_numbers(6, 1));
  BOOST_TEST(network->counters().recomputed == 0);
  all.keep_evaluations(true);
  all.keep_evaluations(false);
  products_of(all, 0, some_numbers(6, 1));
  BOOST_TEST(network->counters().recomputed == 1);
}

// Of one for all samples (linear) and one for each (Burgers'), with the same places and with others.
BOOST_AUTO_TEST_CASE(matrices_of_a_sum_are_the_sum_of_those_of_its_terms,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const auto advection : {model::Advection::linear, model::Advection::burgers})
    for (const auto scheme : {model::FaceScheme::central, model::FaceScheme::limited}) {
      const OnGrid problem(advection, scheme);
      SumTerm forming({problem.transport, problem.diffusion});
      for (const bool last : {false, true}) {
        SumTerm all(last ? std::vector{problem.diffusion, problem.without_matrices, problem.transport}
                         : std::vector{problem.transport, problem.without_matrices, problem.diffusion});
        BOOST_TEST(all.forms_matrices());
        const auto linearization = all.linearize(0, problem.u.get());
        BOOST_TEST(!linearization->matrices_are_exact());
        model::SparseJacobian sparse(problem.u.get(), samples);
        // Twice: what a sum adds to is not what it added before.
        for (const int seed : {1, 4}) {
          ESPALIER_CALL(VecCopy(problem.vec(seed).get(), problem.u.get()));
          sparse.set(*all.linearize(0, problem.u.get()), 2, -3);
          const auto expected = forming.linearize(0, problem.u.get());
          BOOST_TEST(matrix_error(sparse, *expected, 2, -3, problem.vec(2).get()) <= 1e-12);
        }
      }
    }
}

BOOST_AUTO_TEST_CASE(a_sum_says_what_its_matrices_are) {
  const OnGrid problem(model::Advection::linear);
  BOOST_TEST(!SumTerm({problem.without_matrices}).forms_matrices());
  BOOST_TEST(SumTerm({problem.without_matrices}).linearize(0, problem.u.get())->matrices() == 0);
  BOOST_TEST(SumTerm({problem.transport}).linearize(0, problem.u.get())->matrices_are_exact());
  BOOST_TEST(SumTerm({problem.transport, problem.diffusion}).linearize(0, problem.u.get())->matrices() == 1);
  const OnGrid burgers(model::Advection::burgers);
  BOOST_TEST(SumTerm({burgers.diffusion, burgers.transport}).linearize(0, burgers.u.get())->matrices() == samples);
}

BOOST_AUTO_TEST_CASE(matrices_of_a_sum_are_renewed_with_those_of_any_term, *utf::label("np1") * utf::label("np2")) {
  const OnGrid problem(model::Advection::linear);
  SumTerm all({problem.transport, problem.diffusion});
  model::SparseJacobian sparse(problem.u.get(), samples);
  sparse.set(*all.linearize(0, problem.u.get()), 2, -3);
  sparse.set(*all.linearize(0, problem.u.get()), 2, -3);
  BOOST_TEST(sparse.formed() == 1);
  {
    const torch::NoGradGuard no_grad;
    auto& parameters = *problem.fields->parameters().front();
    parameters.values().mul_(2);
    parameters.mark_changed();
  }
  sparse.set(*all.linearize(0, problem.u.get()), 2, -3);
  BOOST_TEST(sparse.formed() == 2);
  BOOST_TEST(matrix_error(sparse, *all.linearize(0, problem.u.get()), 2, -3, problem.vec(2).get()) <= 1e-12);
}

BOOST_AUTO_TEST_CASE(a_term_without_parameters_accumulates_nothing) {
  QuadraticTerm term;
  BOOST_TEST(term.parameters().empty());
  const auto u = vector_of(some_numbers(4, 1));
  term.linearize(0, u.get())->accumulate(1);
}

BOOST_AUTO_TEST_SUITE_END()
