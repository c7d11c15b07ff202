// Krylov methods for batches against dense ones for each sample, and against PETSc's own for one.
#include "espalier/implicit/sample_krylov.hpp"

#include "core/scoped_options.hpp"
#include "implicit/krylov_references.hpp"
#include "implicit/ring.hpp"

using namespace ring;
using testing::ScopedOptions;
namespace utf = boost::unit_test;

namespace {

constexpr int restart = 3;
const std::vector<std::string> types = {"espalier_steepest", "espalier_cg", "espalier_bcgs", "espalier_gmres"};

/// Systems of the samples, and the batch's matrix.
struct Batch {
  explicit Batch(int samples, bool symmetric) : layout(samples) {
    for (int s = 0; s < samples; ++s) {
      const Matrix m = some_matrix(points, points, 7 + s);
      const Matrix one = Matrix::Identity(points, points);
      a.push_back(symmetric ? Matrix(m * m.transpose() / points + (0.4 + 0.2 * s) * one) : Matrix(m + (5 + s) * one));
    }
  }
  Batch single(int sample) const {
    Batch one(1, true);
    one.a = {a[static_cast<std::size_t>(sample)]};
    return one;
  }
  // The batch's row of a point.
  int place(int point, int sample) const {
    int rank = 0;
    while (layout.begin_of(rank + 1) <= point) ++rank;
    const int begin = layout.begin_of(rank);
    return begin * layout.samples + sample * (layout.begin_of(rank + 1) - begin) + point - begin;
  }
  petsc::MatHandle mat() const {
    petsc::MatHandle mat;
    const int rows = layout.samples * layout.count;
    ESPALIER_CALL(MatCreateAIJ(layout.comm, rows, rows, PETSC_DETERMINE, PETSC_DETERMINE, points, nullptr, points,
                               nullptr, mat.out()));
    for (int s = 0; s < layout.samples; ++s)
      for (int i = layout.first; i < layout.first + layout.count; ++i)
        for (int j = 0; j < points; ++j)
          ESPALIER_CALL(
              MatSetValue(mat.get(), place(i, s), place(j, s), a[static_cast<std::size_t>(s)](i, j), INSERT_VALUES));
    ESPALIER_CALL(MatAssemblyBegin(mat.get(), MAT_FINAL_ASSEMBLY));
    ESPALIER_CALL(MatAssemblyEnd(mat.get(), MAT_FINAL_ASSEMBLY));
    return mat;
  }

  Layout layout;
  std::vector<Matrix> a;
};

/// A KSP for a batch. Negative tolerance: no norms.
struct Solver {
  Solver(const Batch& of, const std::string& type, PCType preconditioner, double tolerance, int iterations,
         PCSide side = PC_SIDE_DEFAULT)
      : batch(of) {
    PC pc = nullptr;
    const auto mat = batch.mat();
    implicit::register_sample_krylov();
    ESPALIER_CALL(KSPCreate(batch.layout.comm, ksp.out()));
    ESPALIER_CALL(KSPSetOperators(ksp.get(), mat.get(), mat.get()));
    ESPALIER_CALL(KSPSetType(ksp.get(), type.c_str()));
    ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
    ESPALIER_CALL(PCSetType(pc, preconditioner));
    if (side != PC_SIDE_DEFAULT) ESPALIER_CALL(KSPSetPCSide(ksp.get(), side));
    ESPALIER_CALL(KSPSetTolerances(ksp.get(), std::max(tolerance, 0.0), 0, PETSC_CURRENT, iterations));
    if (tolerance < 0) ESPALIER_CALL(KSPSetNormType(ksp.get(), KSP_NORM_NONE));
    ESPALIER_CALL(KSPSetFromOptions(ksp.get()));
    implicit::set_samples(ksp.get(), batch.layout.samples);
  }
  Matrix solve(const Matrix& b, bool transpose, const Matrix* guess = nullptr) {
    const auto b_vec = batch.layout.vec_of(b);
    const auto x = guess != nullptr ? batch.layout.vec_of(*guess) : batch.layout.create();
    ESPALIER_CALL(KSPSetInitialGuessNonzero(ksp.get(), guess != nullptr ? PETSC_TRUE : PETSC_FALSE));
    if (transpose) {
      ESPALIER_CALL(KSPSolveTranspose(ksp.get(), b_vec.get(), x.get()));
    } else {
      ESPALIER_CALL(KSPSolve(ksp.get(), b_vec.get(), x.get()));
    }
    return batch.layout.gather(x.get());
  }
  KSPConvergedReason reason() const {
    KSPConvergedReason value = KSP_CONVERGED_ITERATING;
    ESPALIER_CALL(KSPGetConvergedReason(ksp.get(), &value));
    return value;
  }
  int iterations() const {
    PetscInt value = 0;
    ESPALIER_CALL(KSPGetIterationNumber(ksp.get(), &value));
    return static_cast<int>(value);
  }
  double norm() const {
    PetscReal value = 0;
    ESPALIER_CALL(KSPGetResidualNorm(ksp.get(), &value));
    return value;
  }

