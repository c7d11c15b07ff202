#include "espalier/model/finite_volume_term.hpp"

#include <boost/test/unit_test.hpp>
#include <set>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "model/finite_volume_reference.hpp"

using namespace espalier;
using model::Advection;
using model::FaceScheme;
using model::FiniteVolumeSettings;
using model::FiniteVolumeTerm;
using testing::Axes;
using testing::distance;
using testing::entries_of;
using testing::Fields;
using testing::Numbers;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

using Complex = std::complex<double>;

constexpr double tiny = 1e-40;  // the complex step

struct Scheme {
  Advection advection;
  FaceScheme scheme;
};

const std::vector<Scheme> schemes = {
    {Advection::none, FaceScheme::central},    {Advection::linear, FaceScheme::central},
    {Advection::linear, FaceScheme::upwind},   {Advection::linear, FaceScheme::limited},
    {Advection::burgers, FaceScheme::central}, {Advection::burgers, FaceScheme::upwind},
    {Advection::burgers, FaceScheme::limited}};

/// A term on one of the grids, with fields for all coefficients, and everything about it in natural order.
class Problem {
 public:
  static constexpr std::int64_t samples = 2;

  Problem(Axes given_axes, Scheme scheme) : axes(std::move(given_axes)), cells(testing::count_of(axes)) {
    settings.advection = scheme.advection;
    settings.scheme = scheme.scheme;
    const PetscInt width = scheme.scheme == FaceScheme::limited ? 2 : 1;
    grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, axes, width);
    std::vector<std::string> names = {"diffusivity"};
    for (std::size_t d = 0; scheme.advection != Advection::none && d < axes.size(); ++d)
      names.insert(names.begin(), std::string("velocity_") + "xyz"[d]);
    coefficients = some_numbers(names.size() * cells, 7);
    for (std::size_t i = (names.size() - 1) * cells; i < coefficients.size(); ++i) coefficients[i] += 1.5;
    fields = std::make_shared<testing::PlainFields>(names, part(coefficients));
    term = std::make_shared<FiniteVolumeTerm>(grid, settings, fields);
    u = some_numbers(samples * cells, 1);
    v = some_numbers(samples * cells, 2);
    w = some_numbers(samples * cells, 4);
  }

  /// This rank's part of fields or samples in natural order.
  at::Tensor part(const Numbers& whole) const {
    const auto rows = static_cast<std::int64_t>(whole.size() / cells);
    return grid->part_of(
        at::from_blob(const_cast<double*>(whole.data()), {rows, static_cast<std::int64_t>(cells)}, at::kDouble));
  }
  Numbers numbers_of_part(const Numbers& whole) const {
    const at::Tensor local = part(whole).contiguous();
    return {local.data_ptr<double>(), local.data_ptr<double>() + local.numel()};
  }
  petsc::VecHandle vec(const Numbers& whole) const { return vector_of(numbers_of_part(whole), PETSC_COMM_WORLD); }

  /// The reference of one sample, its arguments moved along the given directions by a complex step.
  std::vector<Complex> reference(std::size_t sample, const Numbers& u_tan, const Numbers& c_tan) const {
    const auto perturbed = [&](const Numbers& value, const Numbers& tangent, std::size_t row) {
      std::vector<Complex> result;
      for (std::size_t i = row * cells; i < (row + 1) * cells; ++i)
        result.emplace_back(value[i], tangent.empty() ? 0 : tiny * tangent[i]);
      return result;
    };
    Fields<Complex> x;
    x.u = perturbed(u, u_tan, sample);
    x.v.assign(axes.size(), std::vector<Complex>(cells));
    const std::size_t count = fields->names().size();
    for (std::size_t d = 0; d + 1 < count; ++d) x.v[d] = perturbed(coefficients, c_tan, count - 2 - d);
    x.d = perturbed(coefficients, c_tan, count - 1);
    return testing::FiniteVolumeReference<Complex>(axes, settings)(x);
  }

  /// f, or with directions its derivative along them, of all samples.
  Numbers reference_of_all(const Numbers& u_tan, const Numbers& c_tan) const {
    Numbers all;
    for (std::size_t s = 0; s < samples; ++s)
      for (const Complex& f : reference(s, u_tan, c_tan))
        all.push_back(u_tan.empty() && c_tan.empty() ? f.real() : f.imag() / tiny);
    return all;
  }

  Axes axes;
  std::size_t cells;
  FiniteVolumeSettings settings;
  std::shared_ptr<const grid::CellGrid> grid;
  Numbers coefficients, u, v, w;
  std::shared_ptr<testing::PlainFields> fields;
  std::shared_ptr<FiniteVolumeTerm> term;
};

