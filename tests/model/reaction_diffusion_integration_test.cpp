// Gray-Scott over several steps: the same gradient on any number of ranks and with any preconditioner, set up once.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/model/gray_scott.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/model/shell_operators.hpp"
#include "espalier/model/sparse_jacobian.hpp"
#include "espalier/petsc/sample_matrices.hpp"
#include "espalier/ts/integrator.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using testing::ScopedOptions;
using testing::some_numbers;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t samples = 2;
constexpr std::int64_t fields = 2;
const std::vector<double> times = {0, 1, 2.5};
// Of the solves, so that their errors stay below those of the comparison.
const std::string tight = "-ksp_rtol 1e-14 -adjoint_ksp_rtol 1e-14 ";

/// Two samples of Gray-Scott on a rectangle with one pair of periodic ends, at its usual rates but with few cells.
class Problem {
 public:
  explicit Problem(MPI_Comm given_comm) : comm(given_comm) {
    const grid::Boundary closed{grid::BoundaryType::neumann, 0};
    grid = std::make_shared<const grid::CellGrid>(
        comm, std::vector<grid::Axis>{{12, 0, model::GrayScott::length / 8, {}, {}},
                                      {8, 0, model::GrayScott::length / 8, closed, closed}});
    const auto reaction = std::make_shared<model::GrayScott>();
    const double d_u = model::GrayScott::diffusivity_u;
    const double d_v = model::GrayScott::diffusivity_v;
    term = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{d_u, d_v}, reaction);
    diffusion =
        std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{d_u, d_v}, nullptr, reaction->names());
    rates = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{0, 0}, reaction);
    u0 = part(0.5 + 0.3 * numbers(1, 1));
    weights = part(numbers(2, 2)).view({2, samples, -1});
    direction = part(numbers(1, 3));
  }

  /// Diffusion implicit and reaction explicit, or both together.
  std::unique_ptr<ts::Integrator> integrator(const std::string& method,
                                             ts::Jacobian jacobian = ts::Jacobian::shell) const {
    ts::IntegratorSettings settings;
    settings.method = method;
    settings.step = 0.5;
    settings.jacobian = jacobian;
    const bool together = method == "cn" || method == "beuler";
    return std::make_unique<ts::Integrator>(
        comm, ts::BatchShape{samples, fields * grid->local_cells()},
        together ? model::SplitSystem{nullptr, term} : model::SplitSystem{rates, diffusion}, settings);
  }

  /// sum over snapshots of <weights, u>.
  double value(ts::Integrator& integrator, const at::Tensor& start) const {
    auto sum = (integrator.forward(start, times, ts::Record::no) * weights).sum().item<double>();
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm);
    return sum;
  }
  /// Its gradient by u0, [samples, fields local_cells].
  at::Tensor gradient(ts::Integrator& integrator) const {
    integrator.forward(u0, times, ts::Record::yes);
    return integrator.adjoint(weights).clone();
  }
  /// [.., fields, cells] in natural order to this rank's part, [.., fields local_cells].
  at::Tensor part(const at::Tensor& natural) const {
    return grid->part_of(natural.reshape({-1, grid->global_cells()})).reshape({natural.size(0) * samples, -1});
  }
  double norm(const at::Tensor& local) const {
    auto sum = local.square().sum().item<double>();
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm);
    return std::sqrt(sum);
  }
  double relative(const at::Tensor& a, const at::Tensor& b) const { return norm(a - b) / norm(b); }

  MPI_Comm comm;
  std::shared_ptr<const grid::CellGrid> grid;
  std::shared_ptr<model::ReactionDiffusionTerm> term, diffusion, rates;
  at::Tensor u0, weights, direction;

 private:
  at::Tensor numbers(std::int64_t batches, int seed) const {
    const auto values = some_numbers(static_cast<std::size_t>(batches * samples * fields * grid->global_cells()), seed);
    return at::tensor(at::ArrayRef<double>(values), at::kDouble).view({batches, -1});
  }
};

/// What the solves' preconditioners are made of.
petsc::SampleMatrices& matrices_of(const ts::Integrator& integrator) {
  Mat pmat = nullptr;
  ESPALIER_CALL(TSGetIJacobian(integrator.ts(), nullptr, &pmat, nullptr, nullptr));
  return *petsc::SampleMatrices::of(pmat);
}

/// Options of one kind of preconditioner for the forward and the adjoint solves.
std::string for_both(const std::string& options) {
  std::string result = options;
  std::string adjoint = options;
  for (std::size_t at = 0; (at = adjoint.find("-samples_", at)) != std::string::npos; at += 9)
    adjoint.replace(at, 9, "-adjoint_samples_");
  return result + " " + adjoint + " ";
}

const std::string field_by_field =
    "-samples_pc_type fieldsplit -samples_fieldsplit_u_pc_type jacobi -samples_fieldsplit_u_ksp_type preonly "
    "-samples_fieldsplit_v_pc_type bjacobi -samples_fieldsplit_v_ksp_type preonly -samples_pc_fieldsplit_type ";

