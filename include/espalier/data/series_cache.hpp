// The file that keeps a generated series from one run to the next.
#pragma once

#include <mpi.h>

#include <functional>
#include <string>

#include "espalier/io/grid_series.hpp"
#include "espalier/io/series.hpp"

namespace espalier::data {

/// Called now and then with the steps done and the steps in all.
using ProgressCallback = std::function<void(long done, long total)>;

/// How data are made, and by what their file is recognised.
template <class Data>
struct Recipe {
  std::string name;         ///< of the data, such as "burgers"
  io::Attributes settings;  ///< all that their values depend on
  /// Makes the data with this name and these settings. Called on rank 0 only.
  std::function<Data(const ProgressCallback&)> generate;
  std::string title = {};                           ///< before the progress, such as "Burgers"; empty: the name
  std::function<std::string(long done)> note = {};  ///< behind the progress, such as "time 20"; may be empty
};
using SeriesRecipe = Recipe<io::Series>;
using GridSeriesRecipe = Recipe<io::GridSeries>;

/// The data of the recipe from the file `path`, which is generated on first use, and generated anew, with a printed
/// line, when its settings differ. Collective on `comm`, with the same recipe on all ranks: rank 0 looks, generates and
/// writes (the folder too), then every rank reads. Only a file that this function wrote, for data of the same name, is
/// ever overwritten. Throws UserError on all ranks together if the file is damaged, holds no such data, has other
/// settings and was not written here, or cannot be written, or if the recipe makes data that are not its own; a
/// NumericalError of the generator comes from all ranks too.
io::Series cached_series(const std::string& path, const SeriesRecipe& recipe, MPI_Comm comm);
io::GridSeries cached_series(const std::string& path, const GridSeriesRecipe& recipe, MPI_Comm comm);

/// How a grid series is made by all ranks together, which write it by slab (io::GridSeriesWriter).
struct DistributedRecipe {
  std::string name;         ///< of the data
  io::Attributes settings;  ///< all that their values depend on
  /// Makes the file, with this name and these settings, as a cache. Collective on the communicator of cached_file().
  std::function<void(const std::string& path, const ProgressCallback&)> generate;
};

/// Leaves the data of the recipe in the file `path`, by the rules of cached_series(), and reads nothing. Collective on
/// `comm`.
void cached_file(const std::string& path, const DistributedRecipe& recipe, MPI_Comm comm);

}  // namespace espalier::data
