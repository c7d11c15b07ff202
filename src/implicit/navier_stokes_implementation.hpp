// What the files of NavierStokesStep share: places in memory, buffers of a batch, products.
#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "espalier/implicit/navier_stokes_step.hpp"
#include "espalier/petsc/vec_pool.hpp"
#include "grid_batch.hpp"

namespace espalier::implicit {

/// What batches of one number of samples need.
struct NavierStokesStep::Batch {
  using Field = std::vector<double>;
  static constexpr std::int64_t fields = 3;
  static constexpr std::int64_t pressure = 2;
  static constexpr std::int64_t wind_fields = 4;
  /// Of the winds of equation e across the faces normal to axis d, each at the place of the cell above the face.
  static constexpr std::int64_t wind_field(std::int64_t e, std::int64_t d) { return 2 * e + d; }

  Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t count)
      : samples(count),
        halo(grid, fields * count),
        averages_halo(grid, 2 * count),
        winds_halo(grid, wind_fields * count),
        first(static_cast<std::size_t>(halo.length())),
        second(first.size()),
        averages(static_cast<std::size_t>(averages_halo.length())),
        wind_bars(static_cast<std::size_t>(winds_halo.length())),
        own(static_cast<std::size_t>(wind_fields * count * grid->local_cells())),
        means(static_cast<std::size_t>(count)) {
    ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, static_cast<PetscInt>(winds_halo.length()), winds.out()));
  }
  const double* fill(Vec u, Field& buffer) const {
    halo.fill(ReadArray(u).data(), grid::Beyond::zero, buffer.data());
    return buffer.data();
  }

  std::int64_t samples;
  grid::Halo halo;           // of states
  grid::Halo averages_halo;  // of [samples, 2] fields
  grid::Halo winds_halo;     // of [samples, 4] fields
  Field first;               // ghosted states
  Field second;
  Field averages;          // ghosted
  Field wind_bars;         // ghosted
  Field own;               // of up to four fields without ghosts
  Field means;             // of the samples
  petsc::VecHandle winds;  // ghosted: the model of others
  petsc::VecPool pool;
};

struct NavierStokesStep::Implementation {
  Implementation(std::shared_ptr<const grid::CellGrid> on, const NavierStokesStepSettings& settings)
      : grid(std::move(on)), cells(grid->local_cells()), inverse_step(1 / settings.step), batches(grid) {
    const auto ghosted = grid->ghosted_extent();
    stride = {1, ghosted[0]};
    ghosted_cells = stride[1] * ghosted[1];
    start = grid->stencil_width() * (stride[0] + stride[1]);
    for (int d = 0; d < 2; ++d) {
      const auto axis = static_cast<std::size_t>(d);
      inverse_spacing[axis] = 1 / grid->spacing(d);
      diffusion[axis] = settings.viscosity * inverse_spacing[axis] * inverse_spacing[axis];
    }
  }

  /// body(sample, place, cell) for each row of cells: the place of its first cell among the ghosted cells of a field,
  /// and among the local ones.
  template <class Body>
  void for_rows(std::int64_t samples, const Body& body) const {
    for (std::int64_t s = 0; s < samples; ++s)
      for (std::int64_t j = 0; j < grid->extent()[1]; ++j) body(s, start + j * stride[1], j * grid->extent()[0]);
  }
  std::int64_t columns() const { return grid->extent()[0]; }
  std::shared_ptr<petsc::VecHandle> winds_at(Batch& batch, Vec y) const;
  void average_across(Batch& batch, const double* y) const;
  // Made at its first use.
  SampleRows& sample_rows() {
    if (!rows) rows = std::make_unique<SampleRows>(grid, 3);
    return *rows;
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::int64_t cells;
  std::int64_t ghosted_cells = 0;
  std::int64_t start = 0;                   // place of the first cell among the ghosted ones
  std::array<std::int64_t, 2> stride{};     // of ghosted cells
  double inverse_step;                      // 1/dt
  std::array<double, 2> inverse_spacing{};  // 1/h
  std::array<double, 2> diffusion{};        // nu/h^2
  Batches<Batch> batches;
  std::unique_ptr<SampleRows> rows;
};

class NavierStokesStep::Products : public ResidualLinearization {
 public:
  Products(std::shared_ptr<Implementation> step, Vec x, Vec y)
      : step_(std::move(step)), batch_(step_->batches.of(x)), winds_(step_->winds_at(*batch_, y)), x_(x) {
    ESPALIER_ASSERT(step_->batches.of(y) == batch_, "two states of a step have different numbers of samples");
  }

  void jvp(Vec v, Vec f_tan) override { multiply<false>(v, f_tan); }
  void vjp(Vec w, Vec x_bar) override { multiply<true>(w, x_bar); }
  void vjp_data(Vec w, Vec y_bar) override;
  std::int64_t matrices() const override { return batch_->samples; }
  petsc::MatHandle create_matrix() const override;
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override;

 private:
  /// Winds of equation e across axis d in sample s, at a place among the ghosted cells.
  const double* winds_of(const double* winds, std::int64_t s, std::int64_t e, std::int64_t d,
                         std::int64_t place) const {
    return winds + (Batch::wind_fields * s + Batch::wind_field(e, d)) * step_->ghosted_cells + place;
  }
  template <bool transposed>
  void multiply(Vec v, Vec f);
  template <bool transposed>
  void multiply_momentum(std::int64_t e, const double* u, const double* m_x, const double* m_y, const double* p,
                         double* f) const;
  void pull_winds(const double* x, const double* w);
  void pull_averages();
  void momentum_row(SampleRows& rows, const double* winds, std::int64_t k, std::int64_t e, std::int64_t place,
                    double scale) const;

  std::shared_ptr<Implementation> step_;
  std::shared_ptr<Batch> batch_;
  std::shared_ptr<petsc::VecHandle> winds_;
  Vec x_;
};

}  // namespace espalier::implicit
