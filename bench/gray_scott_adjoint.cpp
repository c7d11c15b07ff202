// The adjoint of a Crank-Nicolson run of Gray-Scott: Espalier's against one written directly in PETSc.
//
// Both run in one process, by turns: (a) a TS of type cn on a DMDA with two unknowns per point, with IFunction and
// assembled IJacobian, or RHSFunction and RHSJacobian with -bench_form rhs, and TSAdjointSolve; (b) the Integrator with
// a ReactionDiffusionTerm and -ts_jacobian assembled. Same grid and parts, same start, same steps, same tolerances,
// same KSP and PC (GMRES, block Jacobi with ILU(0)): -bench_pc chooses another PC for both. (a) forms its matrix by
// MatSetValuesStencil() in the pattern of the DMDA, as PETSc's tutorials do, or with -bench_assembly coo as (b) does:
// by MatSetValuesCOO(), without the entries that are always zero. Reported are medians over the turns, of wall time and
// of the CPU time of all ranks, medians of the ratios of (b) to (a) turn by turn, and how far the gradients differ.
//
//   mpirun -n 1 build/bin/bench_gray_scott_adjoint -options_file bench/gray_scott_adjoint.opts -report report.json
#include <petscdmda.h>
#include <petscts.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/grid/cell_grid.hpp"
#include "espalier/model/gray_scott.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/petsc/handle.hpp"
#include "espalier/ts/integrator.hpp"

using namespace espalier;