  const Batch& batch;
  petsc::KspHandle ksp;
};

// Samples of very different size, the third of them zero.
Matrix right_sides(int samples) {
  Matrix b = some_matrix(points, samples, 1);
  const double scales[] = {1e7, 1, 0, 1e-9};
  for (int s = 0; s < samples; ++s) b.col(s) *= scales[s % 4];
  return b;
}

// One relative error for each sample: the largest.
double worst(const Matrix& ours, const Matrix& expected) {
  double largest = 0;
  for (int s = 0; s < ours.cols(); ++s) {
    const double error = (ours.col(s) - expected.col(s)).norm();
    const double size = expected.col(s).norm();
    if (!(error <= largest * size)) largest = size > 0 ? error / size : HUGE_VAL;
  }
  return largest;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(implicit_sample_krylov, *utf::label("unit") * utf::label("prdp"))

BOOST_AUTO_TEST_CASE(samples_take_the_iterates_of_a_solve_of_their_own,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const ScopedOptions options("-ksp_espalier_gmres_restart 3");
  const Matrix b = right_sides(4);
  for (const auto& type : types)
    for (const bool jacobi : {false, true})
      for (const int steps : {1, 2, 5}) {
        const Batch batch(4, type == "espalier_cg");
        for (const double tolerance : {-1.0, 0.0}) {
          Solver solver(batch, type, jacobi ? PCJACOBI : PCNONE, tolerance, steps);
          for (const bool transpose : {false, true}) {
            Matrix expected = b;
            for (int s = 0; s < 4; ++s) {
              const Matrix& a = batch.a[static_cast<std::size_t>(s)];
              const Vector m = jacobi ? Vector(a.diagonal().cwiseInverse()) : Vector::Ones(points);
              expected.col(s) =
                  krylov_references::solve(type, transpose ? Matrix(a.transpose()) : a, b.col(s), m, restart, steps);
            }
            BOOST_TEST_CONTEXT(type << ", jacobi " << jacobi << ", steps " << steps << ", tolerance " << tolerance
                                    << ", transposed " << transpose) {
              BOOST_TEST(worst(solver.solve(b, transpose), expected) <= 1e-11);
              BOOST_TEST(solver.iterations() == steps);
              BOOST_TEST(solver.reason() == (tolerance < 0 ? KSP_CONVERGED_ITS : KSP_DIVERGED_ITS));
            }
          }
        }
      }
}

BOOST_AUTO_TEST_CASE(one_sample_takes_the_iterates_of_petsc, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-ksp_espalier_gmres_restart 3 -ksp_gmres_restart 3");
  struct Pair {
    std::string ours, theirs;
    int cycle;
    PCSide side;
  };
  const Matrix b = some_matrix(points, 1, 1);
  const Matrix guess = some_matrix(points, 1, 2);
  for (const Pair& pair : {Pair{"espalier_cg", KSPCG, 1, PC_LEFT}, Pair{"espalier_bcgs", KSPBCGS, 1, PC_RIGHT},
                           Pair{"espalier_gmres", KSPGMRES, restart, PC_RIGHT}})
    for (const int steps : {1, 2, 3})
      for (const Matrix* from : {static_cast<const Matrix*>(nullptr), &guess}) {
        const Batch batch(1, pair.ours == "espalier_cg");
        Solver ours(batch, pair.ours, PCJACOBI, 0, steps);
        Solver theirs(batch, pair.theirs, PCJACOBI, 0, steps * pair.cycle, pair.side);
        if (pair.theirs == KSPCG) ESPALIER_CALL(KSPSetNormType(theirs.ksp.get(), KSP_NORM_UNPRECONDITIONED));
        BOOST_TEST_CONTEXT(pair.ours << ", steps " << steps << ", with a guess " << (from != nullptr)) {
          BOOST_TEST(worst(ours.solve(b, false, from), theirs.solve(b, false, from)) <= 1e-12);
          BOOST_TEST(std::abs(ours.norm() - theirs.norm()) <= 1e-12 * b.norm());
        }
      }
}

// Each sample is left as soon as it has reached the tolerance, relative to its own right-hand side.
BOOST_AUTO_TEST_CASE(samples_stop_when_they_have_converged, *utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-ksp_espalier_gmres_restart 2");
  const Matrix b = right_sides(4);
  const Matrix zero = Matrix::Zero(points, 4);
  for (const auto& type : types)
    for (const Matrix& guess : {zero, Matrix(0.1 * b + some_matrix(points, 4, 3) * b.colwise().norm().asDiagonal())}) {
      const Matrix* from = guess.isZero(0) ? nullptr : &guess;
      const Batch batch(4, type == "espalier_cg");
      Solver solver(batch, type, PCNONE, 1e-5, 200);
      const Matrix ours = solver.solve(b, false, from);
      int most = 0;
      int fewest = 200;
      for (int s = 0; s < 4; ++s) {
        const Batch single = batch.single(s);
        Solver alone(single, type, PCNONE, 1e-5, 200);
        const Matrix start = guess.col(s);
        const Matrix expected = alone.solve(b.col(s), false, from != nullptr ? &start : nullptr);
        most = std::max(most, alone.iterations());
        fewest = std::min(fewest, alone.iterations());
        BOOST_TEST_CONTEXT(type << ", sample " << s << ", with a guess " << (from != nullptr)) {
          BOOST_TEST((ours.col(s) - expected).norm() <= 1e-12 * expected.norm());
        }
      }
      BOOST_TEST(solver.iterations() == most);
      BOOST_TEST(fewest < most);
      BOOST_TEST(solver.reason() > 0);
      BOOST_TEST(solver.norm() <= 1e-5 * b.norm());
    }
}

// One sample is solved by the first product, exactly; the others go on, and nothing is divided by zero.
BOOST_AUTO_TEST_CASE(a_breakdown_of_one_sample_does_not_touch_the_others, *utf::label("np1") * utf::label("np2")) {
  const Matrix b = some_matrix(points, 2, 1);
  for (const auto& type : types) {
    const ScopedOptions options("-ksp_espalier_gmres_restart 4");
    Batch batch(2, type == "espalier_cg");
    batch.a[0] = 2 * Matrix::Identity(points, points);
    Solver solver(batch, type, PCNONE, -1, 3);
    const Matrix ours = solver.solve(b, false);
    BOOST_TEST_CONTEXT(type) {
      BOOST_TEST(relative(ours.col(0), b.col(0) / 2) <= 1e-14);
      BOOST_TEST(relative(ours.col(1),
                          krylov_references::solve(type, batch.a[1], b.col(1), Vector::Ones(points), 4, 3)) <= 1e-11);
      // More products than a sample has points, and more steps than it takes to the last digit.
      const ScopedOptions longer("-ksp_espalier_gmres_restart 14");
      Solver far(batch, type, PCNONE, -1, 60);
      const Matrix exact = far.solve(b, false);
      if (type != "espalier_steepest")
        BOOST_TEST(relative(exact.col(1), batch.a[1].partialPivLu().solve(b.col(1))) <= 1e-9);
    }
  }
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_and_numbers_that_do_not_fit, *utf::label("np1") * utf::label("np2")) {
  const Batch batch(2, true);
  Matrix b = some_matrix(points, 2, 1);
  for (const auto& type : types)
    for (const double tolerance : {-1.0, 1e-8}) {
      Solver solver(batch, type, PCNONE, tolerance, 20);
      Matrix broken = b;
      broken(points - 1, 1) = std::nan("");
      solver.solve(broken, false);
      BOOST_TEST(solver.reason() == KSP_DIVERGED_NANORINF);
      BOOST_TEST(solver.solve(Matrix::Zero(points, 2), false).isZero(0));
      BOOST_TEST(solver.reason() > 0);
    }
  Solver solver(batch, types.front(), PCNONE, 0, 2);
  implicit::set_samples(solver.ksp.get(), 4 * points + 1);
  BOOST_TEST(message_of<UserError>([&] { solver.solve(b, false); }).find("do not divide") != std::string::npos);
  BOOST_CHECK_THROW(implicit::set_samples(solver.ksp.get(), 0), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
