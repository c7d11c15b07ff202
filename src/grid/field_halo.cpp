#include "espalier/grid/field_halo.hpp"

#include <ATen/ATen.h>
#include <torch/autograd.h>

#include <array>
#include <limits>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"

namespace espalier::grid {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int tags = 32766;  // MPI promises tags up to 32767

/// One side of a rank's part along one axis.
struct Side {
  bool ghosts = false;            // whether there are any
  bool remote = false;            // they are another rank's cells
  bool wraps = false;             // they are this rank's cells at the other end
  int neighbour = MPI_PROC_NULL;  // if remote
  std::int64_t width = 0;         // of the ghosts
};

MPI_Datatype mpi_type(const at::Tensor& tensor) { return tensor.scalar_type() == at::kDouble ? MPI_DOUBLE : MPI_FLOAT; }

}  // namespace

struct FieldHalo::State {
  State(std::shared_ptr<const CellGrid> on, Padding rule) : grid(std::move(on)), padding(rule) {
    ESPALIER_ASSERT(grid != nullptr, "ghost cells need a grid");
    MPI_Comm_dup(grid->comm(), &comm);
  }
  ~State() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Comm_free(&comm);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// Both sides along grid axis d, low and high.
  std::array<Side, 2> sides_of(int d, std::int64_t width, Sides which) const;
  /// One step: `part` is the region that takes part, with ghosts along tensor axis `axis`, of which the remote ones or
  /// the others are filled, or folded.
  void fill_axis(const at::Tensor& part, std::int64_t axis, const std::array<Side, 2>& sides, bool remote, int tag);
  void fold_axis(const at::Tensor& part, std::int64_t axis, const std::array<Side, 2>& sides, bool remote, int tag);
  /// Sends `outgoing` (low, high) to the neighbours and receives what they send this way.
  std::array<at::Tensor, 2> exchange(const std::array<at::Tensor, 2>& outgoing, const std::array<Side, 2>& sides,
                                     int tag);
  void check_tag(const MPI_Status& status, int tag) const;

  std::shared_ptr<const CellGrid> grid;
  Padding padding;
  MPI_Comm comm = MPI_COMM_NULL;
  std::int64_t nodes = 0;  // built so far
  HaloTraffic traffic;
  std::array<std::vector<char>, 4> buffers;  // to low, to high, from low, from high
};

