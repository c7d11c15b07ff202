#include "espalier/model/neural_fields.hpp"

#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/model/gradient_check.hpp"
#include "io/temporary_folder.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using model::Motion;
using model::NeuralFields;
using testing::difference;
using testing::mentions;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t cells = 12;

std::shared_ptr<nn::ConditionalField> make_field(bool single_precision = false, std::int64_t condition = 1) {
  nn::ConditionalFieldSettings settings;
  settings.names = {"vx", "vy"};
  settings.condition = condition;
  settings.hypernetwork = {6, 5};
  settings.latent = 4;
  settings.hidden = {8};
  settings.omega = 4;
  settings.spread = 0.7;
  settings.scale = {1, 0.5};
  settings.single_precision = single_precision;
  settings.seed = 5;
  return std::make_shared<nn::ConditionalField>(settings);
}

at::Tensor weights(std::size_t i) { return random_tensor({2, cells}, 20 + i); }

/// theta_bar of sum_i <w_i, c(t_i)> by torch alone; the field's own gradient stays what it is.
at::Tensor reference_gradient(nn::ConditionalField& field, const at::Tensor& points, const std::vector<double>& times,
                              const std::vector<at::Tensor>& w) {
  at::Tensor sum = torch::zeros({}, torch::kDouble);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const auto y = field.evaluate(points, torch::tensor({times[i]}, torch::kDouble));
    sum = sum + (y.t().to(torch::kDouble) * w[i]).sum();
  }
  std::vector<at::Tensor> flat;
  for (const auto& part : torch::autograd::grad({sum}, field.parameters().tensors())) flat.push_back(part.flatten());
  return torch::cat(flat).to(torch::kDouble);
}

at::Tensor time_condition(double t) { return torch::tensor({t}, torch::kDouble); }

}  // namespace

