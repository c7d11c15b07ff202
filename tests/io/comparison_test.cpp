#include "espalier/io/comparison.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "espalier/io/xdmf.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using testing::mentions;
namespace utf = boost::unit_test;

namespace {

io::Series two_points() {
  io::Series series;
  series.dof = 2;
  series.coordinates = {0, 0.5};
  series.settings = {{"length", 1.0}};
  series.state_unit = "m/s";
  series.time_unit = "s";
  series.coordinate_unit = "m";
  return series;
}

// Three times, of which the truth knows two and the prediction reaches one.
io::Comparison short_of_its_times() { return {"A title", "l2", {4, 5, 6}, {1, 2, 3, 4}, {1.5, 2.5}}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(io_comparison, *utf::label("unit") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(what_is_not_known_is_nan) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("rollout.h5");
  io::write_comparison(path, two_points(), short_of_its_times(), [](io::Hdf5Writer& file) {
    file.write("extra", {2}, std::vector<double>{7, 8});
    file.attribute("/", "valid_time", 3.5);
  });

  const io::Hdf5Reader file(path);
  const double nan = std::nan("");
  const auto holds = [&](const char* name, const std::vector<double>& expected) {
    const auto values = file.read<double>(name, {3, 2});
    for (std::size_t i = 0; i < expected.size(); ++i)
      BOOST_TEST((values[i] == expected[i] || (std::isnan(values[i]) && std::isnan(expected[i]))),
                 name << " " << i << ": " << values[i]);
    BOOST_TEST(file.text(name, "unit") == "m/s");
  };
  holds("truth", {1, 2, 3, 4, nan, nan});
  holds("prediction", {1.5, 2.5, nan, nan, nan, nan});
  holds("error", {0.5, 0.5, nan, nan, nan, nan});
  BOOST_TEST((file.read<double>("time") == std::vector<double>{4, 5, 6}));
  BOOST_TEST((file.read<double>("x") == std::vector<double>{0, 0.5}));
  BOOST_TEST((file.read<double>("extra") == std::vector<double>{7, 8}));
  BOOST_TEST(file.text("time", "unit") == "s");
  BOOST_TEST(file.text("x", "unit") == "m");
  BOOST_TEST(file.text("/", "title") == "A title");
  BOOST_TEST(file.text("/", "method") == "l2");
  BOOST_TEST(file.real("/", "valid_time") == 3.5);
  BOOST_TEST(file.real("settings", "length") == 1.0);
  BOOST_TEST(testing::contents(folder.file("rollout.xdmf")) ==
             io::xdmf_space_time("rollout.h5", {3, 4, 1}, {2, 0, 0.5},
                                 {{"truth", "truth"}, {"prediction", "prediction"}, {"error", "error"}}));
}

BOOST_AUTO_TEST_CASE(states_that_do_not_fit_are_refused) {
  const testing::TemporaryFolder folder;
  const auto refused = [&](auto change, const char* word) {
    io::Comparison comparison = short_of_its_times();
    change(comparison);
    BOOST_CHECK_EXCEPTION(io::write_comparison(folder.file("a.h5"), two_points(), comparison), UserError,
                          mentions("a.h5", word));
  };
  refused([](auto& c) { c.truth.resize(8); }, "at most 3 states");
  refused([](auto& c) { c.prediction.resize(3); }, "3 values");
  refused([](auto& c) { c.times.resize(1); }, "at least two times");
  BOOST_TEST(folder.size() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
