#include "espalier/nn/conditional_field.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/messages.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using nn::ConditionalField;
using nn::ConditionalFieldSettings;
using testing::difference;
using testing::mentions;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

ConditionalFieldSettings small_settings() {
  ConditionalFieldSettings settings;
  settings.names = {"vx", "vy", "nu"};
  settings.condition = 2;
  settings.hypernetwork = {5, 4};
  settings.latent = 3;
  settings.hidden = {7, 6};
  settings.omega = 5;
  settings.spread = 0.5;
  settings.scale = {1, 2, 0.01};
  settings.offset = {0, -1, 0.5};
  settings.seed = 3;
  return settings;
}

using Row = std::vector<double>;

Row row_of(const at::Tensor& tensor) {
  const auto flat = tensor.detach().to(torch::kDouble).contiguous().view({-1});
  return Row(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
}

/// W x + b, W row by row.
Row affine(const double* weight, const double* bias, const Row& x, std::size_t outputs) {
  Row y(outputs);
  for (std::size_t i = 0; i < outputs; ++i) {
    y[i] = bias[i];
    for (std::size_t j = 0; j < x.size(); ++j) y[i] += weight[i * x.size() + j] * x[j];
  }
  return y;
}

/// Field k at one point under one condition, number by number.
double by_hand(ConditionalField& field, std::int64_t k, const Row& point, const Row& condition) {
  const auto& settings = field.settings();
  const auto& theta = field.parameters().tensors();
  Row z = condition;
  for (std::size_t i = 0; i < theta.size(); i += 2) {
    const Row weight = row_of(theta[i][k]);
    const Row bias = row_of(theta[i + 1][k]);
    z = affine(weight.data(), bias.data(), z, bias.size());
    if (i + 4 < theta.size())
      for (double& entry : z) entry = entry > 0 ? entry : 0.01 * entry;
  }
  Row a = point;
  const double* next = z.data();
  for (const auto width : settings.hidden) {
    const auto outputs = static_cast<std::size_t>(width);
    const double* bias = next + outputs * a.size();
    a = affine(next, bias, a, outputs);
    next = bias + outputs;
    for (double& entry : a) entry = std::sin(settings.omega * entry);
  }
  const double y = affine(next, next + a.size(), a, 1)[0];
  const auto place = static_cast<std::size_t>(k);
  return settings.offset[place] + settings.scale[place] * y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_conditional_field, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(values_are_those_of_the_formula) {
  ConditionalField field(small_settings());
  const auto points = random_tensor({4, 2}, 1);
  const auto conditions = random_tensor({3, 2}, 2);
  const auto y = field.evaluate(points, conditions);
  BOOST_TEST_REQUIRE((y.sizes() == at::IntArrayRef{3, 4, 3}));
  for (std::int64_t m = 0; m < 3; ++m) {
    const auto alone = field.evaluate(points, conditions[m]);
    BOOST_TEST_REQUIRE((alone.sizes() == at::IntArrayRef{4, 3}));
    BOOST_TEST(alone.t().is_contiguous());
    BOOST_TEST(difference(alone, y[m]) <= 1e-14);
    for (std::int64_t n = 0; n < 4; ++n)
      for (std::int64_t k = 0; k < 3; ++k)
        BOOST_TEST(std::abs(y[m][n][k].item<double>() - by_hand(field, k, row_of(points[n]), row_of(conditions[m]))) <=
                   1e-13);
  }
  BOOST_TEST(field.evaluate(points.narrow(0, 0, 0), conditions[0]).size(0) == 0);
  // 1/16/16/16/10 and 10 -> 2/128/1.
  BOOST_TEST(ConditionalField({}).parameters().count() == 746 + 11 * 513);
}

// Points of grids in the plane and in space, for shallow and deep base networks: the plain formula, and its gradient.
BOOST_AUTO_TEST_CASE(points_in_lines_give_the_same, *utf::label("gradient")) {
  for (const std::int64_t dimension : {2, 3}) {
    for (const auto& hidden : {std::vector<std::int64_t>{7}, {7, 6}, {5, 4, 3}}) {
      auto settings = small_settings();
      settings.dimension = dimension;
      settings.hidden = hidden;
      ConditionalField field(settings);
      const auto x = random_tensor({4}, 1);
      auto grid = torch::cartesian_prod({random_tensor({3}, 2), x}).flip(1);  // x runs fastest
      if (dimension == 3) grid = torch::cartesian_prod({random_tensor({2}, 3), random_tensor({3}, 2), x}).flip(1);
      const nn::PointSet points(grid);
      BOOST_TEST(points.in_lines());
      BOOST_TEST(points.x().size(0) == 4);
      BOOST_TEST(points.rest().size(0) == grid.size(0) / 4);
      // Points in another order are in no lines: these stand for the formula.
      const auto order = torch::randperm(grid.size(0), at::detail::createCPUGenerator(4));
      BOOST_TEST(!nn::PointSet(grid.index_select(0, order)).in_lines());
      const auto conditions = random_tensor({2, 2}, 5);
      const auto w = random_tensor({2, grid.size(0), 3}, 6);
      const auto y = field.evaluate(points, conditions);
      const auto plain = field.evaluate(grid.index_select(0, order), conditions);
      BOOST_TEST(difference(y.index_select(1, order), plain) <= 1e-13);
      const auto gradient = torch::autograd::grad({y}, field.parameters().tensors(), {w});
      const auto expected = torch::autograd::grad({plain}, field.parameters().tensors(), {w.index_select(1, order)});
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        BOOST_TEST(expected[i].abs().max().item<double>() > 1e-8);
        BOOST_TEST(difference(gradient[i], expected[i]) <= 1e-12 * (1 + expected[i].abs().max().item<double>()));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_not_a_grid_is_in_no_lines) {
  const auto grid = torch::cartesian_prod({random_tensor({3}, 2), random_tensor({4}, 1)}).flip(1).contiguous();
  BOOST_TEST(nn::PointSet(grid).in_lines());
  for (const std::int64_t coordinate : {0, 1}) {
    auto moved = grid.clone();
    moved[9][coordinate] += 1e-9;
    BOOST_TEST(!nn::PointSet(moved).in_lines());
  }
  BOOST_TEST(!nn::PointSet(grid.narrow(0, 0, 11)).in_lines());
  BOOST_TEST(!nn::PointSet(grid.narrow(0, 0, 4)).in_lines());
  BOOST_TEST(!nn::PointSet(grid.narrow(0, 0, 0)).in_lines());
  BOOST_TEST(!nn::PointSet(grid.flip(1)).in_lines());
  BOOST_TEST(!nn::PointSet(random_tensor({6, 1}, 1)).in_lines());
  BOOST_CHECK_EXCEPTION(nn::PointSet(random_tensor({6}, 1)), UserError, mentions("[n, dimension]"));
}

// Sitzmann et al. 2020: layers behind sines have weights of variance bound^2 / 3 with bound = sqrt(6 / n) / w0.
BOOST_AUTO_TEST_CASE(base_networks_begin_as_sirens) {
  ConditionalFieldSettings settings;
  settings.names.assign(40, "field");
  settings.hidden = {64, 32};
  ConditionalField field(settings);
  const auto weights = field.base_weights(torch::tensor({{0.}, {1.}}, torch::kDouble)).detach();
  const struct {
    std::int64_t first, count;
    double bound;
  } parts[] = {{0, 128, 1.0 / 2},   {128, 64, 1 / std::sqrt(2.0)},        {192, 2048, std::sqrt(6.0 / 64) / 30},
               {2240, 32, 1.0 / 8}, {2272, 32, std::sqrt(6.0 / 32) / 30}, {2304, 1, 1 / std::sqrt(32.0)}};
  BOOST_TEST_REQUIRE(weights.size(2) == 2305);
  for (const auto& part : parts) {
    const auto drawn = weights.narrow(2, part.first, part.count) / part.bound;
    const double count = static_cast<double>(40 * part.count);
    // Five standard deviations of these statistics for a uniform distribution.
    BOOST_TEST(std::abs(3 * drawn.select(1, 0).square().mean().item<double>() - 1) <=
               5 * 0.9 / std::sqrt(count) + 0.01);
    BOOST_TEST(std::abs(drawn.select(1, 0).mean().item<double>()) <= 5 * 0.58 / std::sqrt(count) + 0.01);
    BOOST_TEST(drawn.abs().max().item<double>() <= 1.2);
    // Another condition changes them by a small part, but does.
    const double change = (drawn.select(1, 1) - drawn.select(1, 0)).abs().mean().item<double>();
    BOOST_TEST(change > 1e-4);
    BOOST_TEST(change < 0.1);
  }
}

BOOST_AUTO_TEST_CASE(gradients_of_all_groups, *utf::label("gradient")) {
  ConditionalField field(small_settings());
  const auto points = random_tensor({6, 2}, 1);
  const auto conditions = random_tensor({2, 2}, 2);
  const auto w = random_tensor({2, 6, 3}, 3);
  (field.evaluate(points, conditions) * w).sum().backward();
  const auto loss = [&] {
    const torch::NoGradGuard no_grad;
    return (field.evaluate(points, conditions) * w).sum().item<double>();
  };
  const auto& theta = field.parameters().tensors();
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const auto v = random_tensor(theta[i].sizes(), 10 + i);
    const double adjoint = (field.parameters().gradients()[i] * v).sum().item<double>();
    BOOST_TEST(std::abs(adjoint) > 1e-6);
    // <w, J v> = <J^T w, v>; J v is the derivative of J^T w with respect to w.
    const auto variable = torch::zeros_like(w).requires_grad_(true);
    const auto pulled =
        torch::autograd::grad({field.evaluate(points, conditions)}, {theta[i]}, {variable}, true, true)[0];
    const auto pushed = torch::autograd::grad({pulled}, {variable}, {v})[0];
    BOOST_TEST(std::abs((pushed * w).sum().item<double>() - adjoint) <=
               1e-12 * (pushed * w).abs().sum().item<double>());
    // (L(theta + h v) - L(theta - h v)) / (2 h)
    const double h = 1e-5;
    const at::Tensor leaf = theta[i].detach();
    leaf.add_(v, h);
    const double above = loss();
    leaf.add_(v, -2 * h);
    const double below = loss();
    leaf.add_(v, h);
    BOOST_TEST(std::abs((above - below) / (2 * h) - adjoint) <= 1e-6 * std::max(1.0, std::abs(adjoint)),
               "tensor " << i);
  }
}

BOOST_AUTO_TEST_CASE(seeds_and_precisions, *utf::label("np1") * utf::label("np2")) {
  auto settings = small_settings();
  ConditionalField field(settings);
  BOOST_TEST(torch::equal(ConditionalField(settings).parameters().values(), field.parameters().values()));
  auto sums = field.parameters().values().clone();
  MPI_Bcast(sums.data_ptr(), static_cast<int>(sums.numel()), MPI_DOUBLE, 0, MPI_COMM_WORLD);
  BOOST_TEST(torch::equal(sums, field.parameters().values()));

  settings.single_precision = true;
  ConditionalField single(settings);
  BOOST_TEST(torch::equal(single.parameters().values(), field.parameters().values().to(torch::kFloat)));
  const auto points = random_tensor({5, 2}, 1);
  const auto condition = random_tensor({2}, 2);
  const auto y = single.evaluate(points, condition);
  BOOST_TEST((y.scalar_type() == torch::kFloat));
  BOOST_TEST(difference(y, field.evaluate(points, condition)) <= 1e-5);
  BOOST_TEST(single.fingerprint() != field.fingerprint());
  BOOST_TEST(ConditionalField(small_settings()).fingerprint() == field.fingerprint());

  settings = small_settings();
  settings.seed = 4;
  BOOST_TEST(!torch::equal(ConditionalField(settings).parameters().values(), field.parameters().values()));
  settings.scale = {0.5};
  BOOST_TEST(ConditionalField(settings).fingerprint() != field.fingerprint());
}

BOOST_AUTO_TEST_CASE(options_are_read) {
  const testing::ScopedOptions options(
      "-field_hypernetwork 4,3 -field_latent 6 -field_hidden 9,8 -field_omega 7 -field_spread 0.2 "
      "-field_scale 1,0.01 -field_offset 0.5 -field_precision float -field_seed 11");
  ConditionalFieldSettings settings;
  settings.names = {"a", "b"};
  core::read_options(PETSC_COMM_WORLD, "test", [&](core::OptionReader& o) { settings.read(o); });
  BOOST_TEST(ConditionalField(settings).fingerprint() ==
             "conditional_field 2/9/8/1 sine 7 from 1/4/3/6 leaky_relu a 1 0.5 b 0.01 0.5 float");
  BOOST_TEST(settings.spread == 0.2);
  BOOST_TEST(settings.seed == 11U);
}

BOOST_AUTO_TEST_CASE(bad_settings_are_refused) {
  const auto refused = [](const auto& spoil, const auto&... words) {
    auto settings = small_settings();
    spoil(settings);
    BOOST_CHECK_EXCEPTION(ConditionalField{settings}, UserError, mentions(words...));
  };
  refused([](auto& s) { s.names.clear(); }, "name");
  refused([](auto& s) { s.latent = 0; }, "at least one entry");
  refused([](auto& s) { s.hidden.clear(); }, "base network", "hidden layer");
  refused([](auto& s) { s.hypernetwork = {3, 0}; }, "widths", "positive");
  refused([](auto& s) { s.omega = 0; }, "omega must be positive");
  refused([](auto& s) { s.spread = -1; }, "spread must be positive");
  refused([](auto& s) { s.scale = {1, 2}; }, "2 numbers as scale of 3 fields");
  refused([](auto& s) { s.offset = {1, NAN, 2}; }, "offset must be finite");
  ConditionalField field(small_settings());
  const auto points = random_tensor({4, 2}, 1);
  BOOST_CHECK_EXCEPTION(field.evaluate(points, random_tensor({3}, 1)), UserError, mentions("must have 2 entries"));
  BOOST_CHECK_EXCEPTION(field.evaluate(points.t(), random_tensor({2}, 1)), UserError, mentions("[n, 2]"));
}

BOOST_AUTO_TEST_SUITE_END()
