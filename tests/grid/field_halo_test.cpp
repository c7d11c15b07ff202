// Ghost cells of networks' fields against their definition on the whole grid.
#include "espalier/grid/field_halo.hpp"

#include <ATen/ATen.h>
#include <torch/autograd.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <random>
#include <string>

#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "nn/parts.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using grid::CellGrid;
using grid::FieldHalo;
using grid::Padding;
using grid::Sides;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

int ranks() { return testing::size_of(); }

constexpr std::int64_t samples = 2;
constexpr std::int64_t channels = 3;

/// Fields of the whole grid, the same on every rank.
at::Tensor whole_fields(const CellGrid& grid, std::uint64_t seed) {
  std::vector<std::int64_t> shape = {samples, channels};
  for (int d = grid.dimension() - 1; d >= 0; --d) shape.push_back(grid.axis(d).cells);
  return random_tensor(shape, seed);
}

/// This rank's part of fields with `width` ghosts around the whole grid, cut with its own ghosts.
at::Tensor framed_part(const CellGrid& grid, at::Tensor framed, std::int64_t width) {
  for (int d = 0; d < grid.dimension(); ++d)
    framed = framed.narrow(framed.dim() - 1 - d, grid.corner()[static_cast<std::size_t>(d)],
                           grid.extent()[static_cast<std::size_t>(d)] + 2 * width);
  return framed.contiguous();
}

double summed(double value) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
  return value;
}

