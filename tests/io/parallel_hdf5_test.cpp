#include "espalier/io/parallel_hdf5.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <limits>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using io::Hdf5Reader;
using io::Hdf5Writer;
using io::ParallelHdf5Reader;
using io::ParallelHdf5Writer;
using io::Shape;
using io::Slab;
using testing::mentions;
using testing::TemporaryFolder;
namespace utf = boost::unit_test;

namespace {

const Shape grid = {3, 5, 4};

// This rank's rows of the middle axis; with more ranks than rows some have none.
Slab my_part(MPI_Comm comm, const Shape& shape = grid) {
  const auto rank = static_cast<std::size_t>(testing::rank_of(comm));
  const auto size = static_cast<std::size_t>(testing::size_of(comm));
  const std::size_t begin = shape[1] * rank / size;
  const std::size_t end = shape[1] * (rank + 1) / size;
  return {{0, begin, 0}, {shape[0], end - begin, shape[2]}};
}

// The value at each place of a slab tells the place.
template <class T>
std::vector<T> values_of(const Slab& slab, const Shape& shape = grid) {
  std::vector<T> values;
  for (std::size_t i = 0; i < slab.count[0]; ++i)
    for (std::size_t j = 0; j < slab.count[1]; ++j)
      for (std::size_t k = 0; k < slab.count[2]; ++k)
        values.push_back(
            static_cast<T>(((slab.offset[0] + i) * shape[1] + slab.offset[1] + j) * shape[2] + slab.offset[2] + k) /
            T(7));
  return values;
}

template <class T>
void write_part(ParallelHdf5Writer& writer, const std::string& name, const Slab& part) {
  writer.write_slab(name, part.offset, part.count, values_of<T>(part).data());
}

void write_example(MPI_Comm comm, const std::string& path, std::size_t piece_bytes = io::default_piece_bytes) {
  ParallelHdf5Writer writer(comm, path, piece_bytes);
  writer.attributes("/", {{"name", "example"}, {"count", 3}, {"length", 0.1}});
  writer.write("x", {4}, std::vector<double>{1, 2, 3, 4});
  writer.create<double>("fields/reals", grid);
  writer.create<float>("floats", grid);
  writer.create<std::int64_t>("/integers", grid);
  writer.create<double>("empty", {0, 3});
  writer.attribute("fields/reals", "unit", "m/s");
  writer.group("settings");
  writer.attribute("settings", "seed", 7);
  writer.attribute("settings", "seed", 8);
  const Slab part = my_part(comm);
  // One plane after the other, as a generator does.
  for (std::size_t plane = 0; plane < grid[0]; ++plane)
    write_part<double>(writer, "fields/reals", {{plane, part.offset[1], 0}, {1, part.count[1], grid[2]}});
  write_part<float>(writer, "floats", part);
  write_part<std::int64_t>(writer, "integers", part);
  writer.commit();
}

const Slab whole = {{0, 0, 0}, grid};

void check_example(const std::string& path) {
  const Hdf5Reader reader(path);
  BOOST_TEST(reader.read<double>("fields/reals", grid) == values_of<double>(whole));
  BOOST_TEST(reader.read<float>("floats", grid) == values_of<float>(whole));
  BOOST_TEST(reader.read<std::int64_t>("integers", grid) == values_of<std::int64_t>(whole));
  BOOST_TEST(reader.read<double>("x") == (std::vector<double>{1, 2, 3, 4}));
  BOOST_TEST(reader.shape("empty") == (Shape{0, 3}));
  BOOST_TEST((reader.attributes("/") == io::Attributes{{"count", 3}, {"length", 0.1}, {"name", "example"}}));
  BOOST_TEST(reader.text("fields/reals", "unit") == "m/s");
  BOOST_TEST(reader.integer("settings", "seed") == 8);
}

void check_slabs(MPI_Comm comm, const std::string& path, std::size_t piece_bytes = io::default_piece_bytes) {
  const ParallelHdf5Reader reader(comm, path, piece_bytes);
  const Slab part = my_part(comm);
  BOOST_TEST(reader.shape("floats") == grid);
  BOOST_TEST(reader.read_slab<double>("fields/reals", part.offset, part.count) == values_of<double>(part));
  BOOST_TEST(reader.read_slab<float>("floats", part.offset, part.count) == values_of<float>(part));
  BOOST_TEST(reader.read_slab<std::int64_t>("integers", part.offset, part.count) == values_of<std::int64_t>(part));
  const std::vector<float> narrow = values_of<float>(part);
  BOOST_TEST(reader.read_slab<double>("floats", part.offset, part.count) ==
             std::vector<double>(narrow.begin(), narrow.end()));
  BOOST_TEST((reader.attribute("settings", "seed") == io::Attribute(std::int64_t(8))));
  BOOST_TEST(reader.attributes("/").size() == 3U);
  BOOST_TEST(reader.file().text("/", "name") == "example");
}

/// The first `ranks` ranks of the world; null for the others.
class FirstRanks {
 public:
  explicit FirstRanks(int ranks) {
    MPI_Comm_split(MPI_COMM_WORLD, testing::rank_of() < ranks ? 0 : MPI_UNDEFINED, 0, &comm_);
  }
  ~FirstRanks() {
    if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  }
  FirstRanks(const FirstRanks&) = delete;
  FirstRanks& operator=(const FirstRanks&) = delete;
  MPI_Comm get() const { return comm_; }
  explicit operator bool() const { return comm_ != MPI_COMM_NULL; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

bool last_rank() { return testing::rank_of() == testing::size_of() - 1; }

}  // namespace

BOOST_AUTO_TEST_SUITE(io_parallel_hdf5, *utf::label("distributed") * utf::label("np1") * utf::label("np2") *
                                            utf::label("np3") * utf::label("np4") * utf::label("np6"))

BOOST_AUTO_TEST_CASE(what_was_written_is_read) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  write_example(MPI_COMM_WORLD, folder.file("a.h5"));
  BOOST_TEST(folder.size() == 1U);
  check_example(folder.file("a.h5"));
  check_slabs(MPI_COMM_WORLD, folder.file("a.h5"));
}

BOOST_AUTO_TEST_CASE(slabs_go_in_pieces) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  for (const std::size_t bytes : {33U, 200U}) {
    write_example(MPI_COMM_WORLD, folder.file("a.h5"), bytes);
    check_example(folder.file("a.h5"));
    check_slabs(MPI_COMM_WORLD, folder.file("a.h5"), bytes);
    MPI_Barrier(MPI_COMM_WORLD);
  }
}

