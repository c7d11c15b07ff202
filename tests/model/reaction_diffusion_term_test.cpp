#include "espalier/model/reaction_diffusion_term.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/petsc/matrix_fields.hpp"
#include "model/reaction_diffusion_reference.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::ReactionDiffusionTerm;
using testing::Axes;
using testing::distance;
using testing::entries_of;
using testing::Numbers;
using testing::Rates;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

using Complex = std::complex<double>;

constexpr double tiny = 1e-40;  // the complex step
constexpr std::size_t samples = 2;

struct System {
  std::string name;
  std::vector<double> diffusivities;
  Rates rates;
};

const std::vector<System> systems = {{"Gray-Scott", {0.2, 0.1}, Rates::gray_scott},
                                     {"a field that does not diffuse", {0.3, 0, 0.1}, Rates::chain},
                                     {"affine", {0.2, 0.1}, Rates::affine},
                                     {"diffusion alone", {0.2, 0}, Rates::none},
                                     {"reaction alone", {0, 0, 0}, Rates::chain}};

/// A term on one of the grids and everything about it in natural order, [samples, fields, cells].
class Problem {
 public:
  Problem(Axes given_axes, System given_system, PetscInt width = 1)
      : axes(std::move(given_axes)),
        system(std::move(given_system)),
        cells(testing::count_of(axes)),
        sample(system.diffusivities.size() * cells),
        grid(std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, axes, width)),
        term(std::make_shared<ReactionDiffusionTerm>(grid, system.diffusivities, testing::reaction_of(system.rates))),
        u(some_numbers(samples * sample, 1)),
        v(some_numbers(samples * sample, 2)),
        w(some_numbers(samples * sample, 4)) {}

  /// This rank's part of fields in natural order, as many as there are.
  petsc::VecHandle vec(const Numbers& whole) const {
    const auto rows = static_cast<std::int64_t>(whole.size() / cells);
    const at::Tensor local = grid->part_of(at::from_blob(const_cast<double*>(whole.data()),
                                                         {rows, static_cast<std::int64_t>(cells)}, at::kDouble))
                                 .contiguous();
    return vector_of({local.data_ptr<double>(), local.data_ptr<double>() + local.numel()}, PETSC_COMM_WORLD);
  }
  Numbers part(const Numbers& whole) const { return entries_of(vec(whole).get()); }
  Numbers of_sample(const Numbers& whole, std::size_t s) const {
    const auto start = whole.begin() + static_cast<long>(s * sample);
    return {start, start + static_cast<long>(sample)};
  }

  /// f of all samples, or its derivative along a direction.
  Numbers reference(const Numbers& direction = {}) const {
    Numbers all;
    for (std::size_t s = 0; s < samples; ++s) {
      std::vector<Complex> x;
      for (std::size_t i = s * sample; i < (s + 1) * sample; ++i)
        x.emplace_back(u[i], direction.empty() ? 0 : tiny * direction[i]);
      for (const Complex& f : testing::react_and_diffuse(axes, system.diffusivities, system.rates, x))
        all.push_back(direction.empty() ? f.real() : f.imag() / tiny);
    }
    return all;
  }

  /// J^T w in natural order, one complex step for each entry; zero for cells of other ranks.
  Numbers reference_gradient() const {
    const auto* natural = grid->natural_indices().data_ptr<std::int64_t>();
    const std::set<std::int64_t> owned(natural, natural + grid->local_cells());
    Numbers gradient(u.size(), 0);
    for (std::size_t i = 0; i < u.size(); ++i) {
      if (owned.count(static_cast<std::int64_t>(i % cells)) == 0) continue;
      std::vector<Complex> x;
      const std::size_t s = i / sample;
      for (std::size_t k = s * sample; k < (s + 1) * sample; ++k) x.emplace_back(u[k], k == i ? tiny : 0);
      const auto f = testing::react_and_diffuse(axes, system.diffusivities, system.rates, x);
      for (std::size_t k = 0; k < sample; ++k) gradient[i] += w[s * sample + k] * f[k].imag() / tiny;
    }
    return gradient;
  }

  Axes axes;
  System system;
  std::size_t cells;
  std::size_t sample;  // entries
  std::shared_ptr<const grid::CellGrid> grid;
  std::shared_ptr<ReactionDiffusionTerm> term;
  Numbers u, v, w;
};

double largest(const Numbers& numbers) {
  double value = 1;
  for (const double x : numbers) value = std::max(value, std::abs(x));
  return value;
}