std::vector<std::string> preconditioners() {
  std::vector<std::string> all = {"-samples_pc_type jacobi",
                                  "-samples_pc_type bjacobi",
                                  "-samples_pc_type gamg",
                                  "-samples_pc_type gamg -samples_own_transpose true",
                                  field_by_field + "additive",
                                  field_by_field + "multiplicative",
                                  field_by_field + "schur -samples_pc_fieldsplit_schur_precondition a11"};
  const int size = testing::size_of();
  if (size == 1) all.emplace_back("-samples_pc_type ilu");
  return all;
}

/// (shift I - J) x = b where diffusion is strong, so that the preconditioner matters, with a known x.
class StiffSystem {
 public:
  StiffSystem() {
    petsc::register_samples_pc();
    linearization_ = term_.linearize(0, u_.get());
  }

  void set_shift(double shift) {
    sparse_.set(*linearization_, shift, -1);
    shell_.set(linearization_, shift, -1);
  }
  /// A solver with the options of now.
  petsc::KspHandle ksp() const {
    petsc::KspHandle ksp;
    PC pc = nullptr;
    ESPALIER_CALL(KSPCreate(PETSC_COMM_WORLD, ksp.out()));
    ESPALIER_CALL(KSPSetOperators(ksp.get(), shell_.mat(), sparse_.mat()));
    ESPALIER_CALL(KSPSetTolerances(ksp.get(), 1e-13, 1e-50, 1e5, 200));
    ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
    ESPALIER_CALL(PCSetType(pc, petsc::samples_pc_type));
    ESPALIER_CALL(KSPSetFromOptions(ksp.get()));
    return ksp;
  }
  /// Returns the iterations; 0 when there is no convergence.
  PetscInt solve(KSP ksp, bool transpose) {
    const petsc::VecHandle b = testing::unwritten_like(u_.get());
    KSPConvergedReason reason = KSP_CONVERGED_ITERATING;
    PetscInt iterations = 0;
    ESPALIER_CALL(transpose ? MatMultTranspose(shell_.mat(), expected_.get(), b.get())
                            : MatMult(shell_.mat(), expected_.get(), b.get()));
    ESPALIER_CALL(transpose ? KSPSolveTranspose(ksp, b.get(), x_.get()) : KSPSolve(ksp, b.get(), x_.get()));
    ESPALIER_CALL(KSPGetConvergedReason(ksp, &reason));
    ESPALIER_CALL(KSPGetIterationNumber(ksp, &iterations));
    return reason > 0 ? iterations : 0;
  }
  /// Of the last solution.
  double error() const {
    return testing::distance(testing::entries_of(x_.get()), testing::entries_of(expected_.get()));
  }

 private:
  static petsc::VecHandle vec(const at::Tensor& part) {
    const at::Tensor flat = part.contiguous();
    return testing::vector_of({flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()}, PETSC_COMM_WORLD);
  }