// Boxes in all axes, in an order that is not that of the file, and ranks without any.
BOOST_AUTO_TEST_CASE(boxes_and_empty_slabs) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const int size = testing::size_of();
  const auto owner = [size](int box) { return (3 * box + 1) % size; };
  ParallelHdf5Writer writer(MPI_COMM_WORLD, folder.file("a.h5"));
  writer.create<double>("x", grid);
  for (int box = 0; box < 4; ++box) {
    const std::size_t j = box % 2 == 0 ? 2 : 0;
    const std::size_t k = box / 2 == 0 ? 1 : 0;
    const bool mine = testing::rank_of() == owner(box);
    const Slab slab = {{0, j, k}, {mine ? grid[0] : 0, j == 2 ? 3U : 2U, k == 1 ? 3U : 1U}};
    const std::vector<double> values = values_of<double>(slab);
    writer.write_slab("x", slab.offset, slab.count, mine ? values.data() : nullptr);
  }
  writer.commit();
  const ParallelHdf5Reader reader(MPI_COMM_WORLD, folder.file("a.h5"));
  BOOST_TEST(reader.read_slab<double>("x", whole.offset, whole.count) == values_of<double>(whole));
  const Slab inner = {{1, 1, 2}, {2, 3, last_rank() ? 0U : 2U}};
  BOOST_TEST(reader.read_slab<double>("x", inner.offset, inner.count) == values_of<double>(inner));
  BOOST_TEST(reader.read_slab<double>("x", {3, 5, 4}, {0, 0, 0}).empty());
}

