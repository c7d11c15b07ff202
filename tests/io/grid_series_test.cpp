#include "espalier/io/grid_series.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using testing::mentions;
using testing::TemporaryFolder;
namespace utf = boost::unit_test;

namespace {

std::vector<double> numbers(std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = 0.1 * static_cast<double>(i);
  return values;
}

// Two trajectories of three states on 4 x 2 cells, a steady field and a moving one.
io::GridSeries example() {
  io::GridSeries series;
  series.name = "example";
  series.axes = {{"y", {0.25, 0.75}, "m"}, {"x", {1, 2, 3, 4}}};
  series.times = {0, 0.1, 0.3};
  series.time_unit = "s";
  series.trajectories = 2;
  series.quantities = {{"state", true, true, numbers(48), "K"},
                       {"steady", false, false, numbers(8)},
                       {"moving", false, true, numbers(24)}};
  series.settings = {{"seed", 1}, {"diffusivity", 1e-3}};
  return series;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(io_grid_series, *utf::label("unit") * utf::label("impindiff") * utf::label("np1"))

BOOST_AUTO_TEST_CASE(what_is_written_is_read) {
  const TemporaryFolder folder;
  const io::GridSeries series = example();
  io::write_grid_series(folder.file("a.h5"), series, true);
  const io::GridSeries read = io::read_grid_series(folder.file("a.h5"));
  BOOST_TEST(read.name == "example");
  BOOST_TEST(read.trajectories == 2U);
  BOOST_TEST(read.times == series.times);
  BOOST_REQUIRE(read.axes.size() == 2U);
  BOOST_TEST(read.axes[0].name == "y");
  BOOST_TEST(read.axes[0].unit == "m");
  BOOST_TEST(read.axes[1].centres == series.axes[1].centres);
  BOOST_TEST(read.cells() == 8U);
  for (const io::GridQuantity& quantity : series.quantities) {
    BOOST_TEST(read.quantity(quantity.name).values == quantity.values);
    BOOST_TEST(read.quantity(quantity.name).unit == quantity.unit);
    BOOST_TEST((read.shape(read.quantity(quantity.name)) == series.shape(quantity)));
  }
  BOOST_TEST((read.shape(read.quantity("state")) == io::Shape{2, 3, 2, 4}));
  BOOST_TEST(io::settings_difference(read.settings, series.settings).empty());
  BOOST_TEST(io::read_grid_series_origin(folder.file("a.h5")).cache);
  BOOST_TEST(io::checksum(read).size() == 16U);
  io::GridSeries other = series;
  other.quantities[2].values[5] += 1e-9;
  BOOST_TEST(io::checksum(other) != io::checksum(series));
}

BOOST_AUTO_TEST_CASE(series_that_make_no_sense_are_refused) {
  const auto refuses = [](const auto& change, auto... words) {
    io::GridSeries series = example();
    change(series);
    BOOST_CHECK_EXCEPTION(io::validate(series, "f.h5"), UserError, mentions("f.h5", words...));
  };
  refuses([](io::GridSeries& s) { s.quantities[0].values.pop_back(); }, "state", "47");
  refuses([](io::GridSeries& s) { s.quantities[1].values[3] = std::nan(""); }, "steady");
  refuses([](io::GridSeries& s) { s.times[2] = 0.1; }, "time", "[2]");
  refuses([](io::GridSeries& s) { s.axes[1].centres[2] = 3.5; }, "'x'", "equally spaced");
  refuses([](io::GridSeries& s) { s.axes.resize(0); }, "axes");
  io::GridSeries early_end = example();
  early_end.quantities[0].values.back() = std::nan("");
  io::validate(early_end, "f.h5", false);
  BOOST_CHECK_EXCEPTION((void)example().quantity("velocity"), UserError, mentions("velocity", "state, steady, moving"));
}

BOOST_AUTO_TEST_CASE(other_files_are_refused) {
  const TemporaryFolder folder;
  const std::string path = folder.file("other.h5");
  io::Hdf5Writer writer(path);
  writer.attribute("/", "format", std::string("espalier-series"));
  writer.commit();
  BOOST_CHECK_EXCEPTION(io::read_grid_series(path), UserError, mentions("other.h5", "espalier-grid-series"));
  BOOST_CHECK_THROW(io::read_grid_series(folder.file("none.h5")), UserError);
}

BOOST_AUTO_TEST_CASE(paraview_finds_the_quantities_that_have_a_time) {
  const TemporaryFolder folder;
  io::write_grid_series_xdmf(folder.file("a.h5"), example());
  const std::string text = testing::contents(folder.file("a.xdmf"));
  BOOST_TEST(text.find("a.h5:/moving") != std::string::npos);
  BOOST_TEST(text.find("steady") == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
