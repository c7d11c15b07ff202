#include "espalier/core/options.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/messages.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using core::OptionReader;
using testing::mentions;
using testing::ScopedOptions;

namespace utf = boost::unit_test;

namespace {

/// What one call on a reader gives.
template <class Ask>
auto read(Ask ask, const std::string& prefix = "") {
  decltype(ask(std::declval<OptionReader&>())) answer{};
  core::read_options(
      PETSC_COMM_WORLD, "Test", [&](OptionReader& o) { answer = ask(o); }, prefix);
  return answer;
}

double rate(OptionReader& o) { return o.real("-ot_rate", "a rate", 0.5, 0, 2); }
PetscInt count(OptionReader& o) { return o.integer("-ot_count", "a count", 3, 1, 10); }
double length(OptionReader& o) { return o.positive("-ot_length", "a length", 1.5); }
std::size_t color(OptionReader& o) { return o.choice("-ot_color", "a colour", {"red", "green", "blue"}, 1); }
std::vector<PetscInt> widths(OptionReader& o) { return o.integers("-ot_widths", "widths", {7, 8}, 1); }
std::vector<double> knots(OptionReader& o) { return o.reals("-ot_knots", "knots", {0.25}); }
bool loud(OptionReader& o) { return o.flag("-ot_loud", "loud?", false); }
bool quiet(OptionReader& o) { return o.flag("-ot_quiet", "quiet?", true); }
std::string name(OptionReader& o) { return o.text("-ot_name", "a name", "nobody"); }

}  // namespace