namespace {

/// What a node keeps of the halo.
struct Holder : torch::CustomClassHolder {
  explicit Holder(std::shared_ptr<FieldHalo::State> kept) : state(std::move(kept)) {}
  std::shared_ptr<FieldHalo::State> state;
};

using Frame = std::vector<std::array<Side, 2>>;  // both sides along each axis of the grid

/// One of the steps in which ghosts are filled: first those of other ranks along one axis after another, then the
/// others; so nothing is sent that the receiver can fill by itself.
struct Step {
  bool remote;
  int d;
  /// Whether the ghosts at a side along axis e are there already.
  bool comes_after(const Side& side, int e) const { return side.remote == remote ? e < d : side.remote; }
};

std::vector<Step> steps_of(int dimension) {
  std::vector<Step> steps;
  for (const bool remote : {true, false})
    for (int d = 0; d < dimension; ++d) steps.push_back({remote, d});
  return steps;
}

/// The part of `extended` that takes part in a step: all along its own axis, along the others what is filled.
at::Tensor region(const at::Tensor& extended, const Frame& frame, const Step& step) {
  at::Tensor part = extended;
  for (int e = 0; e < static_cast<int>(frame.size()); ++e) {
    if (e == step.d) continue;
    const auto& [low, high] = frame[static_cast<std::size_t>(e)];
    const std::int64_t axis = extended.dim() - 1 - e;
    const std::int64_t before = step.comes_after(low, e) ? 0 : low.width;
    const std::int64_t behind = step.comes_after(high, e) ? 0 : high.width;
    part = part.narrow(axis, before, extended.size(axis) - before - behind);
  }
  return part;
}

/// Without any ghosts.
at::Tensor inside(const at::Tensor& extended, const Frame& frame) {
  at::Tensor part = extended;
  for (std::size_t d = 0; d < frame.size(); ++d) {
    const std::int64_t axis = extended.dim() - 1 - static_cast<std::int64_t>(d);
    part = part.narrow(axis, frame[d][0].width, extended.size(axis) - frame[d][0].width - frame[d][1].width);
  }
  return part;
}

Frame frame_of(const FieldHalo::State& state, std::int64_t width, Sides which) {
  Frame frame;
  for (int d = 0; d < state.grid->dimension(); ++d) frame.push_back(state.sides_of(d, width, which));
  return frame;
}

int tag_of(std::int64_t node, bool transposed, int d) {
  return static_cast<int>((6 * node + 3 * (transposed ? 1 : 0) + d) % tags);
}

at::Tensor extend_fields(FieldHalo::State& state, const at::Tensor& x, std::int64_t width, Sides which,
                         std::int64_t node) {
  const core::EventScope event(core::Event::halo);
  const Frame frame = frame_of(state, width, which);
  auto sizes = x.sizes().vec();
  for (std::size_t d = 0; d < frame.size(); ++d) sizes[sizes.size() - 1 - d] += frame[d][0].width + frame[d][1].width;
  const at::Tensor extended = at::empty(sizes, x.options());
  inside(extended, frame).copy_(x);
  for (const Step& step : steps_of(state.grid->dimension()))
    state.fill_axis(region(extended, frame, step), x.dim() - 1 - step.d, frame[static_cast<std::size_t>(step.d)],
                    step.remote, tag_of(node, false, step.d));
  return extended;
}

at::Tensor fold_fields(FieldHalo::State& state, const at::Tensor& extended, std::int64_t width, Sides which,
                       std::int64_t node) {
  const core::EventScope event(core::Event::halo);
  const Frame frame = frame_of(state, width, which);
  const at::Tensor sums = extended.clone(at::MemoryFormat::Contiguous);
  auto steps = steps_of(state.grid->dimension());
  for (auto step = steps.rbegin(); step != steps.rend(); ++step)
    state.fold_axis(region(sums, frame, *step), sums.dim() - 1 - step->d, frame[static_cast<std::size_t>(step->d)],
                    step->remote, tag_of(node, true, step->d));
  return inside(sums, frame).contiguous();
}

using HolderPointer = c10::intrusive_ptr<torch::CustomClassHolder>;

// What the transposed node needs.
void keep(AutogradContext* context, const HolderPointer& holder, std::int64_t width, std::int64_t which,
          std::int64_t node) {
  context->saved_data["halo"] = c10::IValue::make_capsule(holder);
  context->saved_data["width"] = width;
  context->saved_data["which"] = which;
  context->saved_data["node"] = node;
}

struct Extend : torch::autograd::Function<Extend> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const HolderPointer& holder,
                            std::int64_t width, std::int64_t which, std::int64_t node) {
    keep(context, holder, width, which, node);
    return extend_fields(*static_cast<Holder&>(*holder).state, x, width, static_cast<Sides>(which), node);
  }
  static variable_list backward(AutogradContext* context, variable_list cotangents);
};

struct Fold : torch::autograd::Function<Fold> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& extended, const HolderPointer& holder,
                            std::int64_t width, std::int64_t which, std::int64_t node) {
    keep(context, holder, width, which, node);
    return fold_fields(*static_cast<Holder&>(*holder).state, extended, width, static_cast<Sides>(which), node);
  }
  static variable_list backward(AutogradContext* context, variable_list cotangents);
};

// The derivative of one is the other.
template <typename Other>
variable_list apply_transposed(AutogradContext* context, const at::Tensor& cotangent) {
  return {Other::apply(cotangent.contiguous(), context->saved_data["halo"].toCapsule(),
                       context->saved_data["width"].toInt(), context->saved_data["which"].toInt(),
                       context->saved_data["node"].toInt()),
          at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
}

variable_list Extend::backward(AutogradContext* context, variable_list cotangents) {
  return apply_transposed<Fold>(context, cotangents[0]);
}

variable_list Fold::backward(AutogradContext* context, variable_list cotangents) {
  return apply_transposed<Extend>(context, cotangents[0]);
}

}  // namespace

const std::vector<std::string>& padding_names() {
  static const std::vector<std::string> names = {"zero", "reflect", "replicate"};
  return names;
}

