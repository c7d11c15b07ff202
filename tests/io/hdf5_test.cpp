#include "espalier/io/hdf5.hpp"

#include <hdf5.h>
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <limits>
#include <thread>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using io::Hdf5Reader;
using io::Hdf5Writer;
using io::Shape;
using testing::mentions;
using testing::TemporaryFolder;

namespace {

const std::vector<double> six = {1, 2, 3, 4, 5, 1.0 / 3};

void write_example(const std::string& path) {
  Hdf5Writer writer(path);
  writer.write("a/b/reals", {2, 3}, six);
  writer.write("floats", {2}, std::vector<float>{0.5f, 1.5f});
  writer.write("integers", {2, 1}, std::vector<std::int64_t>{-7, std::int64_t(1) << 60});
  writer.write("bytes", {3}, std::vector<std::uint8_t>{0, 128, 255});
  writer.write("scalar", {}, std::vector<double>{4});
  writer.write("empty", {0, 3}, std::vector<double>{});
  writer.group("g/h");
  writer.group("g/h");
  writer.attributes("/", {{"name", "example"}, {"count", 3}, {"length", 0.1}});
  writer.attribute("a/b/reals", "unit", "m/s");
  writer.attribute("g", "empty", "");
  writer.attribute("g", "again", 1);
  writer.attribute("g", "again", "text now");
  writer.commit();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(io_hdf5, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(what_was_written_is_read) {
  const TemporaryFolder folder;
  write_example(folder.file("a.h5"));
  const Hdf5Reader reader(folder.file("a.h5"));
  BOOST_TEST(reader.read<double>("a/b/reals") == six);
  BOOST_TEST(reader.read<double>("a/b/reals", {io::any_extent, 3}) == six);
  BOOST_TEST(reader.shape("/a/b/reals") == (Shape{2, 3}));
  BOOST_TEST(reader.read<float>("floats") == (std::vector<float>{0.5f, 1.5f}));
  BOOST_TEST(reader.read<double>("floats") == (std::vector<double>{0.5, 1.5}));
  BOOST_TEST(reader.read<std::int64_t>("integers") == (std::vector<std::int64_t>{-7, std::int64_t(1) << 60}));
  BOOST_TEST(reader.read<std::uint8_t>("bytes") == (std::vector<std::uint8_t>{0, 128, 255}));
  BOOST_TEST(reader.read<std::int64_t>("bytes") == (std::vector<std::int64_t>{0, 128, 255}));
  BOOST_TEST(reader.read<double>("scalar", {}) == std::vector<double>{4});
  BOOST_TEST(reader.read<double>("empty", {0, 3}).empty());
  std::vector<double> target(6);
  reader.read_into("a/b/reals", {2, 3}, target.data());
  BOOST_TEST(target == six);
}

BOOST_AUTO_TEST_CASE(attributes_keep_kind_and_value) {
  const TemporaryFolder folder;
  write_example(folder.file("a.h5"));
  const Hdf5Reader reader(folder.file("a.h5"));
  const io::Attributes root = reader.attributes("/");
  BOOST_TEST((root == io::Attributes{{"count", 3}, {"length", 0.1}, {"name", "example"}}));
  BOOST_TEST(reader.text("/", "name") == "example");
  BOOST_TEST(reader.integer("/", "count") == 3);
  BOOST_TEST(reader.real("/", "count") == 3.0);
  BOOST_TEST(reader.real("/", "length") == 0.1);
  BOOST_TEST(reader.text("a/b/reals", "unit") == "m/s");
  BOOST_TEST(reader.text("g", "empty").empty());
  BOOST_TEST(reader.text("g", "again") == "text now");
  BOOST_TEST((*io::find(root, "count") == io::Attribute(3)));
  BOOST_TEST(io::find(root, "counts") == nullptr);
}

BOOST_AUTO_TEST_CASE(existence_is_asked_without_failing) {
  const TemporaryFolder folder;
  write_example(folder.file("a.h5"));
  const Hdf5Reader reader(folder.file("a.h5"));
  BOOST_TEST(reader.has_dataset("a/b/reals"));
  BOOST_TEST(!reader.has_dataset("a/b"));
  BOOST_TEST(!reader.has_dataset("none/at/all"));
  BOOST_TEST(reader.has_group("a/b"));
  BOOST_TEST(reader.has_group("/"));
  BOOST_TEST(!reader.has_group("floats"));
  BOOST_TEST(reader.has_attribute("/", "name"));
  BOOST_TEST(!reader.has_attribute("/", "other"));
  BOOST_TEST(!reader.has_attribute("none", "name"));
  BOOST_TEST(reader.members("a") == std::vector<std::string>{"b"});
  BOOST_TEST(reader.members() ==
             (std::vector<std::string>{"a", "bytes", "empty", "floats", "g", "integers", "scalar"}));
}

BOOST_AUTO_TEST_CASE(the_same_calls_give_the_same_bytes) {
  const TemporaryFolder folder;
  write_example(folder.file("a.h5"));
  // Time stamps have seconds.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  write_example(folder.file("b.h5"));
  BOOST_TEST((testing::contents(folder.file("a.h5")) == testing::contents(folder.file("b.h5"))));
}

BOOST_AUTO_TEST_CASE(without_commit_nothing_remains_and_nothing_is_overwritten) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  write_example(path);
  const std::string before = testing::contents(path);
  {
    Hdf5Writer writer(path);
    writer.write("x", {6}, six);
    BOOST_TEST(std::filesystem::exists(path + ".part"));
    Hdf5Writer moved(std::move(writer));
    moved.write("y", {6}, six);
  }
  BOOST_TEST((testing::contents(path) == before));
  BOOST_TEST(folder.size() == 1u);
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_read_are_named_with_the_reason) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  BOOST_CHECK_EXCEPTION(Hdf5Reader{path}, UserError, mentions(path, "No such file or directory"));
  BOOST_CHECK_EXCEPTION(Hdf5Reader{folder.path()}, UserError, mentions(folder.path(), "it is a folder"));
  testing::put(path, "time,x\n0,1\n");
  BOOST_CHECK_EXCEPTION(Hdf5Reader{path}, UserError, mentions(path, "not an HDF5 file"));
  testing::put(path, "");
  BOOST_CHECK_EXCEPTION(Hdf5Reader{path}, UserError, mentions(path, "not an HDF5 file"));
  for (const double part : {0.1, 0.5, 0.9}) {
    write_example(path);
    testing::truncate(path, part);
    BOOST_CHECK_EXCEPTION(Hdf5Reader{path}, UserError, mentions(path, "damaged", "truncated"));
  }
}

BOOST_AUTO_TEST_CASE(folders_that_cannot_be_written_are_named_with_the_reason) {
  const TemporaryFolder folder;
  testing::put(folder.file("plain"), "x");
  BOOST_CHECK_EXCEPTION(Hdf5Writer{folder.file("plain/a.h5")}, UserError, mentions("plain/a.h5", "Not a directory"));
  BOOST_CHECK_EXCEPTION(Hdf5Writer{folder.file("none/a.h5")}, UserError,
                        mentions("none/a.h5", "No such file or directory", "name a file in a folder that exists"));
  BOOST_CHECK_EXCEPTION(Hdf5Writer{folder.path()}, UserError, mentions("it is a folder"));
  BOOST_TEST(testing::contents(folder.file("plain")) == "x");
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_reported_and_the_older_file_stays) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  write_example(path);
  const std::string before = testing::contents(path);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit limit{1 << 16, old_limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  const auto write_much = [&] {
    Hdf5Writer writer(path);
    writer.write("x", {1 << 16}, std::vector<double>(1 << 16, 1.5));
    writer.commit();
  };
  BOOST_CHECK_EXCEPTION(write_much(), UserError, mentions(path, "File too large"));
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  BOOST_TEST((testing::contents(path) == before));
  BOOST_TEST(folder.size() == 1u);
  write_much();
  BOOST_TEST(Hdf5Reader(path).shape("x") == Shape{1 << 16});
}

BOOST_AUTO_TEST_CASE(a_file_in_use_by_another_writer_is_not_destroyed) {
  const TemporaryFolder folder;
  Hdf5Writer first(folder.file("a.h5"));
  first.write("x", {6}, six);
  BOOST_CHECK_THROW(Hdf5Writer{folder.file("a.h5")}, UserError);
  first.commit();
  BOOST_TEST(Hdf5Reader(folder.file("a.h5")).read<double>("x") == six);
}

BOOST_AUTO_TEST_CASE(wrong_names_shapes_and_kinds_are_explained) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  write_example(path);
  const Hdf5Reader reader(path);
  BOOST_CHECK_EXCEPTION(reader.read<double>("a/b/real"), UserError, mentions(path, "'a/b/real'", "in 'a/b': reals"));
  BOOST_CHECK_EXCEPTION(reader.read<double>("none/x"), UserError, mentions("no data set 'none/x'"));
  BOOST_CHECK_EXCEPTION(reader.read<double>("a/b"), UserError, mentions("no data set 'a/b'"));
  BOOST_CHECK_EXCEPTION(reader.read<double>("a/b/reals", {3, 2}), UserError,
                        mentions(path, "'a/b/reals'", "shape [2, 3], expected [3, 2]"));
  BOOST_CHECK_EXCEPTION(reader.read<double>("a/b/reals", {io::any_extent, 4}), UserError, mentions("[any, 4]"));
  BOOST_CHECK_EXCEPTION(reader.read<double>("a/b/reals", {6}), UserError, mentions("expected [6]"));
  std::vector<double> target(6);
  BOOST_CHECK_EXCEPTION(reader.read_into("a/b/reals", {3, 2}, target.data()), UserError, mentions("expected [3, 2]"));
  BOOST_CHECK_EXCEPTION(reader.read<double>("integers"), UserError, mentions("integer values, expected real"));
  BOOST_CHECK_EXCEPTION(reader.read<std::int64_t>("floats"), UserError, mentions("real values, expected integer"));
  BOOST_CHECK_EXCEPTION(reader.read<std::uint8_t>("integers"), UserError, mentions("'integers'", "do not fit"));
  BOOST_CHECK_EXCEPTION(reader.attribute("/", "none"), UserError, mentions(path, "no attribute 'none'"));
  BOOST_CHECK_EXCEPTION(reader.text("/", "count"), UserError, mentions("'count'", "expected text"));
  BOOST_CHECK_EXCEPTION(reader.integer("/", "length"), UserError, mentions("'length'", "expected an integer"));
  BOOST_CHECK_EXCEPTION(reader.real("/", "name"), UserError, mentions("'name'", "expected a number"));
  BOOST_CHECK_EXCEPTION(reader.attributes("none"), UserError, mentions("no object 'none'"));
  BOOST_CHECK_EXCEPTION(reader.members("floats"), UserError, mentions("no group 'floats'"));
}

