#include "espalier/core/random_draws.hpp"

#include <boost/test/unit_test.hpp>
#include <set>

using namespace espalier;
namespace tt = boost::test_tools;
namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(core_random_draws, *utf::label("unit") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(draws_are_the_engine_s_bits) {
  // The C++ standard gives the 10000th number of the default engine.
  constexpr std::uint64_t given = 9981545732273789042U;
  std::mt19937_64 engine;
  engine.discard(9999);
  std::mt19937_64 same = engine;
  BOOST_TEST(core::uniform_below(engine, 1000) == given % 1000);
  BOOST_TEST(core::uniform_unit(same) == static_cast<double>(given) / 18446744073709551616.0, tt::tolerance(1e-15));
  BOOST_TEST((engine == same));
}

BOOST_AUTO_TEST_CASE(normal_draws_have_mean_zero_and_variance_one) {
  std::mt19937_64 engine(5);
  constexpr int count = 40000;
  double sum = 0;
  double square = 0;
  int inside = 0;
  for (int i = 0; i < count; ++i) {
    const double x = core::standard_normal(engine);
    sum += x;
    square += x * x;
    inside += std::abs(x) < 1 ? 1 : 0;
  }
  // Four standard errors each.
  BOOST_TEST(std::abs(sum / count) < 4 / std::sqrt(count));
  BOOST_TEST(std::abs(square / count - 1) < 4 * std::sqrt(2.0 / count));
  BOOST_TEST(std::abs(static_cast<double>(inside) / count - 0.682689) < 4 * std::sqrt(0.683 * 0.317 / count));
}

BOOST_AUTO_TEST_CASE(subsets_hold_different_numbers) {
  std::mt19937_64 engine(6);
  std::set<std::uint64_t> drawn;
  core::draw_subset(engine, 20, 20, [&](std::uint64_t number) { return drawn.insert(number).second; });
  BOOST_TEST(drawn.size() == 20u);
  BOOST_TEST(*drawn.rbegin() == 19u);
  std::vector<std::int64_t> values = {3, 1, 4, 15, 9};
  core::draw_to_front(engine, values, values.size());
  BOOST_TEST((std::set<std::int64_t>(values.begin(), values.end()) == std::set<std::int64_t>{1, 3, 4, 9, 15}));
}

BOOST_AUTO_TEST_SUITE_END()