  Problem problem_{PETSC_COMM_WORLD};
  model::ReactionDiffusionTerm term_{problem_.grid, {0.02, 0.01}, std::make_shared<model::GrayScott>()};
  petsc::VecHandle u_ = vec(problem_.u0);
  petsc::VecHandle expected_ = vec(problem_.direction);
  petsc::VecHandle x_ = testing::unwritten_like(u_.get());
  std::shared_ptr<model::Linearization> linearization_;
  model::SparseJacobian sparse_{u_.get(), samples};
  model::JacobianOperator shell_{u_.get()};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(model_reaction_diffusion_integration, *utf::label("distributed"))

BOOST_AUTO_TEST_CASE(gradients_have_slope_two, *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const Problem problem(PETSC_COMM_WORLD);
  for (const std::string method : {"l2", "3", "cn"}) {
    const auto integrator = problem.integrator(method);
    double derivative = (problem.gradient(*integrator) * problem.direction).sum().item<double>();
    MPI_Allreduce(MPI_IN_PLACE, &derivative, 1, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
    const auto along = [&](double e) { return problem.value(*integrator, problem.u0 + e * problem.direction); };
    BOOST_TEST(model::taylor_test(along, derivative, 1e-3, 5).passed(), method);
  }
}

BOOST_AUTO_TEST_CASE(gradients_do_not_depend_on_the_number_of_ranks, *utf::label("gradient") * utf::label("np1") *
                                                                         utf::label("np2") * utf::label("np3") *
                                                                         utf::label("np4") * utf::label("np6")) {
  const ScopedOptions options(tight);
  const Problem problem(PETSC_COMM_WORLD);
  const Problem alone(PETSC_COMM_SELF);
  const int ranks = testing::size_of();
  for (const std::string method : {"l2", "3", "cn"}) {
    // Alone by products, with others by products or the matrix.
    const at::Tensor whole = alone.gradient(*alone.integrator(method));
    // One rank's order is the natural one.
    const at::Tensor expected = problem.part(whole.view({1, -1}));
    BOOST_TEST(problem.norm(expected) > 1);
    for (const ts::Jacobian jacobian : {ts::Jacobian::shell, ts::Jacobian::assembled}) {
      // Once for l2, and for "3" on many ranks, which wait for each other.
      if (jacobian == ts::Jacobian::assembled ? method == "l2" : ranks > 4 && method == "3") continue;
      const at::Tensor ours = problem.gradient(*problem.integrator(method, jacobian));
      BOOST_TEST(problem.relative(ours, expected) <= 1e-12,
                 method << (jacobian == ts::Jacobian::shell ? ", shell" : ", assembled"));
    }
  }
}

BOOST_AUTO_TEST_CASE(every_preconditioner_gives_the_same_gradient,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const ScopedOptions exact(tight);
  const Problem problem(PETSC_COMM_WORLD);
  for (const std::string method : {"3", "cn"}) {
    const at::Tensor expected = problem.gradient(*problem.integrator(method));
    for (const std::string& pc : preconditioners()) {
      const ScopedOptions options(for_both(pc));
      const auto integrator = problem.integrator(method, ts::Jacobian::assembled);
      BOOST_TEST_CONTEXT(method << " " << pc) {
        // A solve that does not reach its tolerance, forward or transposed, would stop the run.
        BOOST_TEST(problem.relative(problem.gradient(*integrator), expected) <= 1e-10);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(every_preconditioner_solves_forward_and_transposed,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  StiffSystem system;
  system.set_shift(2);
  for (const std::string& options : preconditioners()) {
    const ScopedOptions scoped(options);
    const petsc::KspHandle ksp = system.ksp();
    for (const bool transpose : {false, true}) BOOST_TEST_CONTEXT(options << (transpose ? ", transposed" : "")) {
        BOOST_TEST(system.solve(ksp.get(), transpose) > 0);
        BOOST_TEST(system.error() <= 1e-11);
      }
  }
}

// A preconditioner made for another shift takes more iterations to the same solution: it was indeed not renewed.
BOOST_AUTO_TEST_CASE(lagging_preconditioners_stay_as_they_are,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  for (const std::string& options : preconditioners())
    for (const bool transpose : {false, true}) {
      PetscInt iterations[2] = {0, 0};
      for (const int lag : {0, 1}) {
        const ScopedOptions scoped(options + " -samples_lag " + std::to_string(lag));
        StiffSystem system;
        const petsc::KspHandle ksp = system.ksp();
        system.set_shift(2);
        (void)system.solve(ksp.get(), transpose);
        system.set_shift(500);
        iterations[lag] = system.solve(ksp.get(), transpose);
        BOOST_TEST(system.error() <= 1e-11);
      }
      BOOST_TEST(iterations[0] > iterations[1], options << (transpose ? ", transposed" : ""));
    }
}

BOOST_AUTO_TEST_CASE(fields_are_split_by_their_names, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options(for_both(field_by_field + "additive"));
  const Problem problem(PETSC_COMM_WORLD);
  const auto integrator = problem.integrator("cn", ts::Jacobian::assembled);
  (void)problem.gradient(*integrator);
  for (const char* name : {"samples_fieldsplit_u_pc_type", "adjoint_samples_fieldsplit_v_pc_type"}) {
    PetscBool used = PETSC_FALSE;
    ESPALIER_CALL(PetscOptionsUsed(nullptr, name, &used));
    BOOST_TEST(used == PETSC_TRUE, name);
  }
}

// Without reaction the matrix is the same in all stages, steps and epochs: two preconditioners, one for each direction.
BOOST_AUTO_TEST_CASE(constant_matrices_are_set_up_once, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const Problem problem(PETSC_COMM_WORLD);
  for (const std::string method : {"l2", "3"}) {
    const auto integrator = problem.integrator(method, ts::Jacobian::assembled);
    for (int epoch = 0; epoch < 3; ++epoch) {
      (void)problem.gradient(*integrator);
      BOOST_TEST(matrices_of(*integrator).set_ups() == 2, method << ", epoch " << epoch);
    }
  }
}

BOOST_AUTO_TEST_CASE(lagging_preconditioners_change_iterations_only,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  const Problem problem(PETSC_COMM_WORLD);
  const auto every_time = problem.integrator("cn", ts::Jacobian::assembled);
  const at::Tensor expected = problem.gradient(*every_time);
  for (const std::string lag : {"0", "5"}) {
    const ScopedOptions options(for_both("-samples_lag " + lag));
    const auto lagging = problem.integrator("cn", ts::Jacobian::assembled);
    BOOST_TEST(problem.relative(problem.gradient(*lagging), expected) <= 1e-10);
    BOOST_TEST(matrices_of(*lagging).set_ups() < matrices_of(*every_time).set_ups());
    if (lag == "0") {
      (void)problem.gradient(*lagging);
      BOOST_TEST(matrices_of(*lagging).set_ups() == 2);
    }
  }
}

BOOST_AUTO_TEST_CASE(an_unknown_preconditioner_is_named, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const ScopedOptions options("-samples_pc_type no_such_pc");
  const Problem problem(PETSC_COMM_WORLD);
  const auto integrator = problem.integrator("cn", ts::Jacobian::assembled);
  BOOST_CHECK_EXCEPTION(integrator->forward(problem.u0, times, ts::Record::no), Error, [](const Error& error) {
    return std::string(error.what()).find("no_such_pc") != std::string::npos;
  });
}

BOOST_AUTO_TEST_SUITE_END()
