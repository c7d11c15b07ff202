#include "espalier/io/series.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using io::Series;
using testing::mentions;
using testing::TemporaryFolder;

namespace {

Series example() {
  Series series;
  series.name = "example";
  series.dof = 2;
  series.coordinates = {0, 0.5};
  // Far from zero, where 1000 + 0.2 i carries rounding errors of its own.
  for (int i = 0; i < 4; ++i) {
    series.times.push_back(1000 + 0.2 * i);
    series.states.insert(series.states.end(), {double(i), -0.1 * i});
  }
  series.settings = {{"points", 2}, {"length", 0.1}, {"method", "none"}};
  series.quantity = "temperature";
  series.time_unit = "s";
  series.coordinate_unit = "m";
  series.state_unit = "K";
  return series;
}

// Trajectory r of the example adds 10 r to each value.
Series three_trajectories() {
  Series series = example();
  const std::vector<double> first = series.states;
  series.trajectories = 3;
  for (const double shift : {10.0, 20.0})
    for (const double value : first) series.states.push_back(value + shift);
  return series;
}

// Writes a series whose data set `name` is replaced, past the checks of write_series.
void write_broken(const std::string& path, const std::string& name, const io::Shape& shape,
                  const std::vector<double>& values) {
  const Series series = example();
  io::Hdf5Writer writer(path);
  writer.attributes("/", {{"format", "espalier-series"}, {"format_version", 1}, {"name", "example"}});
  writer.attributes("/", {{"quantity", "u"}, {"irregular", 0}, {"cache", 0}});
  const auto write = [&](const std::string& set, const io::Shape& extents, const std::vector<double>& good) {
    set == name ? writer.write(set, shape, values) : writer.write(set, extents, good);
    writer.attribute(set, "unit", "1");
  };
  write("time", {4}, series.times);
  write("x", {2}, series.coordinates);
  write("states", {4, 2}, series.states);
  writer.group("settings");
  writer.commit();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(io_series, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(what_was_written_is_read) {
  const TemporaryFolder folder;
  const Series series = example();
  io::write_series(folder.file("a.h5"), series);
  const Series read = io::read_series(folder.file("a.h5"));
  BOOST_TEST(read.name == "example");
  BOOST_TEST(read.times == series.times);
  BOOST_TEST(read.coordinates == series.coordinates);
  BOOST_TEST(read.states == series.states);
  BOOST_TEST(read.dof == 2u);
  BOOST_TEST(read.count() == 4u);
  BOOST_TEST(read.state(3)[1] == series.states[7]);
  BOOST_TEST(read.interval() == 0.2, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(io::settings_difference(read.settings, series.settings) == "");
  BOOST_TEST(read.quantity == "temperature");
  BOOST_TEST(read.time_unit + read.coordinate_unit + read.state_unit == "smK");
  BOOST_TEST(!read.irregular);
}

BOOST_AUTO_TEST_CASE(trajectories_are_written_and_read) {
  const TemporaryFolder folder;
  const Series series = three_trajectories();
  BOOST_TEST((series.shape() == io::Shape{3, 4, 2}));
  io::write_series(folder.file("a.h5"), series);
  const io::Hdf5Reader file(folder.file("a.h5"));
  BOOST_TEST((file.shape("states") == io::Shape{3, 4, 2}));
  BOOST_TEST(file.text("states", "axes") == "trajectory, time, x");
  const Series read = io::read_series(folder.file("a.h5"));
  BOOST_TEST(read.trajectories == 3u);
  BOOST_TEST(read.count() == 4u);
  BOOST_TEST(read.dof == 2u);
  BOOST_TEST(read.states == series.states);
  BOOST_TEST(read.state(2, 3)[0] == 23.0);
  BOOST_TEST(read.state(1, 0)[1] == 10.0);
  BOOST_TEST(read.state(3) == read.state(0, 3));
  BOOST_TEST(io::checksum(read) == io::checksum(series));
}

BOOST_AUTO_TEST_CASE(one_trajectory_is_stored_without_an_axis_of_its_own) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  io::write_series(path, example());
  {
    const io::Hdf5Reader file(path);
    BOOST_TEST((file.shape("states") == io::Shape{4, 2}));
    BOOST_TEST(file.text("states", "axes") == "time, x");
    BOOST_TEST(file.integer("/", "format_version") == 1);
  }
  // Files without the trajectories' axis, as older programs wrote them, and with one of extent 1.
  write_broken(path, "none", {}, {});
  BOOST_TEST(io::read_series(path).trajectories == 1u);
  write_broken(path, "states", {1, 4, 2}, example().states);
  const Series read = io::read_series(path);
  BOOST_TEST(read.trajectories == 1u);
  BOOST_TEST(read.states == example().states);
}

BOOST_AUTO_TEST_CASE(trajectories_of_wrong_size_are_refused) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Series wrong = three_trajectories();
  wrong.states.pop_back();
  BOOST_CHECK_EXCEPTION(io::write_series(path, wrong), UserError, mentions("'states'", "23 values", "[3, 4, 2]"));
  wrong = three_trajectories();
  wrong.trajectories = 2;
  BOOST_CHECK_EXCEPTION(io::write_series(path, wrong), UserError, mentions("'states'", "24 values", "[2, 4, 2]"));
  wrong.trajectories = 0;
  wrong.states.clear();
  BOOST_CHECK_EXCEPTION(io::write_series(path, wrong), UserError, mentions("[0, 4, 2]", "at least one"));
  wrong = three_trajectories();
  wrong.states[8 + 3] = nan;
  BOOST_CHECK_EXCEPTION(io::write_series(path, wrong), UserError, mentions("'states'", "nan, is at [1, 1, 1]"));
  BOOST_TEST(folder.size() == 0u);

  write_broken(path, "states", {2, 4, 3}, std::vector<double>(24, 0));
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError,
                        mentions(path, "'states'", "[2, 4, 3], expected [any, 4, 2]"));
  write_broken(path, "states", {2, 2, 4, 2}, std::vector<double>(32, 0));
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "[2, 2, 4, 2], expected [4, 2]"));
  write_broken(path, "states", {0, 4, 2}, {});
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "[0, 4, 2]", "at least one"));
}