BOOST_AUTO_TEST_CASE(files_do_not_depend_on_the_number_of_ranks) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const int size = testing::size_of();
  const std::string reference = folder.file("np1.h5");
  for (const int writers : {1, 2, 3, 4, 6}) {
    if (writers > size) continue;
    const FirstRanks some(writers);
    const std::string path = folder.file("np" + std::to_string(writers) + ".h5");
    if (some) write_example(some.get(), path);
    MPI_Barrier(MPI_COMM_WORLD);
    check_example(path);
    BOOST_TEST((testing::contents(path) == testing::contents(reference)), "bytes of " << path);
    for (const int readers : {1, 2, 3, 4, 6}) {
      const FirstRanks others(readers);
      if (others && readers <= size && writers == 2) check_slabs(others.get(), path);
    }
  }
}

BOOST_AUTO_TEST_CASE(serial_files_are_read_by_slab) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  core::agree(MPI_COMM_WORLD, [&] {
    if (testing::rank_of() != 0) return;
    Hdf5Writer writer(folder.file("a.h5"));
    writer.write("g/x", grid, values_of<double>(whole));
    writer.commit();
  });
  const ParallelHdf5Reader reader(MPI_COMM_WORLD, folder.file("a.h5"));
  const Slab part = my_part(MPI_COMM_WORLD);
  BOOST_TEST(reader.read_slab<double>("g/x", part.offset, part.count) == values_of<double>(part));
}

BOOST_AUTO_TEST_CASE(incomplete_files_are_refused_and_leave_the_old_one) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("a.h5");
  write_example(MPI_COMM_WORLD, path);
  const std::string before = testing::contents(path);
  const auto write_twice = [&](bool last_row, bool twice) {
    ParallelHdf5Writer writer(MPI_COMM_WORLD, path);
    writer.create<double>("x", grid);
    Slab part = my_part(MPI_COMM_WORLD);
    if (twice) write_part<double>(writer, "x", part);
    if (!last_row && last_rank()) --part.count[1];
    write_part<double>(writer, "x", part);
    writer.commit();
  };
  BOOST_CHECK_EXCEPTION(write_twice(false, false), UserError, mentions(path, "'x'", "48 of 60", "make up the whole"));
  BOOST_CHECK_EXCEPTION(write_twice(true, true), UserError, mentions(path, "'x'", "120 of 60", "overlap"));
  {
    ParallelHdf5Writer writer(MPI_COMM_WORLD, path);  // and no commit
    writer.create<double>("x", grid);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST((testing::contents(path) == before));
  BOOST_TEST(folder.size() == 1U);
}

// As many values as there are places: only the values on disk tell.
BOOST_AUTO_TEST_CASE(overlapping_slabs_are_found) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const auto write = [&](bool read_back) {
    ParallelHdf5Writer writer(MPI_COMM_WORLD, folder.file("a.h5"));
    writer.create<float>("x", {4});
    for (const std::size_t offset : {0U, 1U}) {
      const std::vector<float> values = {1.0F + static_cast<float>(offset), 3};
      writer.write_slab("x", {offset}, {testing::rank_of() == 0 ? 2U : 0U}, values.data());
    }
    writer.commit(read_back);
  };
  BOOST_CHECK_EXCEPTION(write(true), UserError, mentions("a.h5", "'x'", "on disk", "overlap"));
  BOOST_TEST(folder.size() == 0U);
  write(false);
  BOOST_TEST(folder.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_slab_outside_on_one_rank_is_an_error_of_all) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("a.h5");
  write_example(MPI_COMM_WORLD, path);
  const std::size_t beyond = last_rank() ? 1 : 0;
  constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();
  const std::vector<double> values(60);
  ParallelHdf5Writer writer(MPI_COMM_WORLD, path);
  writer.create<double>("x", grid);
  const auto write = [&](const Shape& offset, const Shape& count) {
    writer.write_slab("x", offset, count, values.data());
  };
  BOOST_CHECK_EXCEPTION(write({0, 0, 4 + beyond}, {1, 1, 0}), UserError, mentions(path, "[0, 0, 5]", "[3, 5, 4]"));
  BOOST_CHECK_EXCEPTION(write({0, 5, 0}, {1, beyond, 1}), UserError, mentions("[0, 5, 0]", "not inside"));
  BOOST_CHECK_EXCEPTION(write({0, 1, 0}, {1, beyond * huge, 1}), UserError, mentions("not inside"));
  BOOST_CHECK_EXCEPTION(write({0, 0}, {0, 0}), UserError, mentions("[0, 0]", "axes"));
  // The writer is as good as before.
  const Slab part = my_part(MPI_COMM_WORLD);
  write_part<double>(writer, "x", part);
  writer.commit();
  const ParallelHdf5Reader reader(MPI_COMM_WORLD, path);
  BOOST_CHECK_EXCEPTION((reader.read_slab<double>("x", {0, 0, 1}, {3, 5, 3 + beyond})), UserError,
                        mentions(path, "'x'", "[3, 5, 4]", "not inside"));
  std::vector<double> target(60);
  BOOST_CHECK_EXCEPTION(reader.read_slab("x", {0, beyond, 0}, {3, 5, 4}, target.data()), UserError,
                        mentions("[0, 1, 0]", "not inside"));
  BOOST_TEST(reader.read_slab<double>("x", part.offset, part.count) == values_of<double>(part));
}