BOOST_AUTO_TEST_SUITE(core_options, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(defaults_hold_when_nothing_is_given) {
  BOOST_TEST(read(rate) == 0.5);
  BOOST_TEST(read(count) == 3);
  BOOST_TEST(read(length) == 1.5);
  BOOST_TEST(read(color) == 1U);
  BOOST_TEST(read(widths) == (std::vector<PetscInt>{7, 8}));
  BOOST_TEST(read(knots) == std::vector<double>{0.25});
  BOOST_TEST(!read(loud));
  BOOST_TEST(read(quiet));
  BOOST_TEST(read(name) == "nobody");
}

BOOST_AUTO_TEST_CASE(given_values_are_read, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options(
      "-ot_rate 1e-1 -ot_count 10 -ot_length 2 -ot_color blue -ot_widths 200,100,1 -ot_knots -1,0.5 -ot_loud "
      "-ot_quiet no -ot_name some/one");
  BOOST_TEST(read(rate) == 0.1);
  BOOST_TEST(read(count) == 10);
  BOOST_TEST(read(length) == 2.0);
  BOOST_TEST(read(color) == 2U);
  BOOST_TEST(read(widths) == (std::vector<PetscInt>{200, 100, 1}));
  BOOST_TEST(read(knots) == (std::vector<double>{-1, 0.5}));
  BOOST_TEST(read(loud));
  BOOST_TEST(!read(quiet));
  BOOST_TEST(read(name) == "some/one");
}

BOOST_AUTO_TEST_CASE(bounds_themselves_are_inside) {
  for (const char* value : {"0", "2"}) {
    const ScopedOptions options(std::string("-ot_rate ") + value);
    BOOST_TEST(read(rate) == std::stod(value));
  }
  const ScopedOptions options("-ot_count 1");
  BOOST_TEST(read(count) == 1);
}

BOOST_AUTO_TEST_CASE(values_out_of_range_name_option_and_range, *utf::label("np1") * utf::label("np2")) {
  {
    const ScopedOptions options("-ot_rate 2.5");
    BOOST_CHECK_EXCEPTION(read(rate), UserError, mentions("-ot_rate", "2.5", "[0, 2]"));
  }
  {
    const ScopedOptions options("-ot_rate nan");
    BOOST_CHECK_EXCEPTION(read(rate), UserError, mentions("-ot_rate", "nan"));
  }
  {
    const ScopedOptions options("-ot_count 0");
    BOOST_CHECK_EXCEPTION(read(count), UserError, mentions("-ot_count", "[1, 10]"));
  }
  {
    const ScopedOptions options("-ot_length 0");
    BOOST_CHECK_EXCEPTION(read(length), UserError, mentions("-ot_length", "positive"));
  }
  {
    const ScopedOptions options("-ot_widths 4,0,4");
    BOOST_CHECK_EXCEPTION(read(widths), UserError, mentions("-ot_widths", "0 is below 1"));
  }
  {
    const ScopedOptions options("-ot_knots 1,inf");
    BOOST_CHECK_EXCEPTION(read(knots), UserError, mentions("-ot_knots"));
  }
}

BOOST_AUTO_TEST_CASE(values_that_cannot_be_read_name_the_option) {
  const ScopedOptions options("-ot_count many -ot_rate fast -ot_loud perhaps -ot_widths 1,x -ot_knots y");
  BOOST_CHECK_EXCEPTION(read(count), UserError, mentions("-ot_count", "many"));
  BOOST_CHECK_EXCEPTION(read(rate), UserError, mentions("-ot_rate", "fast"));
  BOOST_CHECK_EXCEPTION(read(loud), UserError, mentions("-ot_loud", "perhaps"));
  BOOST_CHECK_EXCEPTION(read(widths), UserError, mentions("-ot_widths", "x"));
  BOOST_CHECK_EXCEPTION(read(knots), UserError, mentions("-ot_knots", "y"));
}

BOOST_AUTO_TEST_CASE(unknown_names_list_the_known_ones) {
  const ScopedOptions options("-ot_color teal");
  BOOST_CHECK_EXCEPTION(read(color), UserError, mentions("-ot_color", "teal", "red, green, blue"));
}

BOOST_AUTO_TEST_CASE(long_lists_are_read_whole_or_refused) {
  std::string values = "1";
  for (int i = 1; i < 64; ++i) values += ",1";
  {
    const ScopedOptions options("-ot_widths " + values);
    BOOST_TEST(read(widths).size() == 64U);
  }
  const ScopedOptions options("-ot_widths " + values + ",1 -ot_knots " + values + ",1");
  BOOST_CHECK_EXCEPTION(read(widths), UserError, mentions("-ot_widths", "64"));
  BOOST_CHECK_EXCEPTION(read(knots), UserError, mentions("-ot_knots", "64"));
}

BOOST_AUTO_TEST_CASE(prefixes_stand_between_dash_and_name) {
  const ScopedOptions options("-inner_ot_rate 2 -ot_rate 1 -inner_ot_count 0");
  BOOST_TEST(read(rate, "inner_") == 2.0);
  BOOST_TEST(read(rate) == 1.0);
  BOOST_CHECK_EXCEPTION(read(count, "inner_"), UserError, mentions("-inner_ot_count"));
  BOOST_TEST(core::option_given("-inner_ot_rate"));
  BOOST_TEST(!core::option_given("-inner_ot_color"));
}

BOOST_AUTO_TEST_CASE(an_error_in_a_group_leaves_the_next_group_usable) {
  const auto fails = [](OptionReader&) -> int { throw NumericalError("from the body", __FILE__, __LINE__); };
  BOOST_CHECK_EXCEPTION(read(fails), NumericalError, mentions("from the body"));
  const ScopedOptions options("-ot_rate 1.5");
  BOOST_TEST(read(rate) == 1.5);
}

BOOST_AUTO_TEST_CASE(misspelt_options_are_rejected_with_a_suggestion) {
  const ScopedOptions options("-ot_cuont 4 -elsewhere_x 1");
  BOOST_TEST(read(count) == 3);
  BOOST_CHECK_EXCEPTION(core::reject_unknown_options({"-ot_"}), UserError,
                        mentions("-ot_cuont", "did you mean -ot_count?"));
  core::reject_unknown_options({"-nothing_like_this_"});
  core::reject_unknown_options({});
}

BOOST_AUTO_TEST_CASE(options_far_from_every_name_get_no_suggestion) {
  const ScopedOptions options("-ot_what_could_this_be_for 4");
  BOOST_CHECK_EXCEPTION(core::reject_unknown_options({"-ot_"}), UserError, [](const UserError& error) {
    const std::string text = error.what();
    return text.find("-ot_what_could_this_be_for: unknown option") == 0 && text.find("mean") == std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(options_that_were_read_are_not_rejected) {
  const ScopedOptions options("-ot_count 4");
  BOOST_TEST(read(count) == 4);
  core::reject_unknown_options({"-ot_"});
}

BOOST_AUTO_TEST_CASE(given_options_are_listed_with_their_values) {
  const ScopedOptions options("-ot_count 4 -ot_loud -ot_rate -1e-3 -ot_widths 1,2");
  const auto given = core::given_options();
  const auto value = [&](const std::string& wanted) {
    for (const auto& [key, text] : given)
      if (key == wanted) return text;
    return std::string("(not given)");
  };
  BOOST_TEST(value("-ot_count") == "4");
  BOOST_TEST(value("-ot_loud") == "");
  BOOST_TEST(value("-ot_rate") == "-1e-3");
  BOOST_TEST(value("-ot_widths") == "1,2");
  BOOST_TEST(value("-ot_color") == "(not given)");
}

BOOST_AUTO_TEST_SUITE_END()
