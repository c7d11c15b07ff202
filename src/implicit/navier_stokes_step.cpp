#include "espalier/implicit/navier_stokes_step.hpp"

#include <algorithm>
#include <numeric>

#include "navier_stokes_implementation.hpp"

namespace espalier::implicit {

namespace {

constexpr const char* null_space_name = "espalier_null_space";

using NullSpaceHandle = petsc::Handle<MatNullSpace, MatNullSpaceDestroy>;

}  // namespace

// a_d = (c_d + c_d one cell below along the other axis) / 2: component d between the points of the other one's lines.
void NavierStokesStep::Implementation::average_across(Batch& batch, const double* y) const {
  for_rows(batch.samples, [&](std::int64_t s, std::int64_t place, std::int64_t cell) {
    for (std::int64_t d = 0; d < 2; ++d) {
      const double* c = y + (3 * s + d) * ghosted_cells + place;
      const std::int64_t below = stride[static_cast<std::size_t>(1 - d)];
      double* a = batch.own.data() + (2 * s + d) * cells + cell;
      for (std::int64_t i = 0; i < columns(); ++i) a[i] = 0.5 * (c[i - below] + c[i]);
    }
  });
  batch.averages_halo.fill(batch.own.data(), grid::Beyond::zero, batch.averages.data());
}

// Divided by h_d, on the face between a point and the one below it along d: (c_d + c_d below) / 2 for equation d. For
// the other one c_d comes from the mean of a_d and a_d above, so that the wind is (a_d below + 2 a_d + a_d above) / 4.
std::shared_ptr<petsc::VecHandle> NavierStokesStep::Implementation::winds_at(Batch& batch, Vec y) const {
  const double* all = batch.fill(y, batch.first);
  average_across(batch, all);
  for_rows(batch.samples, [&](std::int64_t s, std::int64_t place, std::int64_t cell) {
    for (std::int64_t d = 0; d < 2; ++d) {
      const std::int64_t next = stride[static_cast<std::size_t>(d)];
      const double factor = inverse_spacing[static_cast<std::size_t>(d)];
      const double* c = all + (3 * s + d) * ghosted_cells + place;
      const double* a = batch.averages.data() + (2 * s + d) * ghosted_cells + place;
      double* along = batch.own.data() + (Batch::wind_fields * s + Batch::wind_field(d, d)) * cells + cell;
      double* across = batch.own.data() + (Batch::wind_fields * s + Batch::wind_field(1 - d, d)) * cells + cell;
      for (std::int64_t i = 0; i < columns(); ++i) along[i] = 0.5 * factor * (c[i - next] + c[i]);
      for (std::int64_t i = 0; i < columns(); ++i) across[i] = 0.25 * factor * (a[i - next] + 2 * a[i] + a[i + next]);
    }
  });
  auto winds = batch.pool.take(batch.winds.get());
  batch.winds_halo.fill(batch.own.data(), grid::Beyond::zero, WriteArray(winds->get()).data());
  return winds;
}

NavierStokesStep::NavierStokesStep(std::shared_ptr<const grid::CellGrid> grid, NavierStokesStepSettings settings)
    : grid_(std::move(grid)), settings_(settings) {
  ESPALIER_ASSERT(grid_ != nullptr, "a step needs a grid");
  check_step(*grid_, 2, settings_.step, settings_.viscosity, "the Navier-Stokes equations");
  implementation_ = std::make_shared<Implementation>(grid_, settings_);
}

// f = A(y) x - b(y)
void NavierStokesStep::apply(Vec x, Vec y, Vec f) {
  Products(implementation_, x, y).jvp(x, f);
  const ReadArray before(y);
  PetscScalar* result = nullptr;
  ESPALIER_CALL(VecGetArray(f, &result));
  const std::int64_t cells = grid_->local_cells();
  const std::int64_t samples = implementation_->batches.of(x)->samples;
  for (std::int64_t s = 0; s < samples; ++s)
    for (std::int64_t i = 3 * s * cells; i < (3 * s + 2) * cells; ++i)
      result[i] -= implementation_->inverse_step * before.data()[i];
  ESPALIER_CALL(VecRestoreArray(f, &result));
}

std::shared_ptr<ResidualLinearization> NavierStokesStep::linearize(Vec x, Vec y) {
  return std::make_shared<Products>(implementation_, x, y);
}

void NavierStokesStep::remove_mean_pressure(Vec x) const {
  const auto batch = implementation_->batches.of(x);
  const std::int64_t cells = grid_->local_cells();
  PetscScalar* array = nullptr;
  ESPALIER_CALL(VecGetArray(x, &array));
  const auto first = [&](std::int64_t s) { return array + (3 * s + Batch::pressure) * cells; };
  Batch::Field& means = batch->means;
  for (std::int64_t s = 0; s < batch->samples; ++s)
    means[static_cast<std::size_t>(s)] = std::accumulate(first(s), first(s) + cells, 0.0);
  MPI_Allreduce(MPI_IN_PLACE, means.data(), static_cast<int>(means.size()), MPI_DOUBLE, MPI_SUM, grid_->comm());
  for (std::int64_t s = 0; s < batch->samples; ++s) {
    const double mean = means[static_cast<std::size_t>(s)] / static_cast<double>(grid_->global_cells());
    std::for_each(first(s), first(s) + cells, [=](double& p) { p -= mean; });
  }
  ESPALIER_CALL(VecRestoreArray(x, &array));
}

// The KSP gets its operators when a solve begins: not yet here.
void NavierStokesStep::attach_null_space(KSP ksp) const {
  NullSpaceHandle null_space;
  ESPALIER_CALL(MatNullSpaceCreate(grid_->comm(), PETSC_FALSE, 0, nullptr, null_space.out()));
  const auto remove = [](MatNullSpace, Vec x, void* step) noexcept {
    return guard([&] { static_cast<const NavierStokesStep*>(step)->remove_mean_pressure(x); });
  };
  ESPALIER_CALL(MatNullSpaceSetFunction(null_space.get(), remove, const_cast<NavierStokesStep*>(this)));
  ESPALIER_CALL(PetscObjectCompose(reinterpret_cast<PetscObject>(ksp), null_space_name,
                                   reinterpret_cast<PetscObject>(null_space.get())));
  const auto attach = [](KSP solver, Vec, Vec, void*) noexcept {
    return guard([&] {
      Mat matrix = nullptr;
      PetscObject found = nullptr;
      ESPALIER_CALL(PetscObjectQuery(reinterpret_cast<PetscObject>(solver), null_space_name, &found));
      for (const bool preconditioner : {false, true}) {
        ESPALIER_CALL(preconditioner ? KSPGetOperators(solver, nullptr, &matrix)
                                     : KSPGetOperators(solver, &matrix, nullptr));
        ESPALIER_CALL(MatSetNullSpace(matrix, reinterpret_cast<MatNullSpace>(found)));
        ESPALIER_CALL(MatSetTransposeNullSpace(matrix, reinterpret_cast<MatNullSpace>(found)));
      }
    });
  };
  ESPALIER_CALL(KSPSetPreSolve(ksp, attach, nullptr));
}

}  // namespace espalier::implicit
