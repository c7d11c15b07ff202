// A network of the fields in one cell, applied in every cell.
#pragma once

#include <memory>
#include <string>

#include "espalier/nn/network.hpp"

namespace espalier::nn {

/// y(x) = g(t, u(x)) in each cell x: a row of u holds [g.inputs(), cells], of y [g.outputs(), cells]. Ranks with parts
/// of a grid need nothing from each other, so nothing is collective; a rank's gradient is its part of a sum over the
/// ranks. Memory: the fields of the cells are laid out anew for g, once each way.
class PointwiseNetwork : public Network {
 public:
  /// `cells` of this rank. Throws UserError when there are none.
  PointwiseNetwork(std::shared_ptr<Network> in_cell, std::int64_t cells);

  std::int64_t inputs() const override { return in_cell_->inputs() * cells_; }
  std::int64_t outputs() const override { return in_cell_->outputs() * cells_; }
  void forward(double t, const at::Tensor& u, const at::Tensor& y) override;
  std::unique_ptr<Tape> record(double t, const at::Tensor& u, const at::Tensor& y) override;
  std::size_t tape_bytes(std::int64_t samples) const override;
  FlatParameters& parameters() override { return in_cell_->parameters(); }
  std::string fingerprint() const override { return "pointwise " + in_cell_->fingerprint(); }

 private:
  std::shared_ptr<Network> in_cell_;
  std::int64_t cells_;
};

}  // namespace espalier::nn
