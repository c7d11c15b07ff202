#include "espalier/implicit/incompressible_projection.hpp"

#include <array>
#include <cmath>
#include <string>

#include "grid_batch.hpp"

namespace espalier::implicit {

namespace {

constexpr double tolerance = 1e-12;
constexpr PetscInt most_iterations = 10000;
// Divergences below this part of |u| / h are rounding errors.
constexpr double rounding = 1e-15;

using NullSpaceHandle = petsc::Handle<MatNullSpace, MatNullSpaceDestroy>;

}  // namespace

struct IncompressibleProjection::Batch {
  static constexpr std::int64_t fields = 3;

  Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t count)
      : samples(count), halo(grid, fields * count), state(static_cast<std::size_t>(halo.length())) {}

  std::int64_t samples;
  grid::Halo halo;
  std::vector<double> state;  // ghosted
};

struct IncompressibleProjection::Implementation {
  explicit Implementation(std::shared_ptr<const grid::CellGrid> on)
      : grid(std::move(on)),
        columns(grid->extent()[0]),
        halo(grid, 1),
        ghosted_potential(static_cast<std::size_t>(halo.length())),
        batches(grid) {
    for (int d = 0; d < 2; ++d) inverse_spacing[static_cast<std::size_t>(d)] = 1 / grid->spacing(d);
    create_matrix();
    create_solver();
  }

  /// body(place, cell) for each cell: among the ghosted cells of a field, and among the local ones.
  template <class Body>
  void for_cells(const Body& body) const {
    for (std::int64_t cell = 0; cell < grid->local_cells(); ++cell)
      body(halo.first() + cell / columns * halo.strides()[1] + cell % columns, cell);
  }
  void create_matrix();
  void create_solver();
  void set_right(const double* velocity);
  void solve();
  void subtract_gradient(double* velocity);

  std::shared_ptr<const grid::CellGrid> grid;
  std::int64_t columns;
  grid::Halo halo;  // of one field
  std::vector<double> ghosted_potential;
  std::array<double, 2> inverse_spacing{};  // 1/h
  Batches<Batch> batches;
  petsc::MatHandle matrix;  // -D G
  petsc::VecHandle right;   // -D u
  petsc::VecHandle potential;
  petsc::KspHandle ksp;
};

void IncompressibleProjection::Implementation::create_matrix() {
  SampleRows rows(grid, 1);
  matrix = rows.create(5);
  for_cells([&](std::int64_t place, std::int64_t) {
    rows.begin_row(place);
    for (std::size_t d = 0; d < 2; ++d) {
      const double k = inverse_spacing[d] * inverse_spacing[d];
      rows.add(place, 2 * k);
      rows.add(place - halo.strides()[d], -k);
      rows.add(place + halo.strides()[d], -k);
    }
    rows.end_row(matrix.get());
  });
  assemble(matrix.get());
  NullSpaceHandle constants;
  ESPALIER_CALL(MatNullSpaceCreate(grid->comm(), PETSC_TRUE, 0, nullptr, constants.out()));
  ESPALIER_CALL(MatSetNullSpace(matrix.get(), constants.get()));
  ESPALIER_CALL(MatSetTransposeNullSpace(matrix.get(), constants.get()));
  ESPALIER_CALL(MatCreateVecs(matrix.get(), potential.out(), right.out()));
}

void IncompressibleProjection::Implementation::create_solver() {
  PC pc = nullptr;
  ESPALIER_CALL(KSPCreate(grid->comm(), ksp.out()));
  ESPALIER_CALL(KSPSetOptionsPrefix(ksp.get(), "projection_"));
  ESPALIER_CALL(KSPSetType(ksp.get(), KSPCG));
  ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
  ESPALIER_CALL(PCSetType(pc, PCNONE));
  ESPALIER_CALL(KSPSetOperators(ksp.get(), matrix.get(), matrix.get()));
  ESPALIER_CALL(KSPSetTolerances(ksp.get(), tolerance, PETSC_CURRENT, PETSC_CURRENT, most_iterations));
  ESPALIER_CALL(KSPSetFromOptions(ksp.get()));
}

