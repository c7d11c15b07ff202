#include "espalier/model/grid_fields.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using model::GridFields;
using model::KnownFields;
using testing::mentions;
using testing::random_tensor;

namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(model_grid_fields, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(cell_values_are_the_parameters, *utf::label("gradient")) {
  const auto initial = random_tensor({2, 5}, 1);
  GridFields fields({"vx", "vy"}, initial);
  BOOST_TEST(!fields.moves());
  BOOST_TEST(fields.names().size() == 2U);
  BOOST_TEST(torch::equal(fields.values(0.3), initial));
  BOOST_TEST(!fields.values(0).requires_grad());

  // Values follow the parameters, also when their buffer moves.
  nn::FlatParameters other({torch::zeros({3}, torch::kDouble).requires_grad_(true)});
  nn::FlatParameters whole = nn::FlatParameters::joined({&other, fields.parameters().front()});
  whole.values().fill_(7);
  BOOST_TEST(torch::equal(fields.values(1), torch::full({2, 5}, 7.0, torch::kDouble)));

  const auto w = random_tensor({2, 5}, 2);
  whole.gradient().fill_(1);
  for (int pass = 0; pass < 2; ++pass) {
    BOOST_TEST(fields.cotangent(0).abs().sum().item<double>() == 0);
    fields.cotangent(0).add_(w);
    fields.cotangent(0.5).add_(w, 2);
    fields.finish();
    fields.finish();  // nothing is left
    const auto expected = torch::cat({torch::ones({3}, torch::kDouble), 1 + 3 * (pass + 1) * w.view({-1})});
    BOOST_TEST(testing::difference(whole.gradient(), expected) <= 1e-15);
  }
  BOOST_CHECK_EXCEPTION(GridFields({"vx"}, initial), UserError, mentions("vx must be [1, local cells]"));
  BOOST_CHECK_EXCEPTION(GridFields({"a", "b"}, initial.to(torch::kFloat)), UserError, mentions("float64"));
}

BOOST_AUTO_TEST_CASE(known_fields_remember_the_last_times) {
  int calls = 0;
  KnownFields fields(
      {"c"},
      [&](double t) {
        ++calls;
        return torch::full({1, 3}, t, torch::kDouble);
      },
      3);
  BOOST_TEST(fields.moves());
  BOOST_TEST(fields.parameters().empty());
  const auto value = [&](double t) { return fields.values(t)[0][2].item<double>(); };
  for (const double t : {0.0, 0.1, 0.3}) BOOST_TEST(value(t) == t);
  BOOST_TEST(calls == 3);
  for (const double t : {1e-15, 0.1 + 1e-14, 0.1 + 0.2}) value(t);  // the same with other rounding
  BOOST_TEST(calls == 3);
  value(0.1 + 1e-9);
  BOOST_TEST(calls == 4);
  const at::Tensor held = fields.values(0.3);
  for (const double t : {0.5, 0.6, 0.7}) value(t);
  BOOST_TEST(calls == 7);
  BOOST_TEST(held[0][0].item<double>() == 0.3);
  BOOST_TEST(value(0.3) == 0.3);
  BOOST_TEST(calls == 8);

  fields.cotangent(0.3).add_(1);
  fields.finish();
  BOOST_TEST(fields.cotangent(0.3).abs().sum().item<double>() == 0);
}

BOOST_AUTO_TEST_CASE(known_constants_and_complaints) {
  const auto values = random_tensor({2, 4}, 1);
  KnownFields fields({"a", "b"}, values);
  BOOST_TEST(!fields.moves());
  BOOST_TEST(torch::equal(fields.values(3), values));
  BOOST_TEST((fields.cotangent(3).sizes() == values.sizes()));
  BOOST_CHECK_EXCEPTION(KnownFields({"a"}, values), UserError, mentions("[1, local cells]"));
  BOOST_CHECK_EXCEPTION(KnownFields({}, values), UserError, mentions("at least one name"));
  BOOST_CHECK_EXCEPTION(KnownFields({"a"}, KnownFields::Function()), UserError, mentions("need a function"));
  KnownFields wrong({"a", "b"}, [](double) { return torch::zeros({3}, torch::kDouble); });
  BOOST_CHECK_EXCEPTION(wrong.values(0), UserError, mentions("a, b must be [2, local cells] in float64"));
}

BOOST_AUTO_TEST_SUITE_END()
