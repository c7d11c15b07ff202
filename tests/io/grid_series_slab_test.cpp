#include "espalier/io/grid_series_slab.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using io::GridBox;
using io::GridSeriesReader;
using io::GridSeriesWriter;
using testing::mentions;
using testing::TemporaryFolder;
namespace utf = boost::unit_test;

namespace {

bool last_rank() { return testing::rank_of() == testing::size_of() - 1; }

// Four trajectories of three states on 6 x 4 cells, a steady field and a moving one.
io::GridSeries header() {
  io::GridSeries series;
  series.name = "example";
  series.axes = {{"y", {1, 2, 3, 4, 5, 6}, "m"}, {"x", {0.5, 1.5, 2.5, 3.5}}};
  series.times = {0, 0.1, 0.3};
  series.time_unit = "s";
  series.trajectories = 4;
  series.quantities = {{"moving", false, true, {}}, {"state", true, true, {}, "K"}, {"steady", false, false, {}}};
  series.settings = {{"seed", 1}, {"diffusivity", 1e-3}};
  return series;
}

// Columns for two or more ranks, rows for the rest: neither is contiguous in the file.
GridBox my_box(MPI_Comm comm) {
  const auto rank = static_cast<std::size_t>(testing::rank_of(comm));
  const auto size = static_cast<std::size_t>(testing::size_of(comm));
  const std::size_t columns = size % 2 == 0 ? 2 : 1;
  const std::size_t rows = size / columns;
  const std::size_t i = rank / columns;
  const std::size_t begin = 6 * i / rows;
  return {{begin, rank % columns * 4 / columns}, {6 * (i + 1) / rows - begin, 4 / columns}};
}

// The value tells trajectory, time and cell.
std::vector<double> values_of(const GridBox& box, std::size_t r0, std::size_t r1, std::size_t t0, std::size_t t1) {
  std::vector<double> values;
  for (std::size_t r = r0; r < r1; ++r)
    for (std::size_t t = t0; t < t1; ++t)
      for (std::size_t j = 0; j < box.count[0]; ++j)
        for (std::size_t i = 0; i < box.count[1]; ++i)
          values.push_back(static_cast<double>((r * 3 + t) * 24 + (box.offset[0] + j) * 4 + box.offset[1] + i) / 7);
  return values;
}

const GridBox all = {{0, 0}, {6, 4}};

io::GridSeries full() {
  io::GridSeries series = header();
  series.quantities[0].values = values_of(all, 0, 1, 0, 3);
  series.quantities[1].values = values_of(all, 0, 4, 0, 3);
  series.quantities[2].values = values_of(all, 0, 1, 0, 1);
  return series;
}

void write_by_snapshot(MPI_Comm comm, const std::string& path, bool xdmf = false) {
  const GridBox box = my_box(comm);
  GridSeriesWriter writer(comm, path, header(), box, true);
  writer.write("steady", {0, 1}, {0, 1}, values_of(box, 0, 1, 0, 1));
  for (std::size_t t = 0; t < 3; ++t) {
    writer.write("moving", {0, 1}, {t, t + 1}, values_of(box, 0, 1, t, t + 1));
    writer.write("state", {0, 2}, {t, t + 1}, values_of(box, 0, 2, t, t + 1));
  }
  writer.write("state", {2, io::any_extent}, {}, values_of(box, 2, 4, 0, 3));
  writer.commit(xdmf);
}

void check_file(const std::string& path) {
  const io::GridSeries expected = full();
  const io::GridSeries read = io::read_grid_series(path);
  BOOST_TEST(io::checksum(read) == io::checksum(expected));
  BOOST_TEST(read.name == "example");
  BOOST_TEST(read.axes[0].unit == "m");
  BOOST_TEST(read.time_unit == "s");
  BOOST_TEST(read.trajectories == 4U);
  BOOST_TEST(read.quantity("state").unit == "K");
  BOOST_TEST(io::settings_difference(read.settings, expected.settings).empty());
  BOOST_TEST(io::read_grid_series_origin(path).cache);
}

void check_boxes(MPI_Comm comm, const std::string& path) {
  const GridSeriesReader reader(comm, path);
  BOOST_TEST(reader.header().times == header().times);
  BOOST_TEST(reader.header().axes[1].centres == header().axes[1].centres);
  BOOST_TEST(reader.header().quantity("state").values.empty());
  const GridBox box = my_box(comm);
  BOOST_TEST(reader.read("state", box) == values_of(box, 0, 4, 0, 3));
  BOOST_TEST(reader.read("moving", box) == values_of(box, 0, 1, 0, 3));
  BOOST_TEST(reader.read("steady", box) == values_of(box, 0, 1, 0, 1));
}

void on_one_rank(const std::function<void()>& body) {
  core::agree(MPI_COMM_WORLD, [&] {
    if (testing::rank_of() == 0) body();
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(io_grid_series_slab, *utf::label("distributed") * utf::label("np1") * utf::label("np2") *
                                               utf::label("np3") * utf::label("np4") * utf::label("np6"))

BOOST_AUTO_TEST_CASE(snapshots_of_all_ranks_are_a_series) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  write_by_snapshot(MPI_COMM_WORLD, folder.file("a.h5"));
  check_file(folder.file("a.h5"));
  check_boxes(MPI_COMM_WORLD, folder.file("a.h5"));
}

BOOST_AUTO_TEST_CASE(series_of_one_rank_are_read_by_box) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  on_one_rank([&] { io::write_grid_series(folder.file("a.h5"), full(), true); });
  check_boxes(MPI_COMM_WORLD, folder.file("a.h5"));
}

BOOST_AUTO_TEST_CASE(other_numbers_of_ranks_write_and_read_the_same) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const int size = testing::size_of();
  for (const int ranks : {1, 2, 3, 4, 6}) {
    if (ranks > size) continue;
    const std::string path = folder.file("np" + std::to_string(ranks) + ".h5");
    MPI_Comm some = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, testing::rank_of() < ranks ? 0 : MPI_UNDEFINED, 0, &some);
    if (some != MPI_COMM_NULL) {
      write_by_snapshot(some, path);
      check_boxes(some, folder.file("np1.h5"));
      MPI_Comm_free(&some);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    check_file(path);
    check_boxes(MPI_COMM_WORLD, path);
    BOOST_TEST((testing::contents(path) == testing::contents(folder.file("np1.h5"))), "bytes of " << path);
  }
}

// Two groups of ranks with trajectories of their own: each opens the file for itself, or all write into one.
BOOST_AUTO_TEST_CASE(groups_have_their_own_trajectories) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("a.h5");
  const int size = testing::size_of();
  const std::size_t groups = size == 1 ? 1 : 2;
  const auto group = static_cast<std::size_t>(testing::rank_of()) % groups;
  MPI_Comm mine = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, static_cast<int>(group), 0, &mine);
  const std::size_t r0 = 4 / groups * group;
  const std::size_t r1 = r0 + 4 / groups;
  const GridBox box = my_box(mine);
  {
    GridSeriesWriter writer(MPI_COMM_WORLD, path, header(), box, true);
    writer.write("state", {r0, r1}, {}, values_of(box, r0, r1, 0, 3));
    const std::size_t once = group == 0 ? 1 : 0;  // what trajectories share is written by one group
    writer.write("moving", {0, once}, {}, values_of(box, 0, once, 0, 3));
    writer.write("steady", {0, once}, {}, values_of(box, 0, once, 0, 1));
    writer.commit();
  }
  check_file(path);
  const GridSeriesReader reader(mine, path);
  BOOST_TEST(reader.read("state", box, {r0, r1}) == values_of(box, r0, r1, 0, 3));
  BOOST_TEST(reader.read("state", box, {r0, r0 + 1}, {1, 3}) == values_of(box, r0, r0 + 1, 1, 3));
  BOOST_TEST(reader.read("moving", box, {r0, r1}, {2, 3}) == values_of(box, 0, 1, 2, 3));
  BOOST_TEST(reader.read("state", box, {r0, r0}).empty());
  BOOST_TEST(reader.read("state", {{6, 4}, {0, 0}}).empty());
  MPI_Comm_free(&mine);
}

