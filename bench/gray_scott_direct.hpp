// Gray-Scott written directly in PETSc: what bench_gray_scott_adjoint compares Espalier with.
#pragma once

#include <ATen/ATen.h>
#include <petscdmda.h>
#include <petscts.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/model/gray_scott.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::bench {

struct Settings {
  PetscInt points = 128;
  PetscInt steps = 20;
  double step = 0.5;
  PetscInt turns = 7;
  std::string pc = "bjacobi";
  bool implicit_form = true;
  bool coo = false;
  double newton_tolerance = 1e-10;
  double krylov_tolerance = 1e-10;
};

/// u and v at a point of [0, length]^2: a square of spots in the middle, as in Pearson's start, but smooth.
inline std::pair<double, double> start_at(double x, double y) {
  const double length = model::GrayScott::length;
  const double pi = std::acos(-1.0);
  const auto inside = [&](double z) { return std::abs(z - length / 2) <= length / 5; };
  const double wave = std::sin(8 * pi * x / length) * std::sin(8 * pi * y / length);
  const double v = inside(x) && inside(y) ? wave * wave / 4 : 0;
  return {1 - 2 * v, v};
}

/// (a): two unknowns per point of a DMDA, everything by PETSc's own means.
class Direct {
 public:
  Direct(const grid::CellGrid& grid, const Settings& settings) : settings_(settings) {
    // The same parts for the ranks as in (b).
    ESPALIER_CALL(DMDACreateCompatibleDMDA(grid.dm(), 2, dm_.out()));
    ESPALIER_CALL(DMCreateGlobalVector(dm_.get(), u_.out()));
    ESPALIER_CALL(VecDuplicate(u_.get(), lambda_.out()));
    ESPALIER_CALL(DMCreateLocalVector(dm_.get(), local_.out()));
    ESPALIER_CALL(DMSetMatType(dm_.get(), MATAIJ));
    ESPALIER_CALL(DMCreateMatrix(dm_.get(), jacobian_.out()));
    if (settings.coo) preallocate();
    lambdas_[0] = lambda_.get();
    const double h = model::GrayScott::length / static_cast<double>(settings.points);
    weights_[0] = model::GrayScott::diffusivity_u / (h * h);
    weights_[1] = model::GrayScott::diffusivity_v / (h * h);
    create_ts(grid.comm());
  }

  void forward() {
    fill(u_.get(), [&](double x, double y) { return start_at(x, y); });
    ESPALIER_CALL(TSSetTime(ts_.get(), 0));
    ESPALIER_CALL(TSSetStepNumber(ts_.get(), 0));
    ESPALIER_CALL(TSSetTimeStep(ts_.get(), settings_.step));
    ESPALIER_CALL(TSRemoveTrajectory(ts_.get()));
    ESPALIER_CALL(TSSetSaveTrajectory(ts_.get()));
    TSTrajectory trajectory = nullptr;
    ESPALIER_CALL(TSGetTrajectory(ts_.get(), &trajectory));
    ESPALIER_CALL(TSTrajectorySetType(trajectory, ts_.get(), TSTRAJECTORYMEMORY));
    ESPALIER_CALL(TSTrajectorySetSolutionOnly(trajectory, PETSC_FALSE));
    ESPALIER_CALL(TSTrajectorySetFromOptions(trajectory, ts_.get()));
    ESPALIER_CALL(TSSolve(ts_.get(), u_.get()));
  }
  /// lambda = d(sum of u^2 + v^2) / d(u, v) = 2 (u, v) at the end.
  void adjoint() {
    ESPALIER_CALL(VecCopy(u_.get(), lambda_.get()));
    ESPALIER_CALL(VecScale(lambda_.get(), 2));
    const PetscInt before = iterations();
    ESPALIER_CALL(TSAdjointSolve(ts_.get()));
    adjoint_iterations = iterations() - before;
  }
  /// The gradient as [2, points of the rank].
  at::Tensor gradient() const {
    const auto [xs, ys, xm, ym] = corners();
    at::Tensor result = at::empty({2, ym, xm}, at::kDouble);
    PetscScalar*** l = nullptr;
    ESPALIER_CALL(DMDAVecGetArrayDOFRead(dm_.get(), lambda_.get(), &l));
    auto* out = result.data_ptr<double>();
    for (PetscInt field = 0; field < 2; ++field)
      for (PetscInt j = ys; j < ys + ym; ++j)
        for (PetscInt i = xs; i < xs + xm; ++i) *out++ = l[j][i][field];
    ESPALIER_CALL(DMDAVecRestoreArrayDOFRead(dm_.get(), lambda_.get(), &l));
    return result.view({2, ym * xm});
  }
  PetscInt iterations() const {
    KSP ksp = nullptr;
    SNES snes = nullptr;
    PetscInt total = 0;
    ESPALIER_CALL(TSGetSNES(ts_.get(), &snes));
    ESPALIER_CALL(SNESGetKSP(snes, &ksp));
    ESPALIER_CALL(KSPGetTotalIterations(ksp, &total));
    return total;
  }
  /// Of the last adjoint run.
  PetscInt adjoint_iterations = 0;