/// Sleeps for a random time, different on each rank, when values and when cotangents pass.
struct Dawdle : torch::autograd::Function<Dawdle> {
  static std::mt19937& random() {
    static std::mt19937 generator(static_cast<unsigned>(testing::rank_of()));
    return generator;
  }
  static at::Tensor forward(torch::autograd::AutogradContext* /*context*/, const at::Tensor& x) {
    usleep(random()() % 3000);
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*context*/,
                                                 const torch::autograd::variable_list& cotangents) {
    usleep(random()() % 3000);
    return {cotangents[0].clone()};
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(grid_field_halo, *utf::label("distributed") * utf::label("np1") * utf::label("np2") *
                                           utf::label("np3") * utf::label("np4") * utf::label("np6"))

BOOST_AUTO_TEST_CASE(ghosts_are_the_cells_of_the_whole_grid) {
  for (const auto& [grid, padding, name] : testing::network_grids())
    for (const std::int64_t width : {1, 2}) {
      const FieldHalo halo(grid, padding);
      const at::Tensor whole = whole_fields(*grid, 5);
      const at::Tensor expected = framed_part(*grid, testing::framed(*grid, padding, whole, width), width);
      const at::Tensor part = framed_part(*grid, whole, 0);
      BOOST_TEST(at::equal(halo.extend(part, width), expected), name << " width " << width);
      // Remote sides first and the local ones then are all sides.
      const at::Tensor in_two = halo.extend(halo.extend(part, width, Sides::remote), width, Sides::local);
      BOOST_TEST(at::equal(in_two, expected), name << " in two steps");
      const at::Tensor single = part.to(at::kFloat);
      BOOST_TEST(at::equal(halo.extend(single, width), expected.to(at::kFloat)), name << " float");
    }
}

BOOST_AUTO_TEST_CASE(folding_is_transposed, *utf::label("gradient")) {
  for (const auto& [grid, padding, name] : testing::network_grids())
    for (const Sides sides : {Sides::all, Sides::remote, Sides::local}) {
      const FieldHalo halo(grid, padding);
      const auto seed = static_cast<std::uint64_t>(testing::rank_of());
      const at::Tensor x = framed_part(*grid, whole_fields(*grid, 5), 0).requires_grad_(true);
      const at::Tensor y = halo.extend(x, 2, sides);
      const at::Tensor w = random_tensor(y.sizes(), 10 + seed).requires_grad_(true);
      const at::Tensor folded = halo.fold(w, 2, sides);
      const double forwards = summed((y * w).sum().item<double>());
      const double backwards = summed((x * folded).sum().item<double>());
      BOOST_TEST(std::abs(forwards - backwards) <= 1e-12 * std::max(1.0, std::abs(forwards)), name);
      // As derivatives, and theirs.
      const at::Tensor x_bar = torch::autograd::grad({y}, {x}, {w}, true, true)[0];
      BOOST_TEST(at::equal(x_bar, folded), name << ": derivative of extend");
      const at::Tensor v = random_tensor(x.sizes(), 20 + seed);
      const at::Tensor pushed = torch::autograd::grad({x_bar}, {w}, {v}, true)[0];
      BOOST_TEST(at::equal(pushed, halo.extend(v, 2, sides)), name << ": second derivative");
      BOOST_TEST(at::equal(torch::autograd::grad({folded}, {w}, {v})[0], pushed), name << ": derivative of fold");
    }
}

BOOST_AUTO_TEST_CASE(no_more_is_sent_than_ghosts_of_other_ranks) {
  for (const auto& [grid, padding, name] : testing::network_grids()) {
    const FieldHalo halo(grid, padding);
    const std::int64_t width = 2;
    halo.extend(framed_part(*grid, whole_fields(*grid, 5), 0), width);
    std::int64_t cells = 1;
    std::int64_t with_ghosts = 1;
    for (int d = 0; d < grid->dimension(); ++d) {
      std::int64_t n = grid->extent()[static_cast<std::size_t>(d)];
      cells *= n;
      if (grid->parts()[static_cast<std::size_t>(d)] > 1)
        for (const bool high : {false, true}) n += grid->neighbour(d, high) == MPI_PROC_NULL ? 0 : width;
      with_ghosts *= n;
    }
    const double sent = summed(static_cast<double>(halo.traffic().bytes));
    const double expected = summed(static_cast<double>(with_ghosts - cells)) * samples * channels * sizeof(double);
    BOOST_TEST(sent == expected, name << ": " << sent << " bytes, expected " << expected);
    BOOST_TEST(halo.traffic().messages <= 2 * grid->dimension());
  }
}

BOOST_AUTO_TEST_CASE(ranks_may_come_late, *utf::label("gradient")) {
  for (const auto& [grid, padding, name] : testing::network_grids()) {
    const FieldHalo first(grid, padding);
    const FieldHalo second(grid, padding);
    const at::Tensor x = framed_part(*grid, whole_fields(*grid, 5), 0).requires_grad_(true);
    // Branches that are ready at the same time: the engine chooses, on every rank alike.
    const auto evaluate = [&](bool slowly) {
      const auto pass = [&](const at::Tensor& u) { return slowly ? Dawdle::apply(u) : u.clone(); };
      at::Tensor sum = at::zeros({}, at::kDouble);
      for (int branch = 0; branch < 4; ++branch)
        sum = sum + (branch + 1) * (pass(first.extend(pass(x), 1)).square().sum() +
                                    pass(second.extend(pass(x.sin()), 2)).cos().sum());
      return torch::autograd::grad({sum}, {x})[0];
    };
    BOOST_TEST(at::equal(evaluate(true), evaluate(false)), name);
  }
}

BOOST_AUTO_TEST_CASE(another_order_is_refused, *utf::label("np2")) {
  const auto grid = std::make_shared<CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{8, 0, 1, {}, {}}});
  const FieldHalo halo(grid, Padding::zero);
  const at::Tensor x = at::ones({1, 1, 4}, at::kDouble).requires_grad_(true);
  const at::Tensor a = halo.extend(x, 1);
  const at::Tensor b = halo.extend(x, 1);
  const at::Tensor w = at::ones_like(a);
  const bool swapped = testing::rank_of() == 1;
  BOOST_CHECK_EXCEPTION(
      torch::autograd::grad({swapped ? a : b}, {x}, {w}), std::exception, [](const std::exception& e) {
        return std::string(e.what()).find("all ranks must evaluate and differentiate the same graph") !=
               std::string::npos;
      });
}

BOOST_AUTO_TEST_CASE(parts_with_too_few_cells_are_refused) {
  const auto grid =
      std::make_shared<CellGrid>(PETSC_COMM_WORLD, std::vector<grid::Axis>{{2 * ranks() + 1, 0, 1, {}, {}}});
  const FieldHalo halo(grid, Padding::zero);
  BOOST_CHECK_NO_THROW(halo.require_cells(2, Sides::all, 1, "a test"));
  BOOST_CHECK_NO_THROW(halo.require_cells(1, Sides::all, 2, "a test"));
  BOOST_CHECK_EXCEPTION(halo.require_cells(4, Sides::all, 1, "a test"), UserError, [](const UserError& e) {
    return std::string(e.what()).find("a test needs 4 cells along axis x on every rank, but with " +
                                      std::to_string(ranks()) + " ranks along it one of them has ") == 0;
  });
}

BOOST_AUTO_TEST_SUITE_END()