BOOST_AUTO_TEST_CASE(irregular_times_need_the_flag) {
  const TemporaryFolder folder;
  Series series = example();
  series.times[2] += 1e-6;
  BOOST_CHECK_EXCEPTION(io::write_series(folder.file("a.h5"), series), UserError,
                        mentions("a.h5", "'time'", "not equally spaced"));
  BOOST_TEST(folder.size() == 0u);
  series.irregular = true;
  io::write_series(folder.file("a.h5"), series);
  BOOST_TEST(io::read_series(folder.file("a.h5")).irregular);
  series.times[2] = series.times[1];
  BOOST_CHECK_EXCEPTION(io::write_series(folder.file("a.h5"), series), UserError, mentions("does not increase at [2]"));
}

BOOST_AUTO_TEST_CASE(times_may_carry_the_rounding_of_large_numbers) {
  Series series = example();
  for (std::size_t i = 0; i < 4; ++i) series.times[i] = 1e8 + 0.1 * static_cast<double>(i);  // spaced by 1.5e-8
  BOOST_CHECK_NO_THROW(io::validate(series, "a.h5"));
}

BOOST_AUTO_TEST_CASE(settings_are_compared_exactly) {
  const TemporaryFolder folder;
  io::write_series(folder.file("a.h5"), example(), true);
  const io::SeriesOrigin origin = io::read_series_origin(folder.file("a.h5"));
  BOOST_TEST(origin.cache);
  BOOST_TEST(origin.name == "example");
  const io::Attributes found = io::read_series_settings(folder.file("a.h5"));
  const io::Attributes other = {{"method", "none"}, {"length", 0.1 * (1 + 1e-15)}, {"points", 2}};
  BOOST_TEST(io::settings_difference(found, other) == "length: 0.10000000000000001 instead of 0.10000000000000012");
  BOOST_TEST(io::settings_difference(found, {{"points", 2.0}, {"length", 0.1}, {"seed", 1}}) ==
             "points: 2 (integer) instead of 2 (real), seed: missing, method: none instead of nothing");
}

BOOST_AUTO_TEST_CASE(broken_files_are_explained) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  write_broken(path, "none", {}, {});
  BOOST_CHECK_NO_THROW(io::read_series(path));
  write_broken(path, "states", {4, 3}, std::vector<double>(12, 0));
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "'states'", "[4, 3], expected [4, 2]"));
  write_broken(path, "states", {4, 2}, {0, 0, 0, 0, 0, nan, 0, 0});
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "'states'", "nan, is at [2, 1]"));
  write_broken(path, "time", {4}, {0, 1, 2, nan});
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "'time'", "nan, is at [3]"));
  write_broken(path, "time", {4}, {0, 1, 3, 4});
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "not equally spaced"));
  write_broken(path, "time", {4}, {0, 2, 1, 3});
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "does not increase at [2]"));
  write_broken(path, "time", {2, 2}, {0, 1, 2, 3});
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "'time'", "[2, 2], expected [any]"));
  write_broken(path, "x", {2}, {nan, 0});
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "'x'", "nan"));
  write_broken(path, "x", {0}, {});
  BOOST_CHECK_THROW(io::read_series(path), UserError);
}

BOOST_AUTO_TEST_CASE(files_of_another_kind_are_refused) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  io::Hdf5Writer plain(path);
  plain.commit();
  BOOST_CHECK_EXCEPTION(io::read_series(path), UserError, mentions(path, "not a series of states"));
  io::Hdf5Writer newer(path);
  newer.attributes("/", {{"format", "espalier-series"}, {"format_version", 2}});
  newer.commit();
  BOOST_CHECK_EXCEPTION(io::read_series_settings(path), UserError, mentions(path, "format version 2"));
}

BOOST_AUTO_TEST_CASE(a_refused_series_overwrites_nothing) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  io::write_series(path, example());
  const std::string before = testing::contents(path);
  Series wrong = example();
  wrong.states.pop_back();
  BOOST_CHECK_EXCEPTION(io::write_series(path, wrong), UserError, mentions("'states'", "7 values", "[4, 2]"));
  wrong = example();
  wrong.coordinates.push_back(1);
  BOOST_CHECK_EXCEPTION(io::write_series(path, wrong), UserError, mentions("'x'", "3 values"));
  wrong = example();
  wrong.states[3] = std::numeric_limits<double>::infinity();
  BOOST_CHECK_EXCEPTION(io::write_series(path, wrong), UserError, mentions("'states'", "inf, is at [1, 1]"));
  BOOST_CHECK_THROW(io::write_series(path, Series()), UserError);
  BOOST_TEST((testing::contents(path) == before));
  BOOST_TEST(folder.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
