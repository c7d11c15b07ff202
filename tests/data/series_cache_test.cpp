#include "espalier/data/series_cache.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/data/kuramoto_sivashinsky.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using testing::mentions;
using testing::TemporaryFolder;
namespace utf = boost::unit_test;

namespace {

data::KuramotoSivashinskySettings short_run() {
  data::KuramotoSivashinskySettings settings;
  settings.transient = 1;
  settings.count = 5;
  return settings;
}

// Two states of one value.
io::Series example(const io::Attributes& settings) {
  io::Series series;
  series.name = "example";
  series.times = {0, 1};
  series.coordinates = {0};
  series.states = {3, 4};
  series.dof = 1;
  series.settings = settings;
  return series;
}

// Puts a file there from rank 0.
template <class Write>
void place(Write write) {
  const int rank = testing::rank_of();
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) write();
  MPI_Barrier(MPI_COMM_WORLD);
}

// The call fails with the words on every rank, and the file stays as it was.
template <class... Words>
void check_refused(const std::string& path, Words... words) {
  const std::string before = testing::contents(path);
  BOOST_CHECK_EXCEPTION(data::cached_series(path, short_run(), MPI_COMM_WORLD), UserError, mentions(path, words...));
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST((testing::contents(path) == before));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(data_series_cache, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(generated_once_and_then_read, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("made/here/ks.h5");
  const io::Series first = data::cached_series(path, short_run(), MPI_COMM_WORLD);
  BOOST_TEST((first.states == data::generate_kuramoto_sivashinsky(short_run()).states));
  BOOST_TEST(first.settings.size() == data::attributes(short_run()).size());
  // A second run reads: it would not bring back a value that is changed here.
  place([&] {
    io::Series changed = first;
    changed.states[0] = 42;
    io::write_series(path, changed, true);
  });
  BOOST_TEST(data::cached_series(path, short_run(), MPI_COMM_WORLD).states[0] == 42.0);
  BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.file("made/here")), {}) == 1);
}

BOOST_AUTO_TEST_CASE(our_own_file_of_other_settings_is_replaced, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("ks.h5");
  data::KuramotoSivashinskySettings other = short_run();
  other.seed = 3;
  data::cached_series(path, other, MPI_COMM_WORLD);
  const io::Series series = data::cached_series(path, short_run(), MPI_COMM_WORLD);
  BOOST_TEST((series.states == data::generate_kuramoto_sivashinsky(short_run()).states));
}

BOOST_AUTO_TEST_CASE(a_file_of_the_user_is_never_overwritten, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("mine.h5");
  const io::Series series = data::generate_kuramoto_sivashinsky(short_run());
  place([&] { io::write_series(path, series); });
  BOOST_TEST((data::cached_series(path, short_run(), MPI_COMM_WORLD).states == series.states));
  place([&] {
    data::KuramotoSivashinskySettings other = short_run();
    other.length = 20;
    io::write_series(path, data::generate_kuramoto_sivashinsky(other));
  });
  check_refused(path, "length: 20 instead of 22", "not overwritten");
}

BOOST_AUTO_TEST_CASE(foreign_and_damaged_files_are_refused, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("ks.h5");
  place([&] { testing::put(path, "not HDF5"); });
  check_refused(path, "not an HDF5 file");
  place([&] {
    io::Hdf5Writer writer(path);
    writer.write("u", {1}, std::vector<double>{1});
    writer.commit();
  });
  check_refused(path, "not a series of states");
  place([&] {
    io::Series series = data::generate_kuramoto_sivashinsky(short_run());
    series.name = "burgers";
    series.settings = {{"generator", "burgers"}};
    io::write_series(path, series, true);
  });
  check_refused(path, "generator: burgers instead of kuramoto_sivashinsky");
  for (const double part : {0.2, 0.8}) {
    place([&] {
      io::write_series(path, data::generate_kuramoto_sivashinsky(short_run()), true);
      testing::truncate(path, part);
    });
    check_refused(path, "damaged");
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_done_fails_on_all_ranks, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  place([&] { testing::put(folder.file("plain"), "x"); });
  BOOST_CHECK_EXCEPTION(data::cached_series(folder.file("plain/ks.h5"), short_run(), MPI_COMM_WORLD), UserError,
                        mentions("plain", "Not a directory"));
  data::KuramotoSivashinskySettings wrong = short_run();
  wrong.step = 0.03;
  BOOST_CHECK_EXCEPTION(data::cached_series(folder.file("ks.h5"), wrong, MPI_COMM_WORLD), UserError,
                        mentions("no multiple of the step"));
  BOOST_TEST(folder.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_recipe_is_followed_once_and_on_one_rank, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("series.h5");
  const int rank = testing::rank_of();
  int calls = 0;
  const data::SeriesRecipe recipe = {"example", {{"points", 1}}, [&](const data::ProgressCallback& progress) {
                                       ++calls;
                                       progress(1, 2);
                                       return example({{"points", 1}});
                                     }};
  for (int run = 0; run < 2; ++run) {
    BOOST_TEST((data::cached_series(path, recipe, MPI_COMM_WORLD).states == std::vector<double>{3, 4}));
    BOOST_TEST(calls == (rank == 0 ? 1 : 0));
  }
}

BOOST_AUTO_TEST_CASE(a_recipe_that_makes_another_series_is_refused, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const auto refused = [&](const data::SeriesRecipe& recipe, const char* words) {
    BOOST_CHECK_EXCEPTION(data::cached_series(folder.file("series.h5"), recipe, MPI_COMM_WORLD), UserError,
                          mentions("recipe of " + recipe.name, words));
    MPI_Barrier(MPI_COMM_WORLD);
    BOOST_TEST(folder.size() == 0u);
    MPI_Barrier(MPI_COMM_WORLD);
  };
  const auto make = [](const data::ProgressCallback&) { return example({{"points", 1}}); };
  refused({"example", {{"points", 2}}, make}, "points: 1 instead of 2");
  refused({"other", {{"points", 1}}, make}, "made the series example");
  const auto fail = [](const data::ProgressCallback&) -> io::Series {
    throw NumericalError("not finite at time 3", __FILE__, __LINE__);
  };
  BOOST_CHECK_EXCEPTION(data::cached_series(folder.file("series.h5"), {"failing", {}, fail}, MPI_COMM_WORLD),
                        NumericalError, mentions("at time 3"));
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST(folder.size() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