double largest(const Numbers& numbers) {
  double value = 0;
  for (const double x : numbers) value = std::max(value, std::abs(x));
  return value;
}

/// The gradient of <w, f> by u (or by the coefficients) in natural order, one complex step for each entry; zero for
/// cells of other ranks.
Numbers reference_gradient(const Problem& problem, bool by_coefficients) {
  const std::size_t count = by_coefficients ? problem.coefficients.size() : problem.u.size();
  Numbers gradient;
  const auto* natural = problem.grid->natural_indices().data_ptr<std::int64_t>();
  Numbers direction(count, 0);
  const std::set<std::int64_t> owned(natural, natural + problem.grid->local_cells());
  for (std::size_t i = 0; i < count; ++i) {
    if (owned.count(static_cast<std::int64_t>(i % problem.cells)) == 0) {
      gradient.push_back(0);
      continue;
    }
    direction[i] = 1;
    double sum = 0;
    for (std::size_t s = 0; s < Problem::samples; ++s) {
      if (!by_coefficients && i / problem.cells != s) continue;
      const auto f = by_coefficients ? problem.reference(s, {}, direction) : problem.reference(s, direction, {});
      for (std::size_t k = 0; k < f.size(); ++k) sum += problem.w[s * problem.cells + k] * f[k].imag() / tiny;
    }
    gradient.push_back(sum);
    direction[i] = 0;
  }
  return gradient;
}

void check_products(const Problem& problem, const std::string& name) {
  BOOST_TEST_CONTEXT(name) {
    const auto u = problem.vec(problem.u);
    const auto result = unwritten_like(u.get());
    problem.term->apply(0, u.get(), result.get());
    const Numbers f = problem.reference_of_all({}, {});
    BOOST_TEST(distance(entries_of(result.get()), problem.numbers_of_part(f)) <= 1e-12 * largest(f));
    const auto linearization = problem.term->linearize(0, u.get());
    ESPALIER_CALL(VecSet(result.get(), std::nan("")));
    linearization->jvp(problem.vec(problem.v).get(), result.get());
    const Numbers jv = problem.reference_of_all(problem.v, {});
    BOOST_TEST(distance(entries_of(result.get()), problem.numbers_of_part(jv)) <= 1e-12 * largest(jv));
    ESPALIER_CALL(VecSet(result.get(), std::nan("")));
    linearization->vjp(problem.vec(problem.w).get(), result.get());
    const Numbers jtw = reference_gradient(problem, false);
    BOOST_TEST(distance(entries_of(result.get()), problem.numbers_of_part(jtw)) <= 1e-12 * largest(jtw));
    // Twice, with other weights: it is added to what is there.
    problem.fields->flat().zero_gradient();
    linearization->accumulate(1.5);
    linearization->accumulate(-0.75);
    problem.term->finish_adjoint();
    const at::Tensor c_bar = problem.fields->flat().gradient() / 0.75;
    const Numbers expected = reference_gradient(problem, true);
    const at::Tensor difference = c_bar.view({-1, problem.grid->local_cells()}) - problem.part(expected);
    BOOST_TEST(difference.abs().max().item<double>() <= 1e-12 * largest(expected));
  }
}

std::string name_of(const Problem& problem, std::size_t axes) {
  return "axes " + std::to_string(axes) + ", " +
         model::advection_names()[static_cast<std::size_t>(problem.settings.advection)] + " " +
         model::face_scheme_names()[static_cast<std::size_t>(problem.settings.scheme)];
}

petsc::VecHandle constant_like(Vec vec, double value) {
  petsc::VecHandle copy;
  ESPALIER_CALL(VecDuplicate(vec, copy.out()));
  ESPALIER_CALL(VecSet(copy.get(), value));
  return copy;
}

