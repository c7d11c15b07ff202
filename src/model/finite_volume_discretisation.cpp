// Where the faces of a rank's cells lie, and the derivatives of their fluxes.
#include <algorithm>

#include "finite_volume_implementation.hpp"

namespace espalier::model {

FiniteVolumeTerm::Discretisation::Discretisation(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t fields,
                                                 const FluxScheme& flux_scheme)
    : scheme(flux_scheme),
      fields_halo(grid, fields),
      dimension(static_cast<std::size_t>(grid->dimension())),
      outer(flux_scheme.states == 4 ? 1 : 0),
      ghosted_stride(fields_halo.strides()) {
  std::int64_t cells = 1;
  for (std::size_t d = 0; d < 3; ++d) {
    extent[d] = grid->extent()[d];
    cell_stride[d] = cells;
    cells *= extent[d];
  }
  for (std::size_t d = 0; d < dimension; ++d) {
    const int axis = static_cast<int>(d);
    inverse_spacing[d] = 1 / grid->spacing(axis);
    const auto of_end = [](const grid::Boundary& end) { return end.type == grid::BoundaryType::neumann ? 1.0 : -1.0; };
    if (grid->at_low_boundary(axis)) reflection[d][0] = of_end(grid->axis(axis).low);
    if (grid->at_high_boundary(axis)) reflection[d][1] = of_end(grid->axis(axis).high);
    point[d] = {grid->axis(axis).low.type == grid::BoundaryType::dirichlet_point,
                grid->axis(axis).high.type == grid::BoundaryType::dirichlet_point};
    length[d] = 1;
    for (std::size_t e = 0; e < 3; ++e) {
      stride[d][e] = length[d];
      length[d] *= extent[e] + (e == d ? 1 + 2 * outer : 0);
    }
    offset[d] = total;
    total += scheme.states * length[d];
    add_rows(d);
  }
  scratch.resize(static_cast<std::size_t>(4 * (extent[0] + 1)));
}

// The row that begins with the face below cell f along axis d; j and k along the other two, the lower axis first (z: y,
// then x).
FaceRow FiniteVolumeTerm::Discretisation::make_row(std::size_t d, std::int64_t f, std::int64_t j, std::int64_t k,
                                                   std::int64_t count) const {
  const std::size_t second = d == 1 ? 0 : 1;
  const std::size_t third = d == 2 ? 0 : 2;
  FaceRow row{};
  row.count = count;
  const auto at = [&](const std::array<std::int64_t, 3>& strides, std::int64_t i) {
    return i * strides[d] + j * strides[second] + k * strides[third];
  };
  // No cell beyond the ghosts is read: fluxes whose derivative by it is not needed get its neighbour instead.
  const std::int64_t ghosts = outer + 1;
  for (std::int64_t m = 0; m < 4; ++m) {
    const std::int64_t cell = std::min(std::max(f + m - 2, -ghosts), extent[d] + ghosts - 1);
    row.cells[static_cast<std::size_t>(m)] = fields_halo.first() + at(ghosted_stride, cell);
  }
  row.face = at(stride[d], f + outer);
  row.left = d > 0 && f > 0 ? at(cell_stride, f - 1) : -1;
  row.right = f < extent[d] ? at(cell_stride, f) : -1;
  return row;
}

void FiniteVolumeTerm::Discretisation::add_rows(std::size_t d) {
  const std::int64_t n = extent[d];
  if (d == 0) {
    for (std::int64_t k = 0; k < extent[2]; ++k)
      for (std::int64_t j = 0; j < extent[1]; ++j) {
        rows[0].push_back(make_row(0, 0, j, k, n + 1));
        if (outer > 0)
          for (const std::int64_t f : {std::int64_t{-1}, n + 1}) outer_rows[0].push_back(make_row(0, f, j, k, 1));
      }
    return;
  }
  const std::int64_t others = extent[d == 1 ? 2 : 1];
  for (std::int64_t other = 0; other < others; ++other)
    for (std::int64_t f = -outer; f <= n + outer; ++f) {
      auto& kind = f < 0 || f > n ? outer_rows[d] : rows[d];
      kind.push_back(d == 1 ? make_row(1, f, 0, other, extent[0]) : make_row(2, f, other, 0, extent[0]));
    }
}

FluxRow FiniteVolumeTerm::Discretisation::row(const Coefficients& c, std::size_t d, const FaceRow& faces,
                                              const double* u) const {
  FluxRow result{};
  result.count = faces.count;
  for (std::size_t m = 0; m < 4; ++m) result.u[m] = u + faces.cells[m];
  for (std::size_t side = 0; side < 2; ++side) {
    result.v[side] = c.of[d] + faces.cells[1 + side];
    result.d[side] = c.of[dimension] + faces.cells[1 + side];
  }
  result.inverse_spacing = inverse_spacing[d];
  result.threshold = threshold;
  return result;
}

// f_i = (Phi_(i-1/2) - Phi_(i+1/2)) / h, summed over the axes
void FiniteVolumeTerm::Discretisation::evaluate(const Coefficients& c, const double* u, double* f) {
  double* flux = scratch_row(0);
  for (const FaceRow& faces : rows[0]) {
    scheme.flux(row(c, 0, faces, u), flux);
    double* cells = f + faces.right;
    for (std::int64_t i = 0; i < extent[0]; ++i) cells[i] = flux[i] - flux[i + 1];
  }
  for (std::size_t d = 1; d < dimension; ++d)
    for (const FaceRow& faces : rows[d]) {
      scheme.flux(row(c, d, faces, u), flux);
      if (faces.left >= 0)
        for (std::int64_t i = 0; i < extent[0]; ++i) f[faces.left + i] -= flux[i];
      if (faces.right >= 0)
        for (std::int64_t i = 0; i < extent[0]; ++i) f[faces.right + i] += flux[i];
    }
}

void FiniteVolumeTerm::Discretisation::differentiate(const Coefficients& c, const double* u, double* result,
                                                     bool frozen) const {
  const auto by_state = frozen ? scheme.by_frozen_state : scheme.by_state;
  for (std::size_t d = 0; d < dimension; ++d) {
    for (const auto* kind : {&rows[d], &outer_rows[d]})
      for (const FaceRow& faces : *kind)
        by_state(row(c, d, faces, u), result + derivatives(d, 0) + faces.face, length[d]);
    for (const bool high : {false, true}) fold(d, high, result);
  }
}

// With u_ghost = s u_in + const, the derivative by u_in grows by s times the one by u_ghost: on the boundary face for
// all ghosts, with four states on the next face for the one it sees. A ghost that is given has no u_in; what lies
// beyond it is mirrored in it.
void FiniteVolumeTerm::Discretisation::fold(std::size_t d, bool high, double* result) const {
  const double s = reflection[d][high ? 1 : 0];
  if (s == 0) return;
  const bool given = point[d][high ? 1 : 0];
  const int states = scheme.states;
  const auto by_state = [&](int m) { return result + derivatives(d, high ? states - 1 - m : m); };
  const std::size_t second = d == 0 ? 1 : 0;
  const std::size_t third = d == 2 ? 1 : 2;
  const std::int64_t boundary = (outer + (high ? extent[d] : 0)) * stride[d][d];
  const std::int64_t next = boundary + (high ? -1 : 1) * stride[d][d];
  for (std::int64_t k = 0; k < extent[third]; ++k)
    for (std::int64_t j = 0; j < extent[second]; ++j) {
      const std::int64_t face = boundary + j * stride[d][second] + k * stride[d][third];
      for (int m = 0; m < states / 2; ++m) {
        const int image = states - (given ? 2 : 1) - m;
        if (image != m) by_state(image)[face] += s * by_state(m)[face];
        by_state(m)[face] = 0;
      }
      if (states < 4) continue;
      const std::int64_t neighbour = next + j * stride[d][second] + k * stride[d][third];
      if (!given) by_state(1)[neighbour] += s * by_state(0)[neighbour];
      by_state(0)[neighbour] = 0;
    }
}

}  // namespace espalier::model
