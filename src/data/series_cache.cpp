#include "espalier/data/series_cache.hpp"

#include <petscsys.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "espalier/core/error.hpp"
#include "espalier/core/progress.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/files.hpp"

namespace espalier::data {

namespace {

io::SeriesOrigin read_origin(const std::string& path, const SeriesRecipe& /*recipe*/) {
  return io::read_series_origin(path);
}
io::SeriesOrigin read_origin(const std::string& path, const GridSeriesRecipe& /*recipe*/) {
  return io::read_grid_series_origin(path);
}
io::SeriesOrigin read_origin(const std::string& path, const DistributedRecipe& /*recipe*/) {
  return io::read_grid_series_origin(path);
}
io::Series read(const std::string& path, const SeriesRecipe& /*recipe*/) { return io::read_series(path); }
io::GridSeries read(const std::string& path, const GridSeriesRecipe& /*recipe*/) { return io::read_grid_series(path); }
void write(const std::string& path, const io::Series& data) { io::write_series(path, data, true); }
void write(const std::string& path, const io::GridSeries& data) { io::write_grid_series(path, data, true); }

void say(const std::string& line) { (void)PetscPrintf(PETSC_COMM_SELF, "%s\n", line.c_str()); }

template <class Data>
Data generate(const Recipe<Data>& recipe, MPI_Comm comm) {
  core::Progress progress(comm, (recipe.title.empty() ? recipe.name : recipe.title) + " data", 100);
  const double started = MPI_Wtime();
  Data series = recipe.generate([&](long done, long total) {
    // Work that is over at once is not worth a line.
    if (MPI_Wtime() - started < 1) return;
    progress.update(100 * done / std::max(1L, total), recipe.note ? recipe.note(done) : "");
  });
  progress.close();
  // Such a file would be generated anew in each run.
  const std::string difference = io::settings_difference(series.settings, recipe.settings);
  ESPALIER_REQUIRE(series.name == recipe.name && difference.empty(),
                   "the recipe of " + recipe.name + " data made the series " + series.name +
                       (difference.empty() ? "" : " with other settings (" + difference + ")") +
                       ": give the series the recipe's name and settings");
  return series;
}

void rename_file(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  ESPALIER_REQUIRE(!error, "cannot rename " + from + " to " + to + ": " + error.message());
}

template <class Data>
void generate_file(const std::string& path, const Recipe<Data>& recipe, MPI_Comm comm) {
  // That a file cannot be written must be known before the work, not after it.
  io::make_folder(io::folder_of(path));
  // Two programs may do this at once: each writes a file of its own, and the last one stays.
  const std::string own = path + "." + std::to_string(::getpid());
  { const io::Hdf5Writer probe(own); }
  write(own, generate(recipe, comm));
  rename_file(own, path);
}

// Whether there is no file with the settings at `path`; throws when another file stands in its place. Says what is to
// be generated.
template <class Recipe>
bool must_generate(const std::string& path, const Recipe& recipe) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    say("Generating " + path);
    return true;
  }
  const io::SeriesOrigin origin = read_origin(path, recipe);
  const std::string difference = io::settings_difference(origin.settings, recipe.settings);
  if (difference.empty()) return false;
  ESPALIER_REQUIRE(origin.cache && origin.name == recipe.name,
                   path + " holds data of other settings (" + difference +
                       ") and is not overwritten: name another file, move this one away, or set these values");
  say("Generating " + path + " anew: " + difference);
  return true;
}

template <class Data>
Data cached(const std::string& path, const Recipe<Data>& recipe, MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  core::agree(comm, [&] {
    if (rank == 0 && must_generate(path, recipe)) generate_file(path, recipe, comm);
  });
  Data data;
  core::agree(comm, [&] {
    data = read(path, recipe);
    const std::string difference = io::settings_difference(data.settings, recipe.settings);
    ESPALIER_REQUIRE(difference.empty(), path + " was replaced by another program meanwhile (" + difference +
                                             "): give each program a data folder of its own");
  });
  return data;
}

}  // namespace

io::Series cached_series(const std::string& path, const SeriesRecipe& recipe, MPI_Comm comm) {
  return cached(path, recipe, comm);
}

io::GridSeries cached_series(const std::string& path, const GridSeriesRecipe& recipe, MPI_Comm comm) {
  return cached(path, recipe, comm);
}

void cached_file(const std::string& path, const DistributedRecipe& recipe, MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  // Two programs may do this at once: each writes a file of its own, and the last one stays.
  long own = 0;
  core::agree(comm, [&] {
    if (rank != 0) return;
    io::make_folder(io::folder_of(path));
    if (must_generate(path, recipe)) own = ::getpid();
  });
  MPI_Bcast(&own, 1, MPI_LONG, 0, comm);
  if (own == 0) return;
  core::Progress progress(comm, recipe.name + " data", 100);
  const std::string part = path + "." + std::to_string(own);
  recipe.generate(part, [&](long done, long total) { progress.update(100 * done / std::max(1L, total), ""); });
  progress.close();
  core::agree(comm, [&] {
    if (rank == 0) rename_file(part, path);
  });
}

}  // namespace espalier::data