BOOST_AUTO_TEST_CASE(ranks_that_make_different_calls_are_told) {
  if (testing::size_of() == 1) return;
  const TemporaryFolder folder(MPI_COMM_WORLD);
  ParallelHdf5Writer writer(MPI_COMM_WORLD, folder.file("a.h5"));
  const std::size_t mine = last_rank() ? 1 : 0;
  BOOST_CHECK_EXCEPTION(writer.create<double>("x", {4 + mine}), InternalError, mentions("same calls", "create of 'x'"));
  BOOST_CHECK_THROW(writer.attribute("/", "a", static_cast<std::int64_t>(mine)), InternalError);
  BOOST_CHECK_THROW(writer.write("y", {1}, std::vector<double>{static_cast<double>(mine)}), InternalError);
  BOOST_CHECK_THROW(mine == 1 ? writer.commit() : writer.group("g"), InternalError);
}

BOOST_AUTO_TEST_CASE(calls_that_make_no_sense_are_refused) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  ParallelHdf5Writer writer(MPI_COMM_WORLD, folder.file("a.h5"));
  writer.create<double>("x", {2});
  BOOST_CHECK_THROW(writer.create<double>("x", {2}), InternalError);
  BOOST_CHECK_THROW(writer.create<double>("scalar", {}), InternalError);
  BOOST_CHECK_THROW(writer.write_slab<double>("y", {0}, {0}, nullptr), InternalError);
  BOOST_CHECK_THROW(writer.write_slab<float>("x", {0}, {0}, nullptr), InternalError);
  BOOST_CHECK_THROW(writer.write_slab<double>("x", {0}, {2}, nullptr), InternalError);
  BOOST_CHECK_THROW(writer.attribute("z", "a", 1), InternalError);
  BOOST_CHECK_THROW(writer.write("y", {2}, std::vector<double>{1}), InternalError);
  writer.write_slab("x", {0}, {testing::rank_of() == 0 ? 2U : 0U}, values_of<double>(whole).data());
  writer.commit();
  BOOST_CHECK_THROW(writer.group("g"), InternalError);
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_written_are_explained) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const auto write = [&](const std::string& path) { ParallelHdf5Writer(MPI_COMM_WORLD, path); };
  BOOST_CHECK_EXCEPTION(write(folder.file("none/a.h5")), UserError, mentions("none/a.h5", "No such file"));
  BOOST_CHECK_EXCEPTION(write(folder.path()), UserError, mentions(folder.path(), "it is a folder"));
  ParallelHdf5Writer first(MPI_COMM_WORLD, folder.file("a.h5"));
  BOOST_CHECK_EXCEPTION(write(folder.file("a.h5")), UserError, mentions("another writer"));
  first.commit();
  BOOST_TEST(folder.size() == 1U);
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_read_are_explained) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("a.h5");
  write_example(MPI_COMM_WORLD, path);
  const auto read = [](const std::string& name) { ParallelHdf5Reader(MPI_COMM_WORLD, name); };
  BOOST_CHECK_EXCEPTION(read(folder.file("none.h5")), UserError, mentions("none.h5", "No such file"));
  BOOST_CHECK_EXCEPTION(read(folder.path()), UserError, mentions("it is a folder"));
  const auto on_one_rank = [](const auto& change) {
    core::agree(MPI_COMM_WORLD, [&] {
      if (testing::rank_of() == 0) change();
    });
  };
  on_one_rank([&] { testing::put(folder.file("text.h5"), "no HDF5 at all"); });
  BOOST_CHECK_EXCEPTION(read(folder.file("text.h5")), UserError, mentions("text.h5", "not an HDF5 file"));
  on_one_rank([&] { testing::put(folder.file("part.h5"), testing::contents(path)); });
  on_one_rank([&] { testing::truncate(folder.file("part.h5"), 0.6); });
  BOOST_CHECK_EXCEPTION(read(folder.file("part.h5")), UserError, mentions("part.h5", "damaged", "truncated"));

  const ParallelHdf5Reader reader(MPI_COMM_WORLD, path);
  BOOST_CHECK_EXCEPTION((reader.read_slab<double>("reals", {0}, {0})), UserError,
                        mentions(path, "no data set 'reals'", "fields", "right kind"));
  BOOST_CHECK_EXCEPTION(reader.shape("fields/real"), UserError, mentions("'fields/real'", "in 'fields': reals"));
  BOOST_CHECK_EXCEPTION(reader.shape("floats", {3, io::any_extent, 5}), UserError,
                        mentions("[3, 5, 4]", "expected [3, any, 5]"));
  std::vector<std::int64_t> integers(60);
  BOOST_CHECK_EXCEPTION(reader.read_slab("floats", whole.offset, whole.count, integers.data()), UserError,
                        mentions("'floats'", "holds real values", "integer"));
  BOOST_CHECK_EXCEPTION(reader.attribute("/", "nothing"), UserError, mentions("no attribute 'nothing'"));
  BOOST_CHECK_EXCEPTION(reader.attributes("nothing"), UserError, mentions("no object 'nothing'"));
}

