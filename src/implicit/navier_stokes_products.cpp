#include <algorithm>

#include "navier_stokes_implementation.hpp"

namespace espalier::implicit {

// f = u/dt + sum over axes of max(m, 0) (u - u_below) + min(m_above, 0) (u_above - u) - nu/h^2 (u_below - 2 u +
// u_above)
//     + (p - p_below) / h, m on the lower face; transposed: what u receives from the rows of its neighbours, and from
// the divergence.
template <bool transposed>
void NavierStokesStep::Products::multiply_momentum(std::int64_t e, const double* u, const double* m_x,
                                                   const double* m_y, const double* p, double* f) const {
  const std::int64_t columns = step_->columns();
  const std::int64_t line = step_->stride[1];
  const std::int64_t below = step_->stride[static_cast<std::size_t>(e)];
  const double c = step_->inverse_step;
  const double k_x = step_->diffusion[0];
  const double k_y = step_->diffusion[1];
  const double g = (transposed ? -1 : 1) * step_->inverse_spacing[static_cast<std::size_t>(e)];
  for (std::int64_t i = 0; i < columns; ++i) {
    const double from_left = std::max(m_x[i], 0.0) + k_x;
    const double from_right = std::min(m_x[i + 1], 0.0) - k_x;
    const double from_below = std::max(m_y[i], 0.0) + k_y;
    const double from_above = std::min(m_y[i + line], 0.0) - k_y;
    if constexpr (transposed) {
      const double to_left = std::min(m_x[i], 0.0) - k_x;
      const double to_right = std::max(m_x[i + 1], 0.0) + k_x;
      const double to_below = std::min(m_y[i], 0.0) - k_y;
      const double to_above = std::max(m_y[i + line], 0.0) + k_y;
      f[i] = (c + from_left - from_right + from_below - from_above) * u[i] + to_left * u[i - 1] - to_right * u[i + 1] +
             to_below * u[i - line] - to_above * u[i + line] + g * (p[i] - p[i - below]);
    } else {
      f[i] = c * u[i] + from_left * (u[i] - u[i - 1]) + from_right * (u[i + 1] - u[i]) +
             from_below * (u[i] - u[i - line]) + from_above * (u[i + line] - u[i]) + g * (p[i] - p[i - below]);
    }
  }
}

// D u = (u_right - u) / h_x + (v_above - v) / h_y, and G^T = -D.
template <bool transposed>
void NavierStokesStep::Products::multiply(Vec v, Vec f) {
  const double* all = batch_->fill(v, batch_->first);
  const ReadArray winds(winds_->get());
  const WriteArray result(f);
  const std::int64_t line = step_->stride[1];
  const double g_x = (transposed ? -1 : 1) * step_->inverse_spacing[0];
  const double g_y = (transposed ? -1 : 1) * step_->inverse_spacing[1];
  step_->for_rows(batch_->samples, [&](std::int64_t s, std::int64_t place, std::int64_t cell) {
    const auto field = [&](std::int64_t k) { return all + (3 * s + k) * step_->ghosted_cells + place; };
    const auto row = [&](std::int64_t k) { return result.data() + (3 * s + k) * step_->cells + cell; };
    for (std::int64_t e = 0; e < 2; ++e)
      multiply_momentum<transposed>(e, field(e), winds_of(winds.data(), s, e, 0, place),
                                    winds_of(winds.data(), s, e, 1, place), field(Batch::pressure), row(e));
    const double* u_x = field(0);
    const double* u_y = field(1);
    double* divergence = row(Batch::pressure);
    for (std::int64_t i = 0; i < step_->columns(); ++i)
      divergence[i] = g_x * (u_x[i + 1] - u_x[i]) + g_y * (u_y[i + line] - u_y[i]);
  });
}

// m_bar = (x - x_below) (w where m > 0, else w_below)
void NavierStokesStep::Products::pull_winds(const double* x, const double* w) {
  const ReadArray winds(winds_->get());
  step_->for_rows(batch_->samples, [&](std::int64_t s, std::int64_t place, std::int64_t cell) {
    for (std::int64_t e = 0; e < 2; ++e)
      for (std::int64_t d = 0; d < 2; ++d) {
        const std::int64_t below = step_->stride[static_cast<std::size_t>(d)];
        const double* u = x + (3 * s + e) * step_->ghosted_cells + place;
        const double* lambda = w + (3 * s + e) * step_->ghosted_cells + place;
        const double* m = winds_of(winds.data(), s, e, d, place);
        double* bar = batch_->own.data() + (Batch::wind_fields * s + Batch::wind_field(e, d)) * step_->cells + cell;
        for (std::int64_t i = 0; i < step_->columns(); ++i)
          bar[i] = (u[i] - u[i - below]) * (m[i] > 0 ? lambda[i] : lambda[i - below]);
      }
  });
  batch_->winds_halo.fill(batch_->own.data(), grid::Beyond::zero, batch_->wind_bars.data());
}

// a_bar_d = (m_bar below + 2 m_bar + m_bar above) / (4 h_d), of the other equation's winds
void NavierStokesStep::Products::pull_averages() {
  step_->for_rows(batch_->samples, [&](std::int64_t s, std::int64_t place, std::int64_t cell) {
    for (std::int64_t d = 0; d < 2; ++d) {
      const std::int64_t next = step_->stride[static_cast<std::size_t>(d)];
      const double factor = 0.25 * step_->inverse_spacing[static_cast<std::size_t>(d)];
      const double* m = winds_of(batch_->wind_bars.data(), s, 1 - d, d, place);
      double* bar = batch_->own.data() + (2 * s + d) * step_->cells + cell;
      for (std::int64_t i = 0; i < step_->columns(); ++i) bar[i] = factor * (m[i - next] + 2 * m[i] + m[i + next]);
    }
  });
  batch_->averages_halo.fill(batch_->own.data(), grid::Beyond::zero, batch_->averages.data());
}

// y_bar_d = -w_d / dt + (m_bar + m_bar above) / (2 h_d) + (a_bar_d + a_bar_d above along the other axis) / 2
void NavierStokesStep::Products::vjp_data(Vec w, Vec y_bar) {
  const double* all_x = batch_->fill(x_, batch_->first);
  const double* all_w = batch_->fill(w, batch_->second);
  pull_winds(all_x, all_w);
  pull_averages();
  const WriteArray result(y_bar);
  step_->for_rows(batch_->samples, [&](std::int64_t s, std::int64_t place, std::int64_t cell) {
    for (std::int64_t d = 0; d < 2; ++d) {
      const std::int64_t next = step_->stride[static_cast<std::size_t>(d)];
      const std::int64_t other = step_->stride[static_cast<std::size_t>(1 - d)];
      const double factor = 0.5 * step_->inverse_spacing[static_cast<std::size_t>(d)];
      const double* lambda = all_w + (3 * s + d) * step_->ghosted_cells + place;
      const double* m = winds_of(batch_->wind_bars.data(), s, d, d, place);
      const double* a = batch_->averages.data() + (2 * s + d) * step_->ghosted_cells + place;
      double* bar = result.data() + (3 * s + d) * step_->cells + cell;
      for (std::int64_t i = 0; i < step_->columns(); ++i)
        bar[i] = factor * (m[i] + m[i + next]) + 0.5 * (a[i] + a[i + other]) - step_->inverse_step * lambda[i];
    }
    std::fill_n(result.data() + (3 * s + Batch::pressure) * step_->cells + cell, step_->columns(), 0.0);
  });
}

petsc::MatHandle NavierStokesStep::Products::create_matrix() const {
  petsc::MatHandle matrix = step_->sample_rows().create(7);
  add_to_matrix(0, 0, matrix.get());
  return matrix;
}

void NavierStokesStep::Products::momentum_row(SampleRows& rows, const double* winds, std::int64_t k, std::int64_t e,
                                              std::int64_t place, double scale) const {
  const std::int64_t u = e * step_->ghosted_cells + place;
  const std::int64_t p = Batch::pressure * step_->ghosted_cells + place;
  const double g = scale * step_->inverse_spacing[static_cast<std::size_t>(e)];
  double diagonal = step_->inverse_step;
  rows.begin_row(u);
  for (std::int64_t d = 0; d < 2; ++d) {
    const auto axis = static_cast<std::size_t>(d);
    const double* m = winds_of(winds, k, e, d, place);
    const double below = -std::max(m[0], 0.0) - step_->diffusion[axis];
    const double above = std::min(m[step_->stride[axis]], 0.0) - step_->diffusion[axis];
    diagonal -= below + above;
    rows.add(u - step_->stride[axis], scale * below);
    rows.add(u + step_->stride[axis], scale * above);
  }
  rows.add(u, scale * diagonal);
  rows.add(p, g);
  rows.add(p - step_->stride[static_cast<std::size_t>(e)], -g);
}

void NavierStokesStep::Products::add_to_matrix(std::int64_t k, double scale, Mat matrix) const {
  SampleRows& rows = step_->sample_rows();
  const ReadArray winds(winds_->get());
  step_->for_rows(1, [&](std::int64_t, std::int64_t first, std::int64_t) {
    for (std::int64_t place = first; place < first + step_->columns(); ++place) {
      for (std::int64_t e = 0; e < 2; ++e) {
        momentum_row(rows, winds.data(), k, e, place, scale);
        rows.end_row(matrix);
      }
      const std::int64_t p = Batch::pressure * step_->ghosted_cells + place;
      rows.begin_row(p);
      rows.add(p, 0);
      for (std::int64_t d = 0; d < 2; ++d) {
        const auto axis = static_cast<std::size_t>(d);
        const std::int64_t u = d * step_->ghosted_cells + place;
        rows.add(u, -scale * step_->inverse_spacing[axis]);
        rows.add(u + step_->stride[axis], scale * step_->inverse_spacing[axis]);
      }
      rows.end_row(matrix);
    }
  });
  assemble(matrix);
}

}  // namespace espalier::implicit
