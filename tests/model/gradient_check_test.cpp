#include "espalier/model/gradient_check.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/rank.hpp"
#include "espalier/model/neural_term.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::dot_product_error;
using model::taylor_test;
using testing::QuadraticTerm;
using testing::some_numbers;
using testing::vector_of;

namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(model_gradient_check, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(right_products_agree_to_rounding, *utf::label("np1") * utf::label("np2")) {
  const int rank = testing::rank_of();
  QuadraticTerm quadratic;
  model::NeuralTerm neural(testing::small_mlp(3));
  for (unsigned seed = 1; seed < 6; ++seed) {
    const auto u = vector_of(some_numbers(rank == 0 ? 12 : 6, static_cast<int>(seed)), PETSC_COMM_WORLD);
    BOOST_TEST(dot_product_error(quadratic, 0.5, u.get(), seed) < 1e-14);
    BOOST_TEST(dot_product_error(neural, 0.5, u.get(), seed) < 1e-14);
  }
}

BOOST_AUTO_TEST_CASE(wrong_products_do_not) {
  QuadraticTerm broken(true);
  const auto u = vector_of(some_numbers(12, 1));
  for (unsigned seed = 1; seed < 6; ++seed) BOOST_TEST(dot_product_error(broken, 0.5, u.get(), seed) > 1e-3);
}

BOOST_AUTO_TEST_CASE(a_product_that_is_not_finite_is_no_agreement) {
  QuadraticTerm quadratic;
  auto numbers = some_numbers(12, 1);
  numbers[3] = std::nan("");
  const auto u = vector_of(numbers);
  BOOST_TEST(!(dot_product_error(quadratic, 0, u.get(), 1) < 1e300));
}

BOOST_AUTO_TEST_CASE(a_right_derivative_has_slope_two) {
  for (const double x : {-1.0, 0.3, 1.4}) {
    const auto test =
        taylor_test([&](double e) { return std::exp(x + e) + std::sin(x + e); }, std::exp(x) + std::cos(x));
    BOOST_TEST(test.passed());
    BOOST_TEST(std::abs(test.slope() - 2) < 0.1);
    BOOST_TEST(test.steps.size() == 8U);
    BOOST_TEST(test.remainders.size() == 8U);
    BOOST_TEST(test.slopes.size() == 7U);
    BOOST_TEST(test.steps[3] == 0.1 / 8);
    BOOST_TEST(std::abs(test.slopes[4] - 2) < 0.1);
  }
}

BOOST_AUTO_TEST_CASE(a_wrong_derivative_has_slope_one) {
  for (const double error : {1.0, 0.1, 0.01, -0.01, -0.3}) {
    const auto test = taylor_test([](double e) { return std::exp(e); }, 1 + error);
    BOOST_TEST(!test.passed(), "derivative wrong by " << error);
  }
  BOOST_TEST(!taylor_test([](double e) { return std::exp(e); }, 0).passed());
  BOOST_TEST(!taylor_test([](double e) { return 3 * e + 1; }, 3.001).passed());
}

// The error of the derivative may cancel the curvature at one of the steps.
BOOST_AUTO_TEST_CASE(a_remainder_that_vanishes_by_chance_proves_nothing) {
  for (const double step : {0.1, 0.05, 0.0125}) {
    const auto test = taylor_test([](double e) { return (1 + e) * (1 + e); }, 2 + step);
    BOOST_TEST(!test.passed(), "vanishes at " << step);
  }
}

BOOST_AUTO_TEST_CASE(linear_functions_pass_at_rounding_level) {
  BOOST_TEST(taylor_test([](double e) { return 5 - 3 * e; }, -3).passed());
  BOOST_TEST(taylor_test([](double) { return 7.0; }, 0).passed());
}

BOOST_AUTO_TEST_CASE(small_steps_below_rounding_do_not_count) {
  const auto test = taylor_test([](double e) { return 1e3 + std::exp(e); }, 1, 0.1, 30);
  BOOST_TEST(test.passed());
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_fail) {
  BOOST_TEST(!taylor_test([](double e) { return e > 0.05 ? std::nan("") : e; }, 1).passed());
  BOOST_TEST(!taylor_test([](double e) { return std::exp(e); }, std::nan("")).passed());
}

BOOST_AUTO_TEST_SUITE_END()