BOOST_AUTO_TEST_CASE(misuse_of_the_writer_is_our_bug) {
  const TemporaryFolder folder;
  Hdf5Writer writer(folder.file("a.h5"));
  writer.write("x", {6}, six);
  BOOST_CHECK_THROW(writer.write("x", {6}, six), InternalError);
  BOOST_CHECK_THROW(writer.write("y", {5}, six), InternalError);
  BOOST_CHECK_THROW(writer.attribute("none", "unit", "m"), InternalError);
  writer.commit();
  BOOST_CHECK_THROW(writer.write("z", {6}, six), InternalError);
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_are_located) {
  std::vector<double> values = six;
  BOOST_CHECK_NO_THROW(io::require_finite("f.h5", "u", {2, 3}, values));
  values[4] = std::numeric_limits<double>::quiet_NaN();
  BOOST_CHECK_EXCEPTION(io::require_finite("f.h5", "u", {2, 3}, values), UserError,
                        mentions("f.h5", "'u'", "nan, is at [1, 1] of [2, 3]"));
  values[2] = -std::numeric_limits<double>::infinity();
  BOOST_CHECK_EXCEPTION(io::require_finite("f.h5", "u", {2, 3}, values), UserError, mentions("inf, is at [0, 2]"));
}

BOOST_AUTO_TEST_CASE(the_printing_of_other_users_of_hdf5_is_left_as_it_was) {
  const H5E_auto2_t wanted = reinterpret_cast<H5E_auto2_t>(H5Eprint2);
  H5E_auto2_t after = nullptr;
  void* data = nullptr;
  H5Eset_auto2(H5E_DEFAULT, wanted, stderr);
  const TemporaryFolder folder;
  write_example(folder.file("a.h5"));
  BOOST_CHECK_THROW(Hdf5Reader(folder.file("b.h5")), UserError);
  H5Eget_auto2(H5E_DEFAULT, &after, &data);
  BOOST_TEST((after == wanted));
  BOOST_TEST(data == stderr);
}

BOOST_AUTO_TEST_CASE(ranks_read_one_file_at_once, *boost::unit_test::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const int rank = testing::rank_of();
  if (rank == 0) write_example(folder.file("a.h5"));
  MPI_Barrier(MPI_COMM_WORLD);
  const Hdf5Reader reader(folder.file("a.h5"));
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST(reader.read<double>("a/b/reals") == six);
  MPI_Barrier(MPI_COMM_WORLD);
}

BOOST_AUTO_TEST_SUITE_END()