namespace {

using DmHandle = petsc::Handle<DM, DMDestroy>;

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

/// Seconds on the wall and on all ranks' processors.
struct Cost {
  double wall = 0;
  double cpu = 0;
};

Cost cost_of(MPI_Comm comm, const std::function<void()>& work) {
  MPI_Barrier(comm);
  const double start = MPI_Wtime();
  const std::clock_t ticks = std::clock();
  work();
  double cpu = static_cast<double>(std::clock() - ticks) / CLOCKS_PER_SEC;
  MPI_Allreduce(MPI_IN_PLACE, &cpu, 1, MPI_DOUBLE, MPI_SUM, comm);
  return {MPI_Wtime() - start, cpu};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// u and v at a point of [0, length]^2: a square of spots in the middle, as in Pearson's start, but smooth.
std::pair<double, double> start_at(double x, double y) {
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
  DmHandle dm_;
  petsc::VecHandle u_;
  petsc::VecHandle lambda_;
  petsc::VecHandle local_;
  petsc::MatHandle jacobian_;
  petsc::TsHandle ts_;
  Vec lambdas_[1] = {nullptr};
};

/// (b): the same by an Integrator.
class Ours {
 public:
  Ours(MPI_Comm comm, const Settings& settings) : end_(settings.step * static_cast<double>(settings.steps)) {
    const grid::Axis axis{settings.points, 0, model::GrayScott::length, {}, {}};
    grid_ = std::make_shared<const grid::CellGrid>(comm, std::vector<grid::Axis>{axis, axis});
    const auto term = std::make_shared<model::ReactionDiffusionTerm>(
        grid_, std::vector<double>{model::GrayScott::diffusivity_u, model::GrayScott::diffusivity_v},
        std::make_shared<model::GrayScott>());
    ts::IntegratorSettings integration;
    integration.method = "cn";
    integration.step = settings.step;
    integration.jacobian = ts::Jacobian::assembled;
    integration.prefix = "ours_";
    integrator_ = std::make_unique<ts::Integrator>(comm, ts::BatchShape{1, 2 * grid_->local_cells()},
                                                   model::SplitSystem{nullptr, term}, integration);
    const at::Tensor centres = grid_->centres();
    const auto* x = centres.data_ptr<double>();
    u0_ = at::empty({2, grid_->local_cells()}, at::kDouble);
    auto* u = u0_.data_ptr<double>();
    for (std::int64_t c = 0; c < grid_->local_cells(); ++c)
      std::tie(u[c], u[grid_->local_cells() + c]) = start_at(x[2 * c], x[2 * c + 1]);
    u0_ = u0_.view({1, -1});
  }

  void forward() { snapshots_ = integrator_->forward(u0_, {0, end_}, ts::Record::yes); }
  void adjoint() { gradient_ = integrator_->adjoint(2 * snapshots_); }
  at::Tensor gradient() const { return gradient_.view({2, -1}); }
  const grid::CellGrid& grid() const { return *grid_; }
  const ts::Integrator& integrator() const { return *integrator_; }

 private:
  double end_;
  std::shared_ptr<const grid::CellGrid> grid_;
  std::unique_ptr<ts::Integrator> integrator_;
  at::Tensor u0_;
  at::Tensor snapshots_;
  at::Tensor gradient_;
};

double norm(MPI_Comm comm, const at::Tensor& local) {
  auto sum = local.square().sum().item<double>();
  MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm);
  return std::sqrt(sum);
}

std::string text_of(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

/// Sets `-name value` unless it is given.
void by_default(const std::string& name, const std::string& value) {
  PetscBool given = PETSC_FALSE;
  ESPALIER_CALL(PetscOptionsHasName(nullptr, nullptr, name.c_str(), &given));
  if (!given) ESPALIER_CALL(PetscOptionsSetValue(nullptr, name.c_str(), value.c_str()));
}

// (a) has one KSP for both directions, (b) two, and its PC is that of the samples.
void give_both_the_same_solvers(const Settings& s) {
  for (const std::string prefix : {"-direct_", "-ours_"}) {
    by_default(prefix + "snes_rtol", text_of(s.newton_tolerance));
    by_default(prefix + "snes_stol", "0");
    by_default(prefix + "snes_atol", "1e-50");
  }
  for (const std::string prefix : {"-direct_", "-ours_", "-ours_adjoint_"}) {
    by_default(prefix + "ksp_type", "gmres");
    by_default(prefix + "ksp_rtol", text_of(s.krylov_tolerance));
    by_default(prefix + (prefix == "-direct_" ? "" : "samples_") + "pc_type", s.pc);
  }
  by_default("-direct_ts_adapt_type", "none");
}

const core::Program program = {"bench_gray_scott_adjoint",
                               "The adjoint of a Crank-Nicolson run of Gray-Scott, ours against PETSc's alone.\n"
                               "  u_t = D_u Lap u - u v^2 + F (1 - u), v_t = D_v Lap v + u v^2 - (F + k) v\n"
                               "  on the periodic square [0, 2.5]^2, all dimensionless\n"};

/// The times of one way over all turns.
struct Times {
  std::vector<Cost> forward;
  std::vector<Cost> adjoint;
};

double median_of(const std::vector<Cost>& costs, double Cost::*kind) {
  std::vector<double> values;
  for (const Cost& cost : costs) values.push_back(cost.*kind);
  return median(values);
}

/// Of neighbours in time, so that whatever else runs disturbs both.
double median_ratio(const std::vector<Cost>& ours, const std::vector<Cost>& direct, double Cost::*kind) {
  std::vector<double> values;
  for (std::size_t k = 0; k < ours.size(); ++k) values.push_back(ours[k].*kind / (direct[k].*kind));
  return median(values);
}

/// One of the two ways, with a stage of -log_view for each direction.
struct Run {
  explicit Run(const std::string& name) {
    ESPALIER_CALL(PetscLogStageRegister((name + " forward").c_str(), &forward_stage));
    ESPALIER_CALL(PetscLogStageRegister((name + " adjoint").c_str(), &adjoint_stage));
  }
  template <class Way>
  void take_turn(MPI_Comm comm, Way& way) {
    ESPALIER_CALL(PetscLogStagePush(forward_stage));
    times.forward.push_back(cost_of(comm, [&] { way.forward(); }));
    ESPALIER_CALL(PetscLogStagePop());
    ESPALIER_CALL(PetscLogStagePush(adjoint_stage));
    times.adjoint.push_back(cost_of(comm, [&] { way.adjoint(); }));
    ESPALIER_CALL(PetscLogStagePop());
  }

  Times times;
  PetscLogStage forward_stage = 0;
  PetscLogStage adjoint_stage = 0;
};

void run_benchmark(core::Session& session) {
  Settings s;
  core::read_options(session.comm(), "Benchmark", [&](core::OptionReader& o) {
    s.points = o.integer("-bench_points", "along each axis", s.points, 3);
    s.steps = o.integer("-bench_steps", "of the run", s.steps, 1);
    s.step = o.positive("-bench_dt", "size of a step", s.step);
    s.turns = o.integer("-bench_turns", "after one that is not counted", s.turns, 1);
    s.pc = o.text("-bench_pc", "preconditioner of both", s.pc);
    s.implicit_form = o.choice("-bench_form", "of (a): rhs or i functions", {"rhs", "i"}, 1) == 1;
    s.coo = o.choice("-bench_assembly", "of (a): MatSetValuesStencil or MatSetValuesCOO", {"stencil", "coo"}, 0) == 1;
    s.newton_tolerance = o.positive("-bench_newton_rtol", "of both", s.newton_tolerance);
    s.krylov_tolerance = o.positive("-bench_ksp_rtol", "of both", s.krylov_tolerance);
  });
  if (session.help_requested()) return;
  const MPI_Comm comm = session.comm();
  give_both_the_same_solvers(s);
  Ours ours(comm, s);
  Direct direct(ours.grid(), s);
  Run of_direct("direct");
  Run of_ours("ours");
  for (PetscInt turn = 0; turn <= s.turns; ++turn) {
    of_direct.take_turn(comm, direct);
    of_ours.take_turn(comm, ours);
    if (turn == 0) of_direct.times = of_ours.times = {};  // made what is made once
  }
  const at::Tensor expected = direct.gradient();
  const double difference = norm(comm, ours.gradient() - expected) / norm(comm, expected);
  core::RunReport& report = session.report();
  report.set_method("cn");
  const auto runs = static_cast<double>(s.turns + 1);
  const auto print = [&](const char* name, const std::vector<Cost>& a, const std::vector<Cost>& b) {
    for (const auto& [kind, member] : {std::make_pair("wall", &Cost::wall), std::make_pair("cpu", &Cost::cpu)}) {
      const double ratio = median_ratio(b, a, member);
      report.metric(std::string("direct_") + name + "_" + kind, median_of(a, member));
      report.metric(std::string("ours_") + name + "_" + kind, median_of(b, member));
      report.metric(std::string("ratio_") + name + "_" + kind, ratio);
      ESPALIER_CALL(PetscPrintf(comm, "%-8s %-4s  direct %8.4f s  ours %8.4f s  ratio %.3f\n", name, kind,
                                median_of(a, member), median_of(b, member), ratio));
    }
  };
  print("forward", of_direct.times.forward, of_ours.times.forward);
  print("adjoint", of_direct.times.adjoint, of_ours.times.adjoint);
  const auto metric = [&](const std::string& name, double value) {
    report.metric(name, value);
    ESPALIER_CALL(PetscPrintf(comm, "%-28s %.3g\n", name.c_str(), value));
  };
  const auto adjoint_iterations = static_cast<double>(direct.adjoint_iterations);
  const ts::Integrator& integrator = ours.integrator();
  metric("direct_iterations_forward", static_cast<double>(direct.iterations()) / runs - adjoint_iterations);
  metric("ours_iterations_forward", static_cast<double>(integrator.ksp_iterations_forward()) / runs);
  metric("direct_iterations_adjoint", adjoint_iterations);
  metric("ours_iterations_adjoint", static_cast<double>(integrator.ksp_iterations_adjoint()) / runs);
  metric("gradient_difference", difference);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_benchmark); }
