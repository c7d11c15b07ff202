// Ghost cells of the fields inside a network, exchanged between the ranks as a node of torch's graph.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "espalier/grid/cell_grid.hpp"

namespace espalier::grid {

/// What a network sees beyond an end of an axis that is not periodic.
enum class Padding {
  zero,      ///< zeros: homogeneous Dirichlet values
  reflect,   ///< the mirror image in the last cell's centre: u_(-1) = u_1
  replicate  ///< the last cell's value
};

/// The names for options, in the order of the enumeration.
const std::vector<std::string>& padding_names();

/// At which sides of a rank's part ghost cells are added.
enum class Sides {
  all,
  remote,  ///< where another rank's part begins
  local    ///< the others: ends of the grid, and periodic axes that are not divided
};

/// What a rank has sent since construction.
struct HaloTraffic {
  std::int64_t messages = 0;
  std::int64_t bytes = 0;
};

/// Adds ghost cells to fields [samples, channels, (z,) y, x] of this rank's part of a grid, corners and edges included,
/// so that a convolution of them has the values that it has on one rank. Along a periodic axis the ghosts are the cells
/// of the other end, beyond other ends those of a Padding. The backward pass sends the ghosts' cotangents to the cells
/// that they are copies of and adds them there; both directions can be differentiated again.
///
/// Axes are filled one after another, those filled before with their ghosts, and ghosts of other ranks before the
/// others: a rank receives each ghost cell once that another rank owns and nothing else, in at most two messages per
/// axis.
///
/// No deadlock: within an exchange all sends and receives are posted before any is waited for, so an exchange ends
/// when the neighbours have come to it. Ranks come to exchanges in the same order, because they build the same graph
/// and torch's engine runs the nodes of one device in one thread, of all that are ready the one that was built last.
/// Whoever breaks this (a branch that only some ranks take) gets an error: messages carry the number of their node as
/// tag, are received in the order in which they were sent, and another number than the expected one is refused.
///
/// The cells along an axis may be fewer than the grid's by a factor that all ranks share, as between layers that halve
/// the grid. float32 or float64 in main memory. Collective throughout.
class FieldHalo {
 public:
  FieldHalo(std::shared_ptr<const CellGrid> grid, Padding padding);

  /// `width` ghost cells at each of `sides`. Every rank needs `width` cells along an axis, with Padding::reflect one
  /// more: see require_cells().
  at::Tensor extend(const at::Tensor& x, std::int64_t width, Sides sides = Sides::all) const;
  /// The transposed operation: from [.., cells with ghosts] to [.., cells].
  at::Tensor fold(const at::Tensor& extended, std::int64_t width, Sides sides = Sides::all) const;

  /// Throws UserError on all ranks, beginning with `what`, unless each part of the grid, its cells divided by
  /// `coarser`, has as many cells as ghosts of this width at these sides need.
  void require_cells(std::int64_t width, Sides sides, std::int64_t coarser, const std::string& what) const;

  const CellGrid& grid() const;
  HaloTraffic traffic() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace espalier::grid