BOOST_AUTO_TEST_CASE(integers_that_do_not_fit_are_refused_on_all_ranks) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  ParallelHdf5Writer writer(MPI_COMM_WORLD, folder.file("a.h5"));
  writer.write("wide", {2}, std::vector<double>{1e300, 1});
  writer.commit();
  const ParallelHdf5Reader reader(MPI_COMM_WORLD, folder.file("a.h5"));
  const bool mine = testing::rank_of() == 0;  // the others read what fits
  std::vector<float> narrow(1);
  BOOST_CHECK_EXCEPTION(reader.read_slab("wide", {mine ? 0U : 1U}, {1}, narrow.data()), UserError,
                        mentions("'wide'", "do not fit the 32-bit type"));
}

BOOST_AUTO_TEST_CASE(a_full_disk_leaves_the_old_file) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("a.h5");
  write_example(MPI_COMM_WORLD, path);
  const std::string before = testing::contents(path);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit limit{1 << 16, old_limit.rlim_max};
  const auto write_much = [&](bool late) {
    ParallelHdf5Writer writer(MPI_COMM_WORLD, path);
    if (!late) setrlimit(RLIMIT_FSIZE, &limit);
    writer.create<double>("x", {1 << 12, 5, 4});
    if (late) setrlimit(RLIMIT_FSIZE, &limit);
    const Slab part = my_part(MPI_COMM_WORLD, {1 << 12, 5, 4});
    writer.write_slab("x", part.offset, part.count, std::vector<double>(io::elements(part.count), 1.5).data());
    writer.commit();
  };
  BOOST_CHECK_EXCEPTION(write_much(false), UserError, mentions(path, "File too large", "make room"));
  setrlimit(RLIMIT_FSIZE, &old_limit);
  BOOST_CHECK_EXCEPTION(write_much(true), UserError, mentions(path, "make room"));
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST((testing::contents(path) == before));
  BOOST_TEST(folder.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