BOOST_AUTO_TEST_CASE(paraview_finds_the_file) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  write_by_snapshot(MPI_COMM_WORLD, folder.file("a.h5"), true);
  const std::string text = testing::contents(folder.file("a.xdmf"));
  BOOST_TEST(text.find("a.h5:/moving") != std::string::npos);
  BOOST_TEST(text.find("steady") == std::string::npos);
  BOOST_TEST(folder.size() == 2U);
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_are_refused_on_all_ranks) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("a.h5");
  const GridBox box = my_box(MPI_COMM_WORLD);
  const auto write = [&](bool cache) {
    GridSeriesWriter writer(MPI_COMM_WORLD, path, header(), box, cache);
    std::vector<double> values = values_of(box, 0, 4, 0, 3);
    if (last_rank()) values.back() = std::nan("");
    writer.write("state", {}, {}, values);
    writer.write("moving", {0, 1}, {}, values_of(box, 0, 1, 0, 3));
    writer.write("steady", {0, 1}, {0, 1}, values_of(box, 0, 1, 0, 1));
    writer.commit();
  };
  BOOST_CHECK_EXCEPTION(write(true), UserError, mentions(path, "'state'", "nan", "[3, 2, 5, 3] of [4, 3, 6, 4]"));
  BOOST_TEST(folder.size() == 0U);
  write(false);  // a prediction that ended early
  const GridSeriesReader reader(MPI_COMM_WORLD, path);
  BOOST_CHECK_EXCEPTION(reader.read("state", box), UserError, mentions(path, "'state'", "nan", "[3, 2, 5, 3]"));
  BOOST_TEST(reader.read("state", box, {0, 3}) == values_of(box, 0, 3, 0, 3));
}