/// body(problem) for all systems on all grids; on more ranks, which wait for each other, for one or two systems on each
/// grid, in turn.
void for_problems(const std::function<void(const Problem&)>& body) {
  const auto axes = testing::various_axes();
  const int ranks = testing::size_of();
  const std::size_t count = ranks > 4 ? 1 : ranks > 2 ? 2 : systems.size();
  for (std::size_t k = 0; k < axes.size(); ++k)
    for (std::size_t n = 0; n < count; ++n) {
      const System& system = systems[(k + n) % systems.size()];
      BOOST_TEST_CONTEXT("axes " << k << ", " << system.name) { body(Problem(axes[k], system)); }
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_reaction_diffusion_term, *utf::label("distributed"))

BOOST_AUTO_TEST_CASE(products_are_those_of_the_slow_reference, *utf::label("gradient") * utf::label("np1") *
                                                                   utf::label("np2") * utf::label("np3") *
                                                                   utf::label("np4") * utf::label("np6")) {
  for_problems([](const Problem& problem) {
    const auto u = problem.vec(problem.u);
    const auto result = unwritten_like(u.get());
    problem.term->apply(0, u.get(), result.get());
    const Numbers f = problem.reference();
    BOOST_TEST(distance(entries_of(result.get()), problem.part(f)) <= 1e-12 * largest(f));
    const auto linearization = problem.term->linearize(0, u.get());
    ESPALIER_CALL(VecSet(result.get(), std::nan("")));
    linearization->jvp(problem.vec(problem.v).get(), result.get());
    const Numbers jv = problem.reference(problem.v);
    BOOST_TEST(distance(entries_of(result.get()), problem.part(jv)) <= 1e-12 * largest(jv));
    ESPALIER_CALL(VecSet(result.get(), std::nan("")));
    linearization->vjp(problem.vec(problem.w).get(), result.get());
    // Entries one by one take long in three dimensions: there the test below has to do.
    if (problem.axes.size() == 3) return;
    const Numbers jtw = problem.reference_gradient();
    BOOST_TEST(distance(entries_of(result.get()), problem.part(jtw)) <= 1e-12 * largest(jtw));
  });
}

BOOST_AUTO_TEST_CASE(transposed_products_are_exact, *utf::label("gradient") * utf::label("np1") * utf::label("np2") *
                                                        utf::label("np3") * utf::label("np4") * utf::label("np6")) {
  for_problems([](const Problem& problem) {
    const auto u = problem.vec(problem.u);
    BOOST_TEST(model::dot_product_error(*problem.term, 0, u.get(), 5) <= 1e-12);
  });
}

BOOST_AUTO_TEST_CASE(derivatives_have_slope_two, *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  for_problems([](const Problem& problem) {
    if (problem.term->affine()) return;  // leaves rounding errors alone
    const auto u = problem.vec(problem.u);
    const auto v = problem.vec(problem.v);
    const auto w = problem.vec(problem.w);
    const auto moved = unwritten_like(u.get());
    const auto f = unwritten_like(u.get());
    const auto value = [&](double e) {
      PetscScalar sum = 0;
      ESPALIER_CALL(VecWAXPY(moved.get(), e, v.get(), u.get()));
      problem.term->apply(0, moved.get(), f.get());
      ESPALIER_CALL(VecDot(w.get(), f.get(), &sum));
      return sum;
    };
    PetscScalar derivative = 0;
    problem.term->linearize(0, u.get())->vjp(w.get(), f.get());
    ESPALIER_CALL(VecDot(f.get(), v.get(), &derivative));
    BOOST_TEST(model::taylor_test(value, derivative, 0.1, 5).passed());
  });
}

BOOST_AUTO_TEST_CASE(matrices_are_the_derivative, *utf::label("gradient") * utf::label("np1") * utf::label("np2") *
                                                      utf::label("np3") * utf::label("np4") * utf::label("np6")) {
  for_problems([](const Problem& problem) {
    const auto linearization = problem.term->linearize(0, problem.vec(problem.u).get());
    const bool affine = problem.system.rates == Rates::none || problem.system.rates == Rates::affine;
    BOOST_TEST(linearization->matrices() == (affine ? 1 : static_cast<std::int64_t>(samples)));
    const Numbers jv = problem.reference(problem.v);
    for (std::size_t s = 0; s < samples; ++s) {
      const auto matrix = linearization->create_matrix();
      const auto v = problem.vec(problem.of_sample(problem.v, s));
      const auto product = unwritten_like(v.get());
      const Numbers expected = problem.part(problem.of_sample(jv, s));
      // What is there is added to, or written over.
      const auto k = static_cast<std::int64_t>(affine ? 0 : s);
      linearization->add_to_matrix(k, 0.5, matrix.get());
      linearization->add_to_matrix(k, -1.5, matrix.get());
      ESPALIER_CALL(MatMult(matrix.get(), v.get(), product.get()));
      ESPALIER_CALL(VecScale(product.get(), -1));
      BOOST_TEST(distance(entries_of(product.get()), expected) <= 1e-12 * largest(jv));
      linearization->write_matrix(k, 3, -1, matrix.get());
      ESPALIER_CALL(MatMult(matrix.get(), v.get(), product.get()));
      ESPALIER_CALL(VecAXPBY(product.get(), 3, -1, v.get()));  // J v = 3 v - (3 I - J) v
      BOOST_TEST(distance(entries_of(product.get()), expected) <= 1e-12 * largest(jv));
    }
  });
}

BOOST_AUTO_TEST_CASE(matrices_know_their_fields, *utf::label("unit") * utf::label("np1") * utf::label("np3")) {
  const Problem named(testing::various_axes()[4], systems[0]);
  const Problem numbered(testing::various_axes()[4], systems[1]);
  for (const Problem* problem : {&named, &numbered}) {
    const auto linearization = problem->term->linearize(0, problem->vec(problem->u).get());
    const auto matrix = linearization->create_matrix();
    const auto fields = petsc::fields_of(matrix.get());
    BOOST_REQUIRE(fields.size() == problem->system.diffusivities.size());
    BOOST_TEST(fields[1].name == (problem == &named ? "v" : "1"));
    // Ones in the rows of the field are the state whose field is one.
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const petsc::VecHandle ones = problem->vec(Numbers(problem->sample, 0));
      Numbers expected(problem->sample, 0);
      std::fill_n(expected.begin() + static_cast<long>(i * problem->cells), problem->cells, 1);
      ESPALIER_CALL(VecISSet(ones.get(), fields[i].rows.get(), 1));
      BOOST_TEST(distance(entries_of(ones.get()), problem->part(expected)) == 0);
    }
  }
  petsc::MatHandle other;
  ESPALIER_CALL(MatCreateConstantDiagonal(PETSC_COMM_WORLD, 3, 3, PETSC_DETERMINE, PETSC_DETERMINE, 1, other.out()));
  BOOST_TEST(petsc::fields_of(other.get()).empty());
}