/// The columns [sample] of a batch as a vector of the grid.
petsc::VecHandle column(const Problem& problem, const Numbers& whole, std::size_t sample) {
  const auto start = whole.begin() + static_cast<long>(sample * problem.cells);
  return problem.vec(Numbers(start, start + static_cast<long>(problem.cells)));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_finite_volume_term, *utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(products_are_those_of_the_slow_reference,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const auto axes = testing::various_axes();
  for (std::size_t k = 0; k < axes.size(); ++k)
    for (const Scheme& scheme : schemes) {
      // Three dimensions are slow by complex steps: the scheme with most neighbours says it all.
      if (axes[k].size() == 3 && (scheme.scheme != FaceScheme::limited || scheme.advection != Advection::burgers))
        continue;
      const Problem problem(axes[k], scheme);
      check_products(problem, name_of(problem, k));
    }
}

BOOST_AUTO_TEST_CASE(matrices_are_the_derivative,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const auto axes = testing::various_axes();
  for (std::size_t k = 0; k < axes.size(); ++k)
    for (const Scheme& scheme : schemes) {
      const Problem problem(axes[k], scheme);
      const auto u = problem.vec(problem.u);
      const auto linearization = problem.term->linearize(0, u.get());
      const bool linear = scheme.advection == Advection::none ||
                          (scheme.advection == Advection::linear && scheme.scheme != FaceScheme::limited);
      BOOST_TEST(linearization->matrices() == (linear ? 1 : Problem::samples));
      const Numbers jv = problem.reference_of_all(problem.v, {});
      for (std::int64_t s = 0; s < Problem::samples; ++s) {
        const auto matrix = linearization->create_matrix();
        ESPALIER_CALL(MatShift(matrix.get(), 2));
        linearization->add_to_matrix(s, 0.5, matrix.get());
        linearization->add_to_matrix(s, -1.5, matrix.get());
        const auto v = column(problem, problem.v, static_cast<std::size_t>(s));
        const auto product = unwritten_like(v.get());
        ESPALIER_CALL(MatMult(matrix.get(), v.get(), product.get()));
        // (2 I + J / 2 - 3 J / 2) v = 2 v - J v
        ESPALIER_CALL(VecAYPX(product.get(), -1, constant_like(v.get(), 0).get()));
        ESPALIER_CALL(VecAXPY(product.get(), 2, v.get()));
        const auto expected = column(problem, jv, static_cast<std::size_t>(s));
        BOOST_TEST(distance(entries_of(product.get()), entries_of(expected.get())) <= 1e-12 * largest(jv),
                   name_of(problem, k));
      }
    }
}

// f(u) = L(u) u.
BOOST_AUTO_TEST_CASE(frozen_coefficients_give_back_f,
                     *utf::label("unit") * utf::label("impindiff") * utf::label("np1") * utf::label("np2")) {
  for (const Scheme& scheme : schemes) {
    const Problem problem({testing::periodic_axis(9), testing::periodic_axis(8)}, scheme);
    const auto u = problem.vec(problem.u);
    const auto f = unwritten_like(u.get());
    const auto product = unwritten_like(u.get());
    problem.term->apply(0, u.get(), f.get());
    problem.term->linearize_frozen(0, u.get())->jvp(u.get(), product.get());
    BOOST_TEST(distance(entries_of(product.get()), entries_of(f.get())) <= 1e-7);
    // The derivative is another matrix where f is quadratic.
    problem.term->linearize(0, u.get())->jvp(u.get(), product.get());
    const bool same = distance(entries_of(product.get()), entries_of(f.get())) <= 1e-7;
    BOOST_TEST(same == (scheme.advection != Advection::burgers));
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_lost_between_cells,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const auto axes = testing::various_axes();
  for (std::size_t k = 0; k < axes.size(); ++k)
    for (const Scheme& scheme : schemes) {
      const Problem problem(axes[k], scheme);
      const auto u = problem.vec(problem.u);
      const auto f = unwritten_like(u.get());
      problem.term->apply(0, u.get(), f.get());
      // What enters through the boundary, by the reference's fluxes there.
      Fields<double> x;
      double entering = 0;
      for (std::size_t s = 0; s < Problem::samples; ++s) {
        const auto row = [&](const Numbers& rows, std::size_t r) {
          const auto start = rows.begin() + static_cast<long>(r * problem.cells);
          return Numbers(start, start + static_cast<long>(problem.cells));
        };
        x.u = row(problem.u, s);
        const std::size_t count = problem.fields->names().size();
        x.v.assign(problem.axes.size(), Numbers(problem.cells, 0));
        for (std::size_t d = 0; d + 1 < count; ++d) x.v[d] = row(problem.coefficients, count - 2 - d);
        x.d = row(problem.coefficients, count - 1);
        const testing::FiniteVolumeReference<double> reference(problem.axes, problem.settings);
        const auto n = testing::cells_of(problem.axes);
        for (std::size_t d = 0; d < problem.axes.size(); ++d) {
          if (problem.axes[d].low.type == grid::BoundaryType::periodic) continue;
          testing::Index i{};
          for (i[2] = 0; i[2] < (d == 2 ? 1 : n[2]); ++i[2])
            for (i[1] = 0; i[1] < (d == 1 ? 1 : n[1]); ++i[1])
              for (i[0] = 0; i[0] < (d == 0 ? 1 : n[0]); ++i[0]) {
                testing::Index end = i;
                end[d] = n[d];
                entering += (reference.flux_below(x, i, d) - reference.flux_below(x, end, d)) /
                            testing::spacing_of(problem.axes[d]);
              }
        }
      }
      PetscScalar sum = 0;
      PetscReal size = 0;
      ESPALIER_CALL(VecSum(f.get(), &sum));
      ESPALIER_CALL(VecNorm(f.get(), NORM_1, &size));
      BOOST_TEST(std::abs(sum - entering) <= 1e-13 * size, name_of(problem, k));
    }
}

BOOST_AUTO_TEST_CASE(lifted_diffusivities_have_no_derivative,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2")) {
  Problem problem(testing::various_axes()[4], schemes[1]);
  const Numbers raw = problem.coefficients;
  const std::size_t start = raw.size() - problem.cells;
  problem.settings.diffusivity_floor = 1.4;
  problem.term = std::make_shared<FiniteVolumeTerm>(problem.grid, problem.settings, problem.fields);
  for (std::size_t i = start; i < raw.size(); ++i) problem.coefficients[i] = std::max(raw[i], 1.4);
  const auto u = problem.vec(problem.u);
  const auto result = unwritten_like(u.get());
  problem.term->apply(0, u.get(), result.get());
  const Numbers f = problem.reference_of_all({}, {});
  BOOST_TEST(distance(entries_of(result.get()), problem.numbers_of_part(f)) <= 1e-12 * largest(f));
  const auto linearization = problem.term->linearize(0, u.get());
  linearization->vjp(problem.vec(problem.w).get(), result.get());
  linearization->accumulate(1);
  problem.term->finish_adjoint();
  Numbers expected = reference_gradient(problem, true);
  std::size_t lifted = 0;
  for (std::size_t i = start; i < raw.size(); ++i)
    if (raw[i] < 1.4) {
      expected[i] = 0;
      ++lifted;
    }
  BOOST_TEST((lifted > 5 && lifted < problem.cells - 5));
  const at::Tensor difference =
      problem.fields->flat().gradient().view({-1, problem.grid->local_cells()}) - problem.part(expected);
  BOOST_TEST(difference.abs().max().item<double>() <= 1e-12 * largest(expected));
}

BOOST_AUTO_TEST_CASE(fields_are_read_once_for_each_time_and_version, *utf::label("unit") * utf::label("np1")) {
  const Problem problem(testing::various_axes()[4], schemes[3]);
  const auto moving =
      std::make_shared<testing::PlainFields>(problem.fields->names(), problem.part(problem.coefficients), 0.5);
  FiniteVolumeTerm term(problem.grid, problem.settings, moving);
  const auto u = problem.vec(problem.u);
  const auto at_0 = unwritten_like(u.get());
  const auto other = unwritten_like(u.get());
  term.apply(0, u.get(), at_0.get());
  const auto held = term.linearize(0, u.get());
  for (const double t : {1.0, 0.0, 1.0 + 1e-14, 2.0, 1.0}) term.apply(t, u.get(), other.get());
  BOOST_TEST(moving->evaluations == 3);
  // (1 + t / 2) c: at t = 2 twice the rates of t = 0.
  term.apply(2, u.get(), other.get());
  ESPALIER_CALL(VecAXPY(other.get(), -2, at_0.get()));
  BOOST_TEST(largest(entries_of(other.get())) <= 1e-12 * largest(entries_of(at_0.get())));
  // A linearisation keeps its coefficients whatever happens afterwards.
  const auto jv = unwritten_like(u.get());
  held->jvp(u.get(), jv.get());
  const Numbers before = entries_of(jv.get());
  for (int k = 3; k < 12; ++k) {
    const auto next = term.linearize(k, u.get());
    next->vjp(u.get(), other.get());
  }
  held->jvp(u.get(), jv.get());
  BOOST_TEST(distance(entries_of(jv.get()), before) == 0);
  held->vjp(u.get(), jv.get());
  held->accumulate(1);
  BOOST_TEST(moving->cotangent_time == 0);
  const int evaluations = moving->evaluations;
  moving->flat().values().mul_(2);
  moving->flat().mark_changed();
  term.apply(11, u.get(), other.get());
  BOOST_TEST(moving->evaluations == evaluations + 1);
}

BOOST_AUTO_TEST_CASE(bad_settings_and_fields_are_refused, *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, Axes{testing::periodic_axis(8)});
  const std::int64_t cells = grid->local_cells();
  const auto refused = [&](const std::function<void(FiniteVolumeSettings&)>& change, std::vector<std::string> names) {
    FiniteVolumeSettings settings;
    change(settings);
    const auto fields = std::make_shared<testing::PlainFields>(
        names, at::ones({static_cast<std::int64_t>(names.size()), cells}, at::kDouble));
    return testing::message_of<UserError>([&] { FiniteVolumeTerm(grid, settings, fields); });
  };
  const auto nothing = [](FiniteVolumeSettings&) {};
  BOOST_TEST(refused(nothing, {"velocity_x", "diffusivity"}).empty());
  BOOST_TEST(refused(nothing, {"viscosity"}).find("velocity_x, diffusivity") != std::string::npos);
  BOOST_TEST(!refused(nothing, {"velocity_y"}).empty());
  BOOST_TEST(!refused(nothing, {"velocity_x", "velocity_x"}).empty());
  BOOST_TEST(!refused([](auto& s) { s.advection = Advection::none; }, {"velocity_x"}).empty());
  BOOST_TEST(!refused([](auto& s) { s.velocity = {1, 2}; }, {"diffusivity"}).empty());
  BOOST_TEST(!refused([](auto& s) { s.velocity = {std::nan("")}; }, {"diffusivity"}).empty());
  BOOST_TEST(!refused([](auto& s) { s.diffusivity = -1; }, {"velocity_x"}).empty());
  BOOST_TEST(!refused([](auto& s) { s.diffusivity_floor = 0; }, {"velocity_x"}).empty());
  BOOST_TEST(refused([](auto& s) { s.scheme = FaceScheme::limited; }, {"velocity_x"}).find("width 2") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(bad_values_are_refused_on_all_ranks,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const auto grid = std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD,
                                                           Axes{testing::periodic_axis(4), testing::periodic_axis(8)});
  const std::int64_t cells = grid->local_cells();
  const int rank = testing::rank_of();
  const int size = testing::size_of();
  const bool last = rank == size - 1;
  const auto state = vector_of(Numbers(static_cast<std::size_t>(cells), 1), PETSC_COMM_WORLD);
  const auto f = unwritten_like(state.get());
  const auto apply = [&](double diffusivity, std::optional<double> floor) {
    // The last rank's cell (1, 2) of its own.
    at::Tensor values = at::ones({1, cells}, at::kDouble);
    if (last) values[0][1 + 2 * grid->extent()[0]] = diffusivity;
    FiniteVolumeSettings settings;
    settings.diffusivity_floor = floor;
    FiniteVolumeTerm term(grid, settings,
                          std::make_shared<testing::PlainFields>(std::vector<std::string>{"diffusivity"}, values));
    return testing::message_of<NumericalError>([&] { term.apply(0, state.get(), f.get()); });
  };
  auto corner = grid->corner();
  MPI_Bcast(corner.data(), 3, MPIU_INT, size - 1, PETSC_COMM_WORLD);
  const std::string place = "(" + std::to_string(corner[0] + 1) + ", " + std::to_string(corner[1] + 2) + ") on rank " +
                            std::to_string(size - 1);
  for (const double bad : {0.0, -0.25, std::nan("")}) {
    const std::string message = apply(bad, {});
    BOOST_TEST(message.find(place + " is " + std::to_string(bad)) != std::string::npos, message);
  }
  BOOST_TEST(apply(-0.25, 0.1).empty());
  BOOST_TEST(!apply(std::nan(""), 0.1).empty());
  // A shape that only one rank has wrong, and states that are no whole samples.
  const at::Tensor wrong = at::ones({1, cells + (last ? 1 : 0)}, at::kDouble);
  FiniteVolumeTerm term(grid, {},
                        std::make_shared<testing::PlainFields>(std::vector<std::string>{"diffusivity"}, wrong));
  BOOST_TEST(testing::message_of<UserError>([&] { term.apply(0, state.get(), f.get()); }).find("shape [1, ") !=
             std::string::npos);
  FiniteVolumeTerm plain(grid, {});
  const auto longer = vector_of(Numbers(static_cast<std::size_t>(cells + (last ? 1 : 0)), 1), PETSC_COMM_WORLD);
  BOOST_CHECK_THROW(plain.linearize(0, longer.get()), UserError);
  // As many entries as a sample in all, but not on each rank.
  if (size > 1) {
    const std::int64_t shifted = cells + (rank == 0 ? 1 : 0) - (last ? 1 : 0);
    const auto uneven = vector_of(Numbers(static_cast<std::size_t>(shifted), 1), PETSC_COMM_WORLD);
    BOOST_CHECK_THROW(plain.linearize(0, uneven.get()), UserError);
  }
}

BOOST_AUTO_TEST_SUITE_END()