 private:
  std::array<PetscInt, 4> corners() const {
    std::array<PetscInt, 4> c{};
    ESPALIER_CALL(DMDAGetCorners(dm_.get(), &c[0], &c[1], nullptr, &c[2], &c[3], nullptr));
    return c;
  }

  void create_ts(MPI_Comm comm) {
    ESPALIER_CALL(TSCreate(comm, ts_.out()));
    ESPALIER_CALL(TSSetOptionsPrefix(ts_.get(), "direct_"));
    ESPALIER_CALL(TSSetType(ts_.get(), TSCN));
    ESPALIER_CALL(TSSetDM(ts_.get(), dm_.get()));
    if (settings_.implicit_form) {
      ESPALIER_CALL(TSSetIFunction(ts_.get(), nullptr, residual, this));
      ESPALIER_CALL(TSSetIJacobian(ts_.get(), jacobian_.get(), jacobian_.get(), residual_jacobian, this));
    } else {
      ESPALIER_CALL(TSSetRHSFunction(ts_.get(), nullptr, rate, this));
      ESPALIER_CALL(TSSetRHSJacobian(ts_.get(), jacobian_.get(), jacobian_.get(), rate_jacobian, this));
    }
    ESPALIER_CALL(TSSetMaxTime(ts_.get(), settings_.step * static_cast<double>(settings_.steps)));
    ESPALIER_CALL(TSSetExactFinalTime(ts_.get(), TS_EXACTFINALTIME_MATCHSTEP));
    ESPALIER_CALL(TSSetCostGradients(ts_.get(), 1, lambdas_, nullptr));
    ESPALIER_CALL(TSSetFromOptions(ts_.get()));
  }

  template <class Values>
  void fill(Vec vec, const Values& values) const {
    const auto [xs, ys, xm, ym] = corners();
    const double h = model::GrayScott::length / static_cast<double>(settings_.points);
    PetscScalar*** x = nullptr;
    ESPALIER_CALL(DMDAVecGetArrayDOFWrite(dm_.get(), vec, &x));
    for (PetscInt j = ys; j < ys + ym; ++j)
      for (PetscInt i = xs; i < xs + xm; ++i) {
        const auto pair = values((static_cast<double>(i) + 0.5) * h, (static_cast<double>(j) + 0.5) * h);
        x[j][i][0] = pair.first;
        x[j][i][1] = pair.second;
      }
    ESPALIER_CALL(DMDAVecRestoreArrayDOFWrite(dm_.get(), vec, &x));
  }

  // f = (D_u Lap u - u v^2 + F (1 - u), D_v Lap v + u v^2 - (F + k) v); with u_t: u_t - f.
  void evaluate(Vec u, Vec u_t, Vec f) const {
    const auto [xs, ys, xm, ym] = corners();
    const Point** x = nullptr;
    const Point** dot = nullptr;
    Point** y = nullptr;
    ESPALIER_CALL(DMGlobalToLocalBegin(dm_.get(), u, INSERT_VALUES, local_.get()));
    ESPALIER_CALL(DMGlobalToLocalEnd(dm_.get(), u, INSERT_VALUES, local_.get()));
    ESPALIER_CALL(DMDAVecGetArrayRead(dm_.get(), local_.get(), static_cast<void*>(&x)));
    if (u_t != nullptr) ESPALIER_CALL(DMDAVecGetArrayRead(dm_.get(), u_t, static_cast<void*>(&dot)));
    ESPALIER_CALL(DMDAVecGetArrayWrite(dm_.get(), f, static_cast<void*>(&y)));
    for (PetscInt j = ys; j < ys + ym; ++j)
      for (PetscInt i = xs; i < xs + xm; ++i) {
        const Point c = x[j][i];
        const double lap_u = x[j][i - 1].u + x[j][i + 1].u + x[j - 1][i].u + x[j + 1][i].u - 4 * c.u;
        const double lap_v = x[j][i - 1].v + x[j][i + 1].v + x[j - 1][i].v + x[j + 1][i].v - 4 * c.v;
        const double uvv = c.u * c.v * c.v;
        const double f_u = weights_[0] * lap_u - uvv + reaction_.feed() * (1 - c.u);
        const double f_v = weights_[1] * lap_v + uvv - (reaction_.feed() + reaction_.decay()) * c.v;
        y[j][i] = dot == nullptr ? Point{f_u, f_v} : Point{dot[j][i].u - f_u, dot[j][i].v - f_v};
      }
    ESPALIER_CALL(DMDAVecRestoreArrayWrite(dm_.get(), f, static_cast<void*>(&y)));
    if (u_t != nullptr) ESPALIER_CALL(DMDAVecRestoreArrayRead(dm_.get(), u_t, static_cast<void*>(&dot)));
    ESPALIER_CALL(DMDAVecRestoreArrayRead(dm_.get(), local_.get(), static_cast<void*>(&x)));
  }