// Fields on grids for wider stencils have more ghosts, and batches may change their size.
BOOST_AUTO_TEST_CASE(wider_grids_and_other_batches, *utf::label("unit") * utf::label("np1") * utf::label("np3")) {
  const Problem problem(testing::various_axes()[6], systems[0], 2);
  const Numbers f = problem.reference();
  for (const std::size_t s : {std::size_t{0}, std::size_t{1}}) {
    const auto u = problem.vec(problem.of_sample(problem.u, s));
    const auto result = unwritten_like(u.get());
    problem.term->apply(0, u.get(), result.get());
    BOOST_TEST(distance(entries_of(result.get()), problem.part(problem.of_sample(f, s))) <= 1e-12 * largest(f));
    const auto both = problem.vec(problem.u);
    const auto result_of_both = unwritten_like(both.get());
    problem.term->apply(0, both.get(), result_of_both.get());
    BOOST_TEST(distance(entries_of(result_of_both.get()), problem.part(f)) <= 1e-12 * largest(f));
  }
}

BOOST_AUTO_TEST_CASE(linearisations_keep_their_point, *utf::label("unit") * utf::label("np1")) {
  const Problem problem(testing::various_axes()[4], systems[0]);
  const auto u = problem.vec(problem.u);
  const auto v = problem.vec(problem.v);
  const auto held = problem.term->linearize(0, u.get());
  const auto before = unwritten_like(u.get());
  const auto after = unwritten_like(u.get());
  held->jvp(v.get(), before.get());
  const auto other = problem.term->linearize(0, v.get());
  BOOST_TEST(other->matrices_version() != held->matrices_version());
  held->jvp(v.get(), after.get());
  BOOST_TEST(distance(entries_of(before.get()), entries_of(after.get())) == 0);
  const Problem affine(testing::various_axes()[4], systems[2]);
  BOOST_TEST(affine.term->linearize(0, u.get())->matrices_version() ==
             affine.term->linearize(1, v.get())->matrices_version());
}

BOOST_AUTO_TEST_CASE(bad_input_is_refused, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, Axes{testing::periodic_axis(8)});
  const auto refused = [&](std::vector<double> diffusivities, Rates rates) {
    return testing::message_of<UserError>(
        [&] { ReactionDiffusionTerm(grid, diffusivities, testing::reaction_of(rates)); });
  };
  BOOST_TEST(refused({0, 0}, Rates::gray_scott).empty());
  BOOST_TEST(refused({1}, Rates::gray_scott).find("2 fields") != std::string::npos);
  BOOST_TEST(!refused({}, Rates::none).empty());
  BOOST_TEST(!refused({1, -1}, Rates::none).empty());
  BOOST_TEST(!refused({1, std::nan("")}, Rates::none).empty());
  BOOST_CHECK_THROW(ReactionDiffusionTerm(grid, {1, 1}, nullptr, {"u"}), UserError);
  BOOST_CHECK_THROW(model::GrayScott(std::nan(""), 0), UserError);
  ReactionDiffusionTerm term(grid, {1, 1});
  const auto cells = static_cast<std::size_t>(grid->local_cells());
  const auto u = vector_of(Numbers(3 * cells, 0), PETSC_COMM_WORLD);
  const std::string message =
      testing::message_of<UserError>([&] { term.apply(0, u.get(), unwritten_like(u.get()).get()); });
  BOOST_TEST(message.find("[samples, fields, local cells]") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
