#include "espalier/model/term.hpp"

#include <boost/test/unit_test.hpp>

#include "espalier/model/gradient_check.hpp"
#include "espalier/model/neural_term.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::NeuralTerm;
using model::SumTerm;
using testing::distance;
using testing::entries_of;
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

}  // namespace

BOOST_AUTO_TEST_SUITE(model_term, *utf::label("unit"))

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

BOOST_AUTO_TEST_CASE(a_term_without_parameters_accumulates_nothing) {
  QuadraticTerm term;
  BOOST_TEST(term.parameters().empty());
  const auto u = vector_of(some_numbers(4, 1));
  term.linearize(0, u.get())->accumulate(1);
}

BOOST_AUTO_TEST_SUITE_END()
