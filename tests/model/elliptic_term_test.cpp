// Diffusion and reaction with coefficients for each sample: against FiniteVolumeTerm, sample by sample.
#include "espalier/model/elliptic_term.hpp"

#include <boost/test/unit_test.hpp>

#include "core/rank.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "grid/grids.hpp"
#include "model/finite_volume_reference.hpp"

using namespace espalier;
using model::EllipticTerm;
using testing::distance;
using testing::entries_of;
using testing::Numbers;
using testing::some_numbers;
using testing::vector_of;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t samples = 3;

/// The grids of the other tests, with cells for points and Neumann boundaries without flux.
std::vector<testing::Axes> axes_without_flux() {
  auto all = testing::various_axes();
  for (auto& axes : all)
    for (auto& axis : axes)
      for (auto* end : {&axis.low, &axis.high}) {
        if (end->type == grid::BoundaryType::neumann) end->value = 0;
        if (end->type == grid::BoundaryType::dirichlet_point) end->type = grid::BoundaryType::dirichlet;
      }
  return all;
}

class Problem {
 public:
  Problem(const testing::Axes& axes, EllipticTerm::Rows rows)
      : grid(std::make_shared<const grid::CellGrid>(PETSC_COMM_WORLD, axes)),
        term(std::make_shared<EllipticTerm>(grid, samples, rows)),
        d(numbers(1).mul(0.4).add(0.7)),
        r(numbers(2).mul(0.4).add(0.7)) {
    term->set_coefficients(d, r);
  }
  at::Tensor numbers(int seed) const {
    const auto values = some_numbers(static_cast<std::size_t>(samples * grid->global_cells()), seed);
    return grid->part_of(at::tensor(at::ArrayRef<double>(values), at::kDouble).view({samples, -1}));
  }
  petsc::VecHandle vec(const at::Tensor& values) const {
    const at::Tensor all = values.contiguous();
    return vector_of({all.data_ptr<double>(), all.data_ptr<double>() + all.numel()}, PETSC_COMM_WORLD);
  }
  at::Tensor tensor(Vec vec) const { return at::tensor(at::ArrayRef<double>(entries_of(vec)), at::kDouble).view_as(d); }
  at::Tensor value(const at::Tensor& c) const {
    const auto f = vec(c);
    term->apply(0, vec(c).get(), f.get());
    return tensor(f.get());
  }
  at::Tensor tangent(const at::Tensor& c, const at::Tensor& d_tan, const at::Tensor& r_tan) const {
    const auto f = vec(c);
    term->apply_tangent(vec(c).get(), d_tan, r_tan, f.get());
    return tensor(f.get());
  }
  double sum(const at::Tensor& local) const {
    double total = local.sum().item<double>();
    MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
    return total;
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::shared_ptr<EllipticTerm> term;
  at::Tensor d, r;
};

double largest(const at::Tensor& values) { return values.abs().max().item<double>(); }

/// div(D grad c) of one sample, J^T w and D_bar of <w, that>.
struct Reference {
  at::Tensor f, jtw, d_bar;
  Reference(const Problem& problem, std::int64_t k, const at::Tensor& c, const at::Tensor& w) {
    model::FiniteVolumeSettings settings;
    settings.advection = model::Advection::none;
    const auto fields = std::make_shared<testing::PlainFields>(std::vector<std::string>{"diffusivity"},
                                                               problem.d[k].unsqueeze(0).clone());
    model::FiniteVolumeTerm term(problem.grid, settings, fields);
    const auto argument = problem.vec(c[k]);
    const auto result = problem.vec(c[k]);
    const auto read = [&] { return at::tensor(at::ArrayRef<double>(entries_of(result.get())), at::kDouble); };
    term.apply(0, argument.get(), result.get());
    f = read();
    const auto products = term.linearize(0, argument.get());
    products->vjp(problem.vec(w[k]).get(), result.get());
    jtw = read();
    products->accumulate(1);
    term.finish_adjoint();
    d_bar = fields->flat().gradient().clone();
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(model_elliptic_term, *utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(values_products_and_matrices_are_those_of_single_samples,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const auto& axes : axes_without_flux()) {
    const Problem problem(axes, EllipticTerm::Rows::plain);
    const at::Tensor c = problem.numbers(3);
    const at::Tensor w = problem.numbers(4);
    const auto products = problem.term->linearize(0, problem.vec(c).get());
    const auto result = problem.vec(c);
    problem.term->parameters().front()->zero_gradient();
    products->vjp(problem.vec(w).get(), result.get());
    products->accumulate(3);
    products->accumulate(-2);
    const at::Tensor f = problem.value(c);
    const at::Tensor jtw = problem.tensor(result.get());
    BOOST_TEST(largest(problem.term->reaction_gradient() - w * c) <= 1e-13);
    for (std::int64_t k = 0; k < samples; ++k) {
      const Reference reference(problem, k, c, w);
      BOOST_TEST(largest(f[k] - (problem.r[k] * c[k] - reference.f)) <= 1e-12 * largest(f));
      BOOST_TEST(largest(jtw[k] - (problem.r[k] * w[k] - reference.jtw)) <= 1e-12 * largest(jtw));
      BOOST_TEST(largest(problem.term->diffusivity_gradient()[k] + reference.d_bar) <=
                 1e-12 * (1 + largest(reference.d_bar)));
      const auto matrix = products->create_matrix();
      const auto product = problem.vec(w[k]);
      products->add_to_matrix(k, 2, matrix.get());
      ESPALIER_CALL(MatMultTranspose(matrix.get(), problem.vec(w[k]).get(), product.get()));
      const at::Tensor twice = at::tensor(at::ArrayRef<double>(entries_of(product.get())), at::kDouble);
      BOOST_TEST(largest(twice - 2 * jtw[k]) <= 1e-12 * largest(jtw));
    }
  }
}

// Of plain rows f is bilinear; of divided ones a central difference of the tangent will do, and all else follows from
// it by inner products.
BOOST_AUTO_TEST_CASE(divided_rows_know_the_derivative_of_their_diagonal,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (const auto& axes : axes_without_flux())
    for (const auto rows : {EllipticTerm::Rows::plain, EllipticTerm::Rows::divided}) {
      const Problem problem(axes, rows);
      const at::Tensor c = problem.numbers(3);
      const at::Tensor w = problem.numbers(4);
      const at::Tensor d_tan = problem.numbers(5);
      const at::Tensor r_tan = problem.numbers(6);
      const at::Tensor f_tan = problem.tangent(c, d_tan, r_tan);
      const auto products = problem.term->linearize(0, problem.vec(c).get());
      const auto result = problem.vec(c);
      problem.term->parameters().front()->zero_gradient();
      products->vjp(problem.vec(w).get(), result.get());
      products->accumulate(1);
      const double left = problem.sum(w * f_tan);
      const double right = problem.sum(problem.term->diffusivity_gradient() * d_tan) +
                           problem.sum(problem.term->reaction_gradient() * r_tan);
      BOOST_TEST(std::abs(left - right) <= 1e-12 * problem.sum(w.abs() * f_tan.abs()));
      // <w, J v> = <J^T w, v>
      const at::Tensor v = problem.numbers(7);
      const double pulled = problem.sum(problem.tensor(result.get()) * v);
      products->jvp(problem.vec(v).get(), result.get());
      const at::Tensor jv = problem.tensor(result.get());
      BOOST_TEST(std::abs(problem.sum(w * jv) - pulled) <= 1e-12 * problem.sum(w.abs() * jv.abs()));
      BOOST_TEST(largest(jv - (problem.value(c + v) - problem.value(c))) <= 1e-11 * largest(jv));
      const double e = 1e-4;
      problem.term->set_coefficients(problem.d + e * d_tan, problem.r + e * r_tan);
      const at::Tensor after = problem.value(c);
      problem.term->set_coefficients(problem.d - e * d_tan, problem.r - e * r_tan);
      const at::Tensor difference = (after - problem.value(c)) / (2 * e);
      BOOST_TEST(largest(difference - f_tan) <= 1e-6 * largest(f_tan));
    }
}

BOOST_AUTO_TEST_CASE(bad_coefficients_are_refused_on_all_ranks,
                     *utf::label("unit") * utf::label("np1") * utf::label("np2")) {
  const grid::Boundary wall{grid::BoundaryType::dirichlet, 1};
  const grid::Boundary flux{grid::BoundaryType::neumann, 0.5};
  const Problem problem({testing::bounded_axis(8, wall, wall)}, EllipticTerm::Rows::plain);
  const int rank = testing::rank_of();
  const int size = testing::size_of();
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    at::Tensor d = problem.d.clone();
    if (rank == size - 1) d[1][2] = bad;
    BOOST_CHECK_EXCEPTION(
        problem.term->set_coefficients(d, problem.r), NumericalError, [&](const NumericalError& error) {
          return std::string(error.what()).find("cell 2 on rank " + std::to_string(size - 1) + " in sample 1") !=
                 std::string::npos;
        });
  }
  BOOST_CHECK_THROW(Problem({grid::point_axis(8)}, EllipticTerm::Rows::plain), UserError);
  BOOST_CHECK_THROW(Problem({testing::bounded_axis(8, wall, flux)}, EllipticTerm::Rows::plain), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