BOOST_AUTO_TEST_CASE(what_makes_no_sense_is_refused_on_all_ranks) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("a.h5");
  const GridBox box = my_box(MPI_COMM_WORLD);
  const std::size_t wrong = last_rank() ? 1 : 0;
  const auto make = [&](const io::GridSeries& series, const GridBox& cells) {
    GridSeriesWriter(MPI_COMM_WORLD, path, series, cells);
  };
  io::GridSeries uneven = header();
  uneven.axes[1].centres[2] += 0.5;
  BOOST_CHECK_EXCEPTION(make(uneven, box), UserError, mentions(path, "'x'", "equally spaced"));
  BOOST_CHECK_EXCEPTION(make(header(), {{wrong, 0}, {6, 4}}), UserError, mentions(path, "[1, 0]", "[6, 4]", "grid"));
  BOOST_CHECK_EXCEPTION(make(header(), {{0}, {6}}), UserError, mentions("[6]", "slowest axis first"));
  {
    GridSeriesWriter writer(MPI_COMM_WORLD, path, header(), box);
    const std::vector<double> one = values_of(box, 0, 1, 0, 1);
    BOOST_CHECK_EXCEPTION(writer.write("velocity", {}, {}, one), UserError, mentions("velocity", "moving, state"));
    BOOST_CHECK_EXCEPTION(writer.write("state", {4 * wrong, 1 + 4 * wrong}, {0, 1}, one), UserError,
                          mentions(path, "trajectories 4 to 5", "there are 4"));
    BOOST_CHECK_EXCEPTION(writer.write("state", {0, 1}, {2, 3 + wrong}, one), UserError, mentions("times 2 to 4"));
    BOOST_CHECK_THROW(writer.write("state", {0, 1}, {0, 2}, one), InternalError);
    writer.write("state", {0, 1}, {0, 1}, one);
    BOOST_CHECK_EXCEPTION(writer.commit(), UserError, mentions(path, "'moving'", "0 of 72"));
  }
  BOOST_TEST(folder.size() == 0U);
  write_by_snapshot(MPI_COMM_WORLD, path);
  const GridSeriesReader reader(MPI_COMM_WORLD, path);
  BOOST_CHECK_EXCEPTION((void)reader.read("velocity", box), UserError, mentions("velocity", "moving, state, steady"));
  BOOST_CHECK_EXCEPTION((void)reader.read("state", {{0, wrong}, {6, 4}}), UserError, mentions("[0, 1]", "grid"));
  BOOST_CHECK_EXCEPTION((void)reader.read("state", box, {2, 4 + wrong}), UserError, mentions("trajectories 2 to 5"));
}

BOOST_AUTO_TEST_CASE(other_files_are_refused) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const auto read = [](const std::string& path) { GridSeriesReader(MPI_COMM_WORLD, path); };
  BOOST_CHECK_EXCEPTION(read(folder.file("none.h5")), UserError, mentions("none.h5", "No such file"));
  on_one_rank([&] {
    io::Hdf5Writer writer(folder.file("other.h5"));
    writer.attribute("/", "format", std::string("espalier-series"));
    writer.commit();
  });
  BOOST_CHECK_EXCEPTION(read(folder.file("other.h5")), UserError, mentions("other.h5", "espalier-grid-series"));
}

BOOST_AUTO_TEST_SUITE_END()
