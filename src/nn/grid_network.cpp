#include "espalier/nn/grid_network.hpp"

#include "espalier/core/options.hpp"

namespace espalier::nn {

namespace {

const std::vector<std::string> kind_names = {"mlp", "resnet"};

std::int64_t entries(std::int64_t channels, const std::vector<std::int64_t>& cells) {
  for (const std::int64_t n : cells) channels *= n;
  return channels;
}

}  // namespace

void GridNetworkSettings::read(MPI_Comm comm) {
  core::read_options(comm, "Network", [&](core::OptionReader& o) {
    kind = static_cast<GridNetworkKind>(o.choice("-network_type", "layers between all cells, or convolutions",
                                                 kind_names, static_cast<std::size_t>(kind)));
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

std::shared_ptr<Network> GridNetworkSettings::make(bool allow_single) const {
  if (kind == GridNetworkKind::resnet) {
    ResnetSettings settings = resnet;
    settings.single_precision = settings.single_precision && allow_single;
    return std::make_shared<Resnet>(settings);
  }
  MlpSettings settings = mlp;
  settings.single_precision = settings.single_precision && allow_single;
  return std::make_shared<Mlp>(settings);
}

}  // namespace espalier::nn