  // The places of entries that can differ from zero, in the order of assemble(): half the DMDA's pattern.
  void preallocate() {
    const auto [xs, ys, xm, ym] = corners();
    PetscInt gxs = 0;
    PetscInt gys = 0;
    PetscInt gxm = 0;
    std::vector<PetscInt> rows;
    std::vector<PetscInt> columns;
    ESPALIER_CALL(DMDAGetGhostCorners(dm_.get(), &gxs, &gys, nullptr, &gxm, nullptr, nullptr));
    const auto add = [&, gxs = gxs, gys = gys, gxm = gxm](const MatStencil& row, const MatStencil& column) {
      const auto place = [&](const MatStencil& at) { return 2 * ((at.j - gys) * gxm + at.i - gxs) + at.c; };
      rows.push_back(place(row));
      columns.push_back(place(column));
    };
    for (PetscInt j = ys; j < ys + ym; ++j)
      for (PetscInt i = xs; i < xs + xm; ++i)
        for (PetscInt field = 0; field < 2; ++field)
          for (const MatStencil& column : columns_of(i, j, field)) add(place_of(i, j, field), column);
    ESPALIER_CALL(MatSetPreallocationCOOLocal(jacobian_.get(), static_cast<PetscCount>(rows.size()), rows.data(),
                                              columns.data()));
    values_.resize(rows.size());
  }

  static MatStencil place_of(PetscInt column, PetscInt row, PetscInt field) {
    MatStencil place{};
    place.i = column;
    place.j = row;
    place.c = field;
    return place;
  }
  static std::array<MatStencil, 6> columns_of(PetscInt i, PetscInt j, PetscInt field) {
    return {place_of(i, j, 0),         place_of(i, j, 1),         place_of(i - 1, j, field),
            place_of(i + 1, j, field), place_of(i, j - 1, field), place_of(i, j + 1, field)};
  }

  // shift I + scale df/du, row by row.
  void assemble(Vec u, double shift, double scale, Mat matrix) {
    const auto [xs, ys, xm, ym] = corners();
    const Point** x = nullptr;
    const double a = scale * weights_[0];
    const double b = scale * weights_[1];
    const double out = reaction_.feed() + reaction_.decay();
    double* all = values_.data();
    ESPALIER_CALL(DMDAVecGetArrayRead(dm_.get(), u, static_cast<void*>(&x)));
    for (PetscInt j = ys; j < ys + ym; ++j)
      for (PetscInt i = xs; i < xs + xm; ++i) {
        const Point c = x[j][i];
        const double uv = 2 * scale * c.u * c.v;
        const double vv = scale * c.v * c.v;
        const std::array<double, 6> of_u = {shift - 4 * a - vv - scale * reaction_.feed(), -uv, a, a, a, a};
        const std::array<double, 6> of_v = {vv, shift - 4 * b + uv - scale * out, b, b, b, b};
        if (settings_.coo) {
          all = std::copy(of_v.begin(), of_v.end(), std::copy(of_u.begin(), of_u.end(), all));
          continue;
        }
        for (PetscInt field = 0; field < 2; ++field) {
          const MatStencil row = place_of(i, j, field);
          const auto columns = columns_of(i, j, field);
          const auto& values = field == 0 ? of_u : of_v;
          ESPALIER_CALL(MatSetValuesStencil(matrix, 1, &row, 6, columns.data(), values.data(), INSERT_VALUES));
        }
      }
    ESPALIER_CALL(DMDAVecRestoreArrayRead(dm_.get(), u, static_cast<void*>(&x)));
    if (settings_.coo) {
      ESPALIER_CALL(MatSetValuesCOO(matrix, values_.data(), INSERT_VALUES));
      return;
    }
    ESPALIER_CALL(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
    ESPALIER_CALL(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
  }

  static Direct& of(void* context) { return *static_cast<Direct*>(context); }
  static PetscErrorCode rate(TS, PetscReal, Vec u, Vec f, void* context) noexcept {
    return guard([&] { of(context).evaluate(u, nullptr, f); });
  }
  static PetscErrorCode rate_jacobian(TS, PetscReal, Vec u, Mat, Mat matrix, void* context) noexcept {
    return guard([&] { of(context).assemble(u, 0, 1, matrix); });
  }
  static PetscErrorCode residual(TS, PetscReal, Vec u, Vec u_t, Vec f, void* context) noexcept {
    return guard([&] { of(context).evaluate(u, u_t, f); });
  }
  static PetscErrorCode residual_jacobian(TS, PetscReal, Vec u, Vec, PetscReal shift, Mat, Mat matrix,
                                          void* context) noexcept {
    return guard([&] { of(context).assemble(u, shift, -1, matrix); });
  }

  struct Point {
    PetscScalar u;
    PetscScalar v;
  };

  Settings settings_;
  model::GrayScott reaction_;
  double weights_[2] = {0, 0};  // D / h^2
  std::vector<double> values_;  // for MatSetValuesCOO()
  grid::DmHandle dm_;
  petsc::VecHandle u_;
  petsc::VecHandle lambda_;
  petsc::VecHandle local_;
  petsc::MatHandle jacobian_;
  petsc::TsHandle ts_;
  Vec lambdas_[1] = {nullptr};
};

}  // namespace espalier::bench
