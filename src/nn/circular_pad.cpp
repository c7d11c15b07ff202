// Ghost cells and their transpose, each in one pass: torch's own take several, and more backward.
#include "circular_pad.hpp"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/autograd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

/// A batch of fields as [fields, z, y, x]. Axes that the tensor does not have are one cell long and are not padded.
struct Layout {
  std::int64_t fields;
  std::array<std::int64_t, 3> cells;   // z, y, x
  std::array<std::int64_t, 3> ghosts;  // before and behind, 0 or 1

  std::int64_t padded(std::size_t axis) const { return cells[axis] + 2 * ghosts[axis]; }
};

// `extra`: what the tensor's axes have on top of the cells.
Layout layout_of(const at::Tensor& x, std::int64_t extra) {
  Layout layout{x.size(0) * x.size(1), {1, 1, 1}, {0, 0, 0}};
  const auto missing = static_cast<std::size_t>(5 - x.dim());
  for (std::size_t axis = missing; axis < 3; ++axis) {
    layout.cells[axis] = x.size(static_cast<std::int64_t>(2 + axis - missing)) - extra;
    layout.ghosts[axis] = 1;
  }
  return layout;
}

std::vector<std::int64_t> grown(const at::Tensor& x, std::int64_t by) {
  auto sizes = x.sizes().vec();
  for (std::size_t axis = 2; axis < sizes.size(); ++axis) sizes[axis] += by;
  return sizes;
}

// The cell that stands at place p of a padded axis.
std::int64_t cell_at(const Layout& layout, std::size_t axis, std::int64_t p) {
  const std::int64_t n = layout.cells[axis];
  return (p - layout.ghosts[axis] + n) % n;
}

// to[field, p, q, r] = from[field, z(p), y(q), x(r)].
template <typename Number>
void pad(const Layout& layout, const Number* from, Number* to) {
  const auto [nz, ny, nx] = layout.cells;
  for (std::int64_t field = 0; field < layout.fields; ++field) {
    for (std::int64_t p = 0; p < layout.padded(0); ++p) {
      for (std::int64_t q = 0; q < layout.padded(1); ++q) {
        const Number* row = from + ((field * nz + cell_at(layout, 0, p)) * ny + cell_at(layout, 1, q)) * nx;
        to[0] = row[nx - 1];
        std::copy_n(row, nx, to + 1);
        to[nx + 1] = row[0];
        to += nx + 2;
      }
    }
  }
}

// to[field, z(p), y(q), x(r)] += from[field, p, q, r].
template <typename Number>
void fold(const Layout& layout, const Number* from, Number* to) {
  const auto [nz, ny, nx] = layout.cells;
  std::fill_n(to, layout.fields * nz * ny * nx, Number(0));
  for (std::int64_t field = 0; field < layout.fields; ++field) {
    for (std::int64_t p = 0; p < layout.padded(0); ++p) {
      for (std::int64_t q = 0; q < layout.padded(1); ++q) {
        Number* row = to + ((field * nz + cell_at(layout, 0, p)) * ny + cell_at(layout, 1, q)) * nx;
        for (std::int64_t r = 0; r < nx; ++r) row[r] += from[r + 1];
        row[nx - 1] += from[0];
        row[0] += from[nx + 1];
        from += nx + 2;
      }
    }
  }
}

// Each is the other's derivative, so that both can be differentiated again.
struct CircularFold : torch::autograd::Function<CircularFold> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& padded);
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list cotangents);
};

struct CircularPad : torch::autograd::Function<CircularPad> {
  static at::Tensor forward(torch::autograd::AutogradContext* /*context*/, const at::Tensor& x) {
    const at::Tensor padded = at::empty(grown(x, 2), x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "pad_circular",
                               [&] { pad(layout_of(x, 0), x.data_ptr<scalar_t>(), padded.data_ptr<scalar_t>()); });
    return padded;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*context*/,
                                                 torch::autograd::variable_list cotangents) {
    return {CircularFold::apply(cotangents[0].contiguous())};
  }
};

at::Tensor CircularFold::forward(torch::autograd::AutogradContext* /*context*/, const at::Tensor& padded) {
  const at::Tensor folded = at::empty(grown(padded, -2), padded.options());
  AT_DISPATCH_FLOATING_TYPES(padded.scalar_type(), "fold_circular", [&] {
    fold(layout_of(padded, 2), padded.data_ptr<scalar_t>(), folded.data_ptr<scalar_t>());
  });
  return folded;
}

torch::autograd::variable_list CircularFold::backward(torch::autograd::AutogradContext* /*context*/,
                                                      torch::autograd::variable_list cotangents) {
  return {CircularPad::apply(cotangents[0].contiguous())};
}

}  // namespace

at::Tensor pad_circular(const at::Tensor& x) {
  ESPALIER_ASSERT(x.dim() >= 3 && x.dim() <= 5 && x.is_contiguous(), "fields with one to three axes");
  return CircularPad::apply(x);
}

}  // namespace espalier::nn