// -D u, and the tolerance for velocities that have no divergence.
void IncompressibleProjection::Implementation::set_right(const double* velocity) {
  const double* u = velocity;
  const double* v = velocity + halo.ghosted_cells();
  const std::int64_t line = halo.strides()[1];
  double square = 0;
  {
    const WriteArray result(right.get());
    for_cells([&](std::int64_t i, std::int64_t cell) {
      result.data()[cell] = inverse_spacing[0] * (u[i] - u[i + 1]) + inverse_spacing[1] * (v[i] - v[i + line]);
      square += std::pow(inverse_spacing[0] * u[i], 2) + std::pow(inverse_spacing[1] * v[i], 2);
    });
  }
  MPI_Allreduce(MPI_IN_PLACE, &square, 1, MPI_DOUBLE, MPI_SUM, grid->comm());
  ESPALIER_CALL(KSPSetTolerances(ksp.get(), PETSC_CURRENT, rounding * std::sqrt(square), PETSC_CURRENT, PETSC_CURRENT));
}

void IncompressibleProjection::Implementation::solve() {
  KSPConvergedReason reason = KSP_CONVERGED_ITERATING;
  const char* name = nullptr;
  PetscInt iterations = 0;
  ESPALIER_CALL(KSPSolve(ksp.get(), right.get(), potential.get()));
  ESPALIER_CALL(KSPGetConvergedReason(ksp.get(), &reason));
  ESPALIER_CALL(KSPGetConvergedReasonString(ksp.get(), &name));
  ESPALIER_CALL(KSPGetIterationNumber(ksp.get(), &iterations));
  if (reason > 0) return;
  throw NumericalError("the projection's linear solve (-projection_ksp_*) failed: " + std::string(name) + " after " +
                           std::to_string(iterations) +
                           " iterations; look for velocities that are not finite, or allow more with "
                           "-projection_ksp_max_it",
                       __FILE__, __LINE__);
}

// u -= G phi
void IncompressibleProjection::Implementation::subtract_gradient(double* velocity) {
  halo.fill(ReadArray(potential.get()).data(), grid::Beyond::zero, ghosted_potential.data());
  const double* phi = ghosted_potential.data();
  for_cells([&](std::int64_t i, std::int64_t cell) {
    velocity[cell] -= inverse_spacing[0] * (phi[i] - phi[i - 1]);
    velocity[cell + grid->local_cells()] -= inverse_spacing[1] * (phi[i] - phi[i - halo.strides()[1]]);
  });
}

IncompressibleProjection::IncompressibleProjection(std::shared_ptr<const grid::CellGrid> grid) {
  ESPALIER_ASSERT(grid != nullptr, "a projection needs a grid");
  check_periodic(*grid, 2, "a projection onto incompressible flows");
  implementation_ = std::make_unique<Implementation>(std::move(grid));
}

IncompressibleProjection::~IncompressibleProjection() = default;

void IncompressibleProjection::apply(Vec x) {
  Implementation& parts = *implementation_;
  const auto batch = parts.batches.of(x);
  batch->halo.fill(ReadArray(x).data(), grid::Beyond::zero, batch->state.data());
  for (std::int64_t s = 0; s < batch->samples; ++s) {
    parts.set_right(batch->state.data() + Batch::fields * s * parts.halo.ghosted_cells());
    parts.solve();
    PetscScalar* velocity = nullptr;
    ESPALIER_CALL(VecGetArray(x, &velocity));
    parts.subtract_gradient(velocity + Batch::fields * s * parts.grid->local_cells());
    ESPALIER_CALL(VecRestoreArray(x, &velocity));
  }
}

}  // namespace espalier::implicit