BOOST_AUTO_TEST_SUITE(model_neural_fields, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(steady_fields_are_evaluated_once, *utf::label("gradient")) {
  for (const bool single : {false, true}) {
    const auto field = make_field(single);
    const auto points = random_tensor({cells, 2}, 1);
    NeuralFields fields(field, points, Motion::steady);
    const auto w = weights(0);
    const auto expected = reference_gradient(*field, points, {0}, {3 * w});
    const torch::NoGradGuard no_grad;  // as inside a backward pass
    BOOST_TEST((fields.values(0.1).scalar_type() == torch::kDouble));
    BOOST_TEST(torch::equal(fields.values(0.7), field->evaluate(points, time_condition(0)).t().to(torch::kDouble)));
    for (int pass = 1; pass <= 2; ++pass) {
      fields.values(0.2);
      fields.cotangent(0.2).add_(w);
      fields.cotangent(0.4).add_(w, 2);
      fields.finish();
      fields.finish();  // nothing is left
      BOOST_TEST(difference(field->parameters().gradient(), pass * expected) <= (single ? 1e-5 : 1e-13));
      BOOST_TEST(fields.cotangent(0).abs().sum().item<double>() == 0);
    }
    BOOST_TEST(fields.evaluations() == 1);
    field->parameters().values().mul_(1.1);
    field->parameters().mark_changed();
    BOOST_TEST(torch::equal(fields.values(0), field->evaluate(points, time_condition(0)).t().to(torch::kDouble)));
    BOOST_TEST(fields.evaluations() == 2);
  }
}

BOOST_AUTO_TEST_CASE(moving_fields_at_several_times, *utf::label("gradient")) {
  const auto field = make_field();
  const auto points = random_tensor({cells, 2}, 1);
  NeuralFields fields(field, points, Motion::moving);
  const std::vector<double> times = {0, 0.1, 0.2, 0.3};
  std::vector<at::Tensor> w;
  for (std::size_t i = 0; i < times.size(); ++i) w.push_back(weights(i));
  std::vector<const void*> buffers;
  for (int epoch = 0; epoch < 3; ++epoch) {
    const long before = fields.evaluations();
    for (const double t : times)
      BOOST_TEST(torch::equal(fields.values(t), field->evaluate(points, time_condition(t)).t()), "time " << t);
    BOOST_TEST(difference(fields.values(0), fields.values(0.3)) > 1e-3);
    // The adjoint comes backward and computes the times in another way.
    for (std::size_t i = times.size(); i-- > 0;) {
      const double t = times[i] + (i == 0 ? 1e-16 : 1e-15);
      fields.values(t);
      fields.cotangent(t).add_(w[i], 0.25);
      fields.cotangent(times[i]).add_(w[i], 0.75);
      const void* buffer = fields.cotangent(t).data_ptr();
      if (epoch == 0) buffers.push_back(buffer);
      BOOST_TEST(buffer == buffers[times.size() - 1 - i]);
    }
    BOOST_TEST(fields.evaluations() == before + 4);
    field->parameters().zero_gradient();
    fields.finish();
    BOOST_TEST(fields.evaluations() == before + 8);
    const auto expected = reference_gradient(*field, points, times, w);
    BOOST_TEST(difference(field->parameters().gradient(), expected) <= 1e-13);
    fields.finish();
    BOOST_TEST(difference(field->parameters().gradient(), expected) <= 1e-13);
    BOOST_TEST(fields.evaluations() == before + 8);
    field->parameters().values().add_(random_tensor({field->parameters().count()}, 7), 0.05);
    field->parameters().mark_changed();
  }
}

BOOST_AUTO_TEST_CASE(taylor_remainders_of_both_networks, *utf::label("gradient")) {
  for (const auto motion : {Motion::steady, Motion::moving}) {
    const auto field = make_field();
    NeuralFields fields(field, random_tensor({cells, 2}, 1), motion);
    const std::vector<double> times = {0.1, 0.5, 0.9};
    auto& parameters = field->parameters();
    const auto start = parameters.values().clone();
    // L = sum_i |c(t_i)|^2 / 2
    for (const double t : times) fields.cotangent(t).add_(fields.values(t));
    fields.finish();
    const std::size_t projector = parameters.tensors().size() - 2;
    std::int64_t first = 0;
    for (const bool of_projector : {false, true}) {
      auto v = torch::zeros_like(start);
      std::int64_t count = 0;
      for (std::size_t i = of_projector ? projector : 0; i < (of_projector ? projector + 2 : projector); ++i)
        count += parameters.tensors()[i].numel();
      v.narrow(0, first, count).copy_(random_tensor({count}, 9));
      first += count;
      const auto loss = [&](double h) {
        parameters.values().copy_(start + h * v);
        parameters.mark_changed();
        double sum = 0;
        for (const double t : times) sum += 0.5 * fields.values(t).square().sum().item<double>();
        return sum;
      };
      const double slope = parameters.gradient().dot(v).item<double>();
      const auto taylor = model::taylor_test(loss, slope, of_projector ? 1e-4 : 1e-3, 4);
      BOOST_TEST(std::abs(taylor.slope() - 2) <= 0.1, "slope " << taylor.slope() << " projector " << of_projector);
    }
  }
}

BOOST_AUTO_TEST_CASE(ranks_add_up_to_the_whole,
                     *utf::label("gradient") * utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const int rank = testing::rank_of();
  const int size = testing::size_of();
  const auto points = random_tensor({cells, 2}, 1);
  const auto field = make_field();
  const std::vector<double> times = {0.2, 0.4};
  const auto expected = reference_gradient(*field, points, times, {weights(0), weights(1)});
  // The last of several ranks has no cells.
  const std::int64_t owners = std::max(1, size - 1);
  const std::int64_t first = std::min<std::int64_t>(rank, owners) * cells / owners;
  const std::int64_t count = std::min<std::int64_t>(rank + 1, owners) * cells / owners - first;
  NeuralFields fields(field, points.narrow(0, first, count), Motion::moving);
  for (std::size_t i = 0; i < times.size(); ++i) {
    BOOST_TEST((fields.values(times[i]).sizes() == at::IntArrayRef{2, count}));
    fields.cotangent(times[i]).add_(weights(i).narrow(1, first, count));
  }
  fields.finish();
  auto sum = field->parameters().gradient().clone();
  MPI_Allreduce(MPI_IN_PLACE, sum.data_ptr(), static_cast<int>(sum.numel()), MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);
  BOOST_TEST(difference(sum, expected) <= 1e-13);
}

BOOST_AUTO_TEST_CASE(failed_runs_and_long_ones_leave_nothing) {
  const auto field = make_field();
  NeuralFields fields(field, random_tensor({cells, 2}, 1), Motion::moving, /*keep_bytes=*/0);
  fields.cotangent(0.5).add_(1);  // a run that ends here
  field->parameters().mark_changed();
  fields.finish();
  BOOST_TEST(field->parameters().gradient().abs().sum().item<double>() == 0);
  // Of a long prediction the last 16 times are kept, and every time that has a cotangent.
  fields.cotangent(0).add_(1);
  for (int i = 0; i <= 40; ++i) fields.values(i);
  for (int i = 40; i > 24; --i) fields.values(i);
  BOOST_TEST(fields.evaluations() == 41);
  fields.values(24);
  BOOST_TEST(fields.evaluations() == 42);
  BOOST_TEST(fields.cotangent(0).sum().item<double>() == 2 * cells);
}

BOOST_AUTO_TEST_CASE(conditions_of_the_caller) {
  const auto field = make_field(false, 3);
  const auto points = random_tensor({cells, 2}, 1);
  NeuralFields steady(field, points, Motion::steady);
  NeuralFields moving(field, points, Motion::moving);
  const auto compare = [&](NeuralFields& fields, double t, const std::vector<double>& condition) {
    BOOST_TEST(torch::equal(fields.values(t), field->evaluate(points, torch::tensor(condition, torch::kDouble)).t()));
  };
  compare(steady, 0.5, {0, 0, 0});
  compare(moving, 0.5, {0.5, 0, 0});
  steady.set_condition(torch::tensor({1., 2., 3.}, torch::kDouble));
  moving.set_condition(torch::tensor({2., 3.}, torch::kDouble));
  compare(steady, 0.5, {1, 2, 3});
  compare(moving, 0.5, {0.5, 2, 3});
  BOOST_CHECK_EXCEPTION(moving.set_condition(torch::zeros({3})), UserError, mentions("2 entries", "not 3"));
  BOOST_CHECK_EXCEPTION(NeuralFields(field, points.t(), Motion::steady), UserError, mentions("[n, 2]"));
}

BOOST_AUTO_TEST_SUITE_END()
