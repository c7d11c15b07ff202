#include "espalier/data/valid_time.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "espalier/core/error.hpp"

using namespace espalier;
namespace tt = boost::test_tools;
namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(data_valid_time, *utf::label("unit") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(the_error_is_measured_against_the_mean_over_all_times) {
  // |truth|_2^2 is 16 and 0: the mean is 8 although the second state is zero.
  const std::vector<double> truth = {std::sqrt(8.0), -std::sqrt(8.0), 0, 0};
  const std::vector<double> prediction = {std::sqrt(8.0), -std::sqrt(8.0), 1, 1};
  const double norm = data::mean_norm(truth, 2);
  BOOST_TEST(norm == std::sqrt(8.0), tt::tolerance(1e-14));
  BOOST_TEST(data::normalised_error(truth, prediction, 2, norm) == (std::vector<double>{0, 0.5}),
             tt::tolerance(1e-14) << tt::per_element());
}

BOOST_AUTO_TEST_CASE(the_valid_time_ends_where_the_error_passes_the_threshold) {
  const std::vector<double> times = {10, 11, 12, 13, 14};
  std::vector<double> error = {0, 0.3, 0.4, 0.41, 0.1};
  const auto valid = [&](double threshold) { return data::valid_time(times, error, threshold); };
  BOOST_TEST(data::valid_time(times, error).time == 3.0);  // 0.4 itself is still valid
  BOOST_TEST(!data::valid_time(times, error).censored);
  BOOST_TEST(valid(0.2).time == 1.0);
  BOOST_TEST(valid(0.5).time == 4.0);
  BOOST_TEST(valid(0.5).censored);
  error[1] = std::numeric_limits<double>::quiet_NaN();
  BOOST_TEST(valid(0.5).time == 1.0);
  BOOST_TEST(!valid(0.5).censored);
}

BOOST_AUTO_TEST_CASE(valid_times_are_summarised) {
  const data::ValidTimes all = data::summarise({{2, false}, {4, false}, {9, true}});
  BOOST_TEST(all.mean == 5.0, tt::tolerance(1e-14));
  BOOST_TEST(all.deviation == std::sqrt(13.0), tt::tolerance(1e-14));  // (9 + 1 + 16) / 2
  BOOST_TEST(all.count == 3u);
  BOOST_TEST(all.censored == 1u);
  BOOST_TEST(data::summarise({{2, false}}).deviation == 0.0);
}

BOOST_AUTO_TEST_CASE(sizes_that_do_not_agree_are_refused) {
  const std::vector<double> four = {1, 2, 3, 4};
  BOOST_CHECK_THROW(data::normalised_error(four, {1, 2}, 2, 1), UserError);
  BOOST_CHECK_THROW(data::normalised_error(four, four, 3, 1), UserError);
  BOOST_CHECK_THROW(data::mean_norm({0, 0}, 2), UserError);
  BOOST_CHECK_THROW(data::mean_norm(four, 3), UserError);
  BOOST_CHECK_THROW(data::valid_time({0, 1, 2}, four), UserError);
  BOOST_CHECK_THROW(data::valid_time({}, {}), UserError);
  BOOST_CHECK_THROW(data::summarise({}), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
