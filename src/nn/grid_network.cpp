#include "espalier/nn/grid_network.hpp"

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/nn/pointwise_network.hpp"

namespace espalier::nn {

namespace {

// In the order of the enumeration: the first ones for whole states, the last ones for distributed grids.
const std::vector<std::string> kind_names = {"mlp", "resnet", "unet", "pointwise"};

std::int64_t entries(std::int64_t channels, const std::vector<std::int64_t>& cells) {
  for (const std::int64_t n : cells) channels *= n;
  return channels;
}

}  // namespace

void GridNetworkSettings::read(MPI_Comm comm) {
  core::read_options(comm, "Network", [&](core::OptionReader& o) {
    kind = static_cast<GridNetworkKind>(o.choice("-network_type", "layers between all cells, or convolutions",
                                                 {kind_names.begin(), kind_names.begin() + 2},
                                                 static_cast<std::size_t>(kind)));
  });
  // Both kinds' options are known, so that one options file serves either.
  resnet.read(comm);
  // Hidden layers are the user's, the ends the grid's.
  std::vector<std::int64_t> widths = {entries(resnet.channels_in, resnet.cells)};
  widths.insert(widths.end(), mlp.widths.begin(), mlp.widths.end());
  widths.push_back(entries(resnet.channels_out, resnet.cells));
  mlp.widths = widths;
  mlp.read(comm);
}

void GridNetworkSettings::read_for_grid(MPI_Comm comm, bool periodic) {
  if (kind == GridNetworkKind::mlp) kind = GridNetworkKind::resnet;
  core::read_options(comm, "Network", [&](core::OptionReader& o) {
    const std::vector<std::string> kinds = {kind_names.begin() + 1, kind_names.end()};
    kind = static_cast<GridNetworkKind>(
        1 + o.choice("-network_type", "convolutions, the same on several grids, or of each cell by itself", kinds,
                     static_cast<std::size_t>(kind) - 1));
    levels = o.integer("-network_levels", "how often a U-net halves the grid", static_cast<PetscInt>(levels), 1, 15);
    exchange = static_cast<HaloExchange>(
        o.choice("-network_halo", "exchange cells with other ranks before each layer, or once for all of them",
                 halo_exchange_names(), static_cast<std::size_t>(exchange)));
    if (periodic) return;
    const auto padding =
        resnet.boundary == ResnetBoundary::circular ? 0 : static_cast<std::size_t>(resnet.boundary) - 1;
    resnet.boundary = static_cast<ResnetBoundary>(1 + o.choice("-network_padding",
                                                               "what the network sees beyond the ends of the grid",
                                                               grid::padding_names(), padding));
  });
  resnet.read(comm);
  mlp.widths.insert(mlp.widths.begin(), resnet.channels_in);
  mlp.widths.push_back(resnet.channels_out);
  mlp.read(comm);
}

std::shared_ptr<Network> GridNetworkSettings::make(bool allow_single) const {
  if (kind == GridNetworkKind::resnet) {
    ResnetSettings settings = resnet;
    settings.single_precision = settings.single_precision && allow_single;
    return std::make_shared<Resnet>(settings);
  }
  ESPALIER_REQUIRE(kind == GridNetworkKind::mlp, "-network_type " + kind_names[static_cast<std::size_t>(kind)] +
                                                     " is for states on a distributed grid");
  MlpSettings settings = mlp;
  settings.single_precision = settings.single_precision && allow_single;
  return std::make_shared<Mlp>(settings);
}

std::shared_ptr<Network> GridNetworkSettings::make(std::shared_ptr<const grid::CellGrid> grid,
                                                   bool allow_single) const {
  ESPALIER_REQUIRE(kind != GridNetworkKind::mlp,
                   "-network_type mlp needs whole states: on a distributed grid choose resnet, unet or pointwise");
  const bool single = resnet.single_precision && allow_single;
  if (kind == GridNetworkKind::pointwise) {
    MlpSettings settings = mlp;
    settings.single_precision = settings.single_precision && allow_single;
    return std::make_shared<PointwiseNetwork>(std::make_shared<Mlp>(settings), grid->local_cells());
  }
  if (kind == GridNetworkKind::unet)
    return std::make_shared<Unet>(UnetSettings{resnet.channels_in, resnet.channels_out, resnet.hidden, levels,
                                               resnet.boundary, exchange, single, resnet.seed},
                                  std::move(grid));
  ResnetSettings settings = resnet;
  settings.single_precision = single;
  return std::make_shared<Resnet>(settings, std::move(grid), exchange);
}

}  // namespace espalier::nn