std::array<Side, 2> FieldHalo::State::sides_of(int d, std::int64_t width, Sides which) const {
  std::array<Side, 2> sides;
  for (const bool high : {false, true}) {
    Side& side = sides[high ? 1 : 0];
    side.neighbour = grid->neighbour(d, high);
    side.wraps = side.neighbour != MPI_PROC_NULL && grid->parts()[static_cast<std::size_t>(d)] == 1;
    side.remote = side.neighbour != MPI_PROC_NULL && !side.wraps;
    side.width = which == Sides::all || (which == Sides::remote) == side.remote ? width : 0;
  }
  return sides;
}

namespace {

/// Slices along one axis: the ghosts of both sides, and cells counted from either end.
struct Slices {
  Slices(const at::Tensor& whole, std::int64_t along, const std::array<Side, 2>& sides)
      : part(whole), axis(along), low(sides[0].width), cells(whole.size(along) - low - sides[1].width) {
    ghosts = {part.narrow(axis, 0, low), part.narrow(axis, low + cells, sides[1].width)};
  }
  /// `count` cells at one end, without the `first` outermost ones.
  at::Tensor cells_at(bool high, std::int64_t first, std::int64_t count) const {
    return part.narrow(axis, high ? low + cells - first - count : low + first, count);
  }

  at::Tensor part;
  std::int64_t axis;
  std::int64_t low;
  std::int64_t cells;
  std::array<at::Tensor, 2> ghosts;
};

}  // namespace

void FieldHalo::State::fill_axis(const at::Tensor& part, std::int64_t axis, const std::array<Side, 2>& sides,
                                 bool remote, int tag) {
  const Slices slices(part, axis, sides);
  std::array<at::Tensor, 2> outgoing;
  for (const std::size_t high : {0, 1})
    if (sides[high].width > 0 && sides[high].remote && remote)
      outgoing[high] = slices.cells_at(high == 1, 0, sides[high].width);
  const auto incoming = exchange(outgoing, sides, tag);
  for (const bool high : {false, true}) {
    const Side& side = sides[high ? 1 : 0];
    const at::Tensor& ghosts = slices.ghosts[high ? 1 : 0];
    if (side.width == 0 || side.remote != remote) continue;
    if (side.remote) {
      ghosts.copy_(incoming[high ? 1 : 0]);
    } else if (side.wraps) {
      ghosts.copy_(slices.cells_at(!high, 0, side.width));
    } else if (padding == Padding::zero) {
      ghosts.zero_();
    } else if (padding == Padding::replicate) {
      ghosts.copy_(slices.cells_at(high, 0, 1).expand_as(ghosts));
    } else {
      ghosts.copy_(slices.cells_at(high, 1, side.width).flip({axis}));
    }
  }
}

void FieldHalo::State::fold_axis(const at::Tensor& part, std::int64_t axis, const std::array<Side, 2>& sides,
                                 bool remote, int tag) {
  const Slices slices(part, axis, sides);
  std::array<at::Tensor, 2> outgoing;
  for (const std::size_t high : {0, 1})
    if (sides[high].width > 0 && sides[high].remote && remote) outgoing[high] = slices.ghosts[high];
  const auto incoming = exchange(outgoing, sides, tag);
  // Low before high, so that sums have the same order every time.
  for (const bool high : {false, true}) {
    const Side& side = sides[high ? 1 : 0];
    const at::Tensor& ghosts = slices.ghosts[high ? 1 : 0];
    if (side.width == 0 || side.remote != remote) continue;
    if (side.remote) {
      slices.cells_at(high, 0, side.width).add_(incoming[high ? 1 : 0]);
    } else if (side.wraps) {
      slices.cells_at(!high, 0, side.width).add_(ghosts);
    } else if (padding == Padding::replicate) {
      slices.cells_at(high, 0, 1).add_(ghosts.sum(axis, true));
    } else if (padding == Padding::reflect) {
      slices.cells_at(high, 1, side.width).add_(ghosts.flip({axis}));
    }
  }
}

// Every rank sends to the low side first. If both sides are one rank, what it sent first is for the high side.
std::array<at::Tensor, 2> FieldHalo::State::exchange(const std::array<at::Tensor, 2>& outgoing,
                                                     const std::array<Side, 2>& sides, int tag) {
  std::array<at::Tensor, 2> incoming;
  std::array<MPI_Request, 4> requests;
  requests.fill(MPI_REQUEST_NULL);
  const auto buffer_for = [&](std::size_t i, const at::Tensor& like) {
    buffers[i].resize(std::max(buffers[i].size(), like.nbytes()));
    return at::from_blob(buffers[i].data(), like.sizes(), like.options());
  };
  for (const std::size_t high : {1, 0}) {
    const at::Tensor& like = outgoing[high];  // what comes has the shape of what goes
    if (!like.defined()) continue;
    ESPALIER_REQUIRE(like.numel() <= std::numeric_limits<int>::max(), "a halo is too large for one MPI message");
    incoming[high] = buffer_for(2 + high, like);
    MPI_Irecv(incoming[high].data_ptr(), static_cast<int>(like.numel()), mpi_type(like), sides[high].neighbour,
              MPI_ANY_TAG, comm, &requests[high]);
  }
  for (const std::size_t high : {0, 1}) {
    if (!outgoing[high].defined()) continue;
    const at::Tensor packed = buffer_for(high, outgoing[high]).copy_(outgoing[high]);
    MPI_Isend(packed.data_ptr(), static_cast<int>(packed.numel()), mpi_type(packed), sides[high].neighbour, tag, comm,
              &requests[2 + high]);
    ++traffic.messages;
    traffic.bytes += static_cast<std::int64_t>(packed.nbytes());
  }
  std::array<MPI_Status, 4> status;
  MPI_Waitall(4, requests.data(), status.data());
  for (const std::size_t high : {0, 1})
    if (incoming[high].defined()) check_tag(status[high], tag);
  return incoming;
}

void FieldHalo::State::check_tag(const MPI_Status& status, int tag) const {
  ESPALIER_ASSERT(status.MPI_TAG == tag, "rank " + std::to_string(status.MPI_SOURCE) +
                                             " has sent the halo of another layer (" + std::to_string(status.MPI_TAG) +
                                             " instead of " + std::to_string(tag) +
                                             "): all ranks must evaluate and differentiate the same graph");
}

FieldHalo::FieldHalo(std::shared_ptr<const CellGrid> grid, Padding padding)
    : state_(std::make_shared<State>(std::move(grid), padding)) {}

at::Tensor FieldHalo::extend(const at::Tensor& x, std::int64_t width, Sides sides) const {
  ESPALIER_ASSERT(x.dim() == 2 + grid().dimension(), "fields [samples, channels, cells along each axis]");
  return Extend::apply(x.contiguous(), c10::make_intrusive<Holder>(state_), width, static_cast<std::int64_t>(sides),
                       state_->nodes++);
}

at::Tensor FieldHalo::fold(const at::Tensor& extended, std::int64_t width, Sides sides) const {
  ESPALIER_ASSERT(extended.dim() == 2 + grid().dimension(), "fields [samples, channels, cells along each axis]");
  return Fold::apply(extended.contiguous(), c10::make_intrusive<Holder>(state_), width,
                     static_cast<std::int64_t>(sides), state_->nodes++);
}

void FieldHalo::require_cells(std::int64_t width, Sides sides, std::int64_t coarser, const std::string& what) const {
  static constexpr std::array<const char*, 3> names = {"x", "y", "z"};
  for (int d = 0; d < grid().dimension(); ++d) {
    const std::int64_t parts = grid().parts()[static_cast<std::size_t>(d)];
    const bool periodic = grid().axis(d).low.type == BoundaryType::periodic;
    const bool remote = parts > 1 && sides != Sides::local;
    const bool ends = !periodic && sides != Sides::remote;
    const bool wraps = periodic && parts == 1 && sides != Sides::remote;
    const std::int64_t wanted = std::max<std::int64_t>(remote || wraps ? width : 1,
                                                       ends && state_->padding == Padding::reflect ? width + 1 : 1);
    const std::int64_t cells = grid().least_extent(d) / coarser;
    ESPALIER_REQUIRE(cells >= wanted, what + " needs " + std::to_string(wanted) + " cells along axis " +
                                          names[static_cast<std::size_t>(d)] + " on every rank, but with " +
                                          std::to_string(parts) + " ranks along it one of them has " +
                                          std::to_string(cells) +
                                          ": take fewer ranks or more cells, or a network that sees less far");
  }
}

const CellGrid& FieldHalo::grid() const { return *state_->grid; }
HaloTraffic FieldHalo::traffic() const { return state_->traffic; }

}  // namespace espalier::grid
