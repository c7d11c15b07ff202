#include "espalier/nn/mlp.hpp"

#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>

#include "core/messages.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"
#include "nn/tensors.hpp"

using namespace espalier;
using nn::Activation;
using nn::Initialisation;
using nn::Mlp;
using nn::MlpSettings;
using testing::difference;
using testing::mentions;
using testing::random_tensor;

namespace utf = boost::unit_test;

namespace {

const std::vector<Activation> activations = {Activation::relu, Activation::leaky_relu, Activation::tanh,
                                             Activation::elu, Activation::identity};
constexpr std::int64_t samples = 5;

MlpSettings small(Activation activation = Activation::tanh, bool single_precision = false) {
  MlpSettings settings;
  settings.widths = {3, 7, 6, 4};
  settings.activation = activation;
  settings.single_precision = single_precision;
  settings.seed = 11;
  return settings;
}

at::Tensor empty(std::int64_t rows, std::int64_t columns) {
  return torch::full({rows, columns}, std::nan(""), torch::kDouble);
}

/// Every product of one evaluation, by torch's autograd on evaluate().
struct Reference {
  Reference(const Mlp& network, nn::FlatParameters& parameters, const at::Tensor& u, const at::Tensor& w,
            const at::Tensor& v) {
    const auto leaf = u.clone().requires_grad_(true);
    const auto value = network.evaluate(leaf);
    std::vector<at::Tensor> inputs = {leaf};
    for (const auto& theta : parameters.tensors()) inputs.push_back(theta);
    const auto weights = w.to(value.scalar_type());
    const auto cotangents = torch::autograd::grad({value}, inputs, {weights}, true);
    y = value.detach();
    u_bar = cotangents[0];
    std::vector<at::Tensor> flat;
    for (std::size_t i = 1; i < cotangents.size(); ++i) flat.push_back(cotangents[i].flatten());
    theta_bar = torch::cat(flat);
    const auto dummy = torch::zeros_like(value).requires_grad_(true);
    const auto pulled = torch::autograd::grad({value}, {leaf}, {dummy}, true, true)[0];
    y_tan = torch::autograd::grad({pulled}, {dummy}, {v})[0];
  }
  at::Tensor y, u_bar, theta_bar, y_tan;
};

void compare_with_autograd(const MlpSettings& settings, std::int64_t rows, double tolerance) {
  Mlp network(settings);
  const std::int64_t inputs = network.inputs();
  const std::int64_t outputs = network.outputs();
  const auto u = random_tensor({rows, inputs}, 1);
  const auto w = random_tensor({rows, outputs}, 2);
  const auto v = random_tensor({rows, inputs}, 3);
  const Reference reference(network, network.parameters(), u, w, v);
  const auto y = empty(rows, outputs);
  const auto u_bar = empty(rows, inputs);
  const auto y_tan = empty(rows, outputs);

  network.forward(0, u, y);
  BOOST_TEST(difference(y, reference.y) <= tolerance);
  y.fill_(std::nan(""));
  const auto tape = network.record(0, u, y);
  BOOST_TEST(difference(y, reference.y) <= tolerance);
  BOOST_TEST(difference(tape->input(), u) <= tolerance);
  tape->vjp(w, u_bar);
  BOOST_TEST(difference(u_bar, reference.u_bar) <= tolerance);
  tape->jvp(v, y_tan);
  BOOST_TEST(difference(y_tan, reference.y_tan) <= tolerance);

  // Accumulated on top of what is there, each time with its own weight; the product with v in between changes nothing.
  network.parameters().gradient().fill_(1);
  tape->accumulate(0.25);
  tape->accumulate(-2);
  tape->accumulate(0);
  BOOST_TEST(difference(network.parameters().gradient(), 1 - 1.75 * reference.theta_bar) <= 5 * tolerance);
}

struct Statistics {
  double mean, deviation, least, most;
};

Statistics statistics(const at::Tensor& tensor) {
  const torch::NoGradGuard no_grad;
  return {tensor.mean().item<double>(), tensor.std().item<double>(), tensor.min().item<double>(),
          tensor.max().item<double>()};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_mlp, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(products_equal_autograd_for_every_activation, *utf::label("gradient")) {
  for (const auto activation : activations) {
    BOOST_TEST_CONTEXT("activation " << static_cast<int>(activation)) {
      compare_with_autograd(small(activation), samples, 1e-13);
      compare_with_autograd(small(activation), 1, 1e-13);
    }
  }
}

BOOST_AUTO_TEST_CASE(products_equal_autograd_for_every_depth, *utf::label("gradient")) {
  for (const auto& widths : std::vector<std::vector<std::int64_t>>{{3, 3}, {4, 1, 4}, {2, 9, 9, 9, 9, 2}, {1, 1}}) {
    auto settings = small();
    settings.widths = widths;
    compare_with_autograd(settings, samples, 1e-13);
  }
}

BOOST_AUTO_TEST_CASE(single_precision_is_right_to_its_rounding, *utf::label("gradient")) {
  for (const auto activation : activations) compare_with_autograd(small(activation, true), samples, 1e-5);
}

BOOST_AUTO_TEST_CASE(products_are_transposed_to_each_other, *utf::label("gradient")) {
  Mlp network(small(Activation::elu));
  const auto u = random_tensor({samples, 3}, 1);
  const auto v = random_tensor({samples, 3}, 2);
  const auto w = random_tensor({samples, 4}, 3);
  const auto y = empty(samples, 4);
  const auto tape = network.record(0, u, y);
  const auto jv = empty(samples, 4);
  const auto jtw = empty(samples, 3);
  tape->jvp(v, jv);
  tape->vjp(w, jtw);
  const double forward = (w * jv).sum().item<double>();
  BOOST_TEST(std::abs(forward - (jtw * v).sum().item<double>()) <= 1e-13 * (w.norm() * jv.norm()).item<double>());
}

BOOST_AUTO_TEST_CASE(a_rank_without_samples_computes_nothing_and_fails_not) {
  for (const bool single : {false, true}) compare_with_autograd(small(Activation::tanh, single), 0, 1e-13);
}

BOOST_AUTO_TEST_CASE(views_of_larger_tensors_are_fine) {
  Mlp network(small());
  const auto wide = random_tensor({samples, 6}, 1);
  const auto u = wide.narrow(1, 2, 3);
  const auto y = empty(samples, 4);
  network.forward(0, u, y);
  BOOST_TEST(difference(y, network.evaluate(u)) <= 1e-14);
}

BOOST_AUTO_TEST_CASE(two_tapes_live_side_by_side, *utf::label("gradient")) {
  Mlp network(small());
  const auto u1 = random_tensor({samples, 3}, 1);
  const auto u2 = random_tensor({samples, 3}, 2);
  const auto w = random_tensor({samples, 4}, 3);
  const auto v = random_tensor({samples, 3}, 4);
  const Reference first(network, network.parameters(), u1, w, v);
  const Reference second(network, network.parameters(), u2, w, v);
  const auto y = empty(samples, 4);
  const auto u_bar = empty(samples, 3);
  const auto tape1 = network.record(0, u1, y);
  const auto tape2 = network.record(0, u2, y);
  auto& gradient = network.parameters().gradient();

  tape1->vjp(w, u_bar);
  BOOST_TEST(difference(u_bar, first.u_bar) <= 1e-13);
  tape1->accumulate(1);
  BOOST_TEST(difference(gradient, first.theta_bar) <= 1e-13);
  tape2->vjp(w, u_bar);
  BOOST_TEST(difference(u_bar, second.u_bar) <= 1e-13);
  tape2->accumulate(1);
  BOOST_TEST(difference(gradient, first.theta_bar + second.theta_bar) <= 1e-13);

  // The cotangents are those of the last vjp(): another tape must not use them in silence.
  BOOST_CHECK_THROW(tape1->accumulate(1), InternalError);
  tape1->vjp(w, u_bar);
  BOOST_CHECK_THROW(tape2->accumulate(1), InternalError);
  const auto fresh = network.record(0, u1, y);
  BOOST_CHECK_THROW(fresh->accumulate(1), InternalError);
}

BOOST_AUTO_TEST_CASE(a_tape_at_the_address_of_a_dead_one_has_no_cotangents) {
  Mlp network(small());
  const auto u = random_tensor({samples, 3}, 1);
  const auto w = random_tensor({samples, 4}, 3);
  const auto y = empty(samples, 4);
  const auto u_bar = empty(samples, 3);
  auto tape = network.record(0, u, y);
  tape->vjp(w, u_bar);
  tape.reset();
  tape = network.record(0, u, y);
  BOOST_CHECK_THROW(tape->accumulate(1), InternalError);
}

BOOST_AUTO_TEST_CASE(batches_of_several_sizes_take_turns, *utf::label("gradient")) {
  Mlp network(small());
  for (const std::int64_t rows : {4, 2, 4, 7, 2}) {
    const auto u = random_tensor({rows, 3}, static_cast<std::uint64_t>(rows));
    const auto w = random_tensor({rows, 4}, 2);
    const auto v = random_tensor({rows, 3}, 3);
    const Reference reference(network, network.parameters(), u, w, v);
    const auto y = empty(rows, 4);
    const auto u_bar = empty(rows, 3);
    const auto tape = network.record(0, u, y);
    tape->vjp(w, u_bar);
    network.parameters().zero_gradient();
    tape->accumulate(1);
    BOOST_TEST(difference(y, reference.y) <= 1e-13);
    BOOST_TEST(difference(u_bar, reference.u_bar) <= 1e-13);
    BOOST_TEST(difference(network.parameters().gradient(), reference.theta_bar) <= 1e-13);
  }
}

BOOST_AUTO_TEST_CASE(buffers_of_dead_tapes_are_used_again) {
  Mlp network(small());
  const auto u = random_tensor({samples, 3}, 1);
  const auto y = empty(samples, 4);
  auto first = network.record(0, u, y);
  auto second = network.record(0, u, y);
  std::set<const void*> known = {first->input().data_ptr(), second->input().data_ptr()};
  BOOST_TEST(known.size() == 2U);
  first.reset();
  second.reset();
  for (int repetition = 0; repetition < 3; ++repetition) {
    network.forward(0, u, y);
    first = network.record(0, u, y);
    second = network.record(0, u, y);
    BOOST_TEST(known.count(first->input().data_ptr()) == 1U);
    BOOST_TEST(known.count(second->input().data_ptr()) == 1U);
    first.reset();
    second.reset();
  }
}

BOOST_AUTO_TEST_CASE(a_tape_keeps_its_input_when_the_state_changes) {
  Mlp network(small());
  const auto u = random_tensor({samples, 3}, 1);
  const auto before = u.clone();
  const auto y = empty(samples, 4);
  const auto tape = network.record(0, u, y);
  u.fill_(9);
  BOOST_TEST(torch::equal(tape->input(), before));
}

BOOST_AUTO_TEST_CASE(the_memory_of_a_tape_is_its_activations) {
  BOOST_TEST(Mlp(small()).tape_bytes(10) == 10U * (3 + 7 + 6) * sizeof(double));
  BOOST_TEST(Mlp(small(Activation::relu, true)).tape_bytes(10) == 10U * (3 + 7 + 6) * sizeof(float));
  BOOST_TEST(Mlp(small()).tape_bytes(0) == 0U);
}

BOOST_AUTO_TEST_CASE(the_fingerprint_says_what_can_exchange_parameters) {
  BOOST_TEST(Mlp(small()).fingerprint() == "mlp 3/7/6/4 tanh double");
  BOOST_TEST(Mlp(small(Activation::leaky_relu, true)).fingerprint() == "mlp 3/7/6/4 leaky_relu float");
  auto other = small();
  other.seed = 99;
  other.initialisation = Initialisation::kaiming;
  BOOST_TEST(Mlp(other).fingerprint() == Mlp(small()).fingerprint());
}

BOOST_AUTO_TEST_CASE(parameters_stand_in_the_documented_order) {
  Mlp network(small());
  const auto& tensors = network.parameters().tensors();
  BOOST_TEST(tensors.size() == 6U);
  BOOST_TEST(tensors[0].sizes().vec() == (std::vector<std::int64_t>{7, 3}));
  BOOST_TEST(tensors[1].sizes().vec() == (std::vector<std::int64_t>{7}));
  BOOST_TEST(tensors[4].sizes().vec() == (std::vector<std::int64_t>{4, 6}));
  BOOST_TEST(network.parameters().count() == 7 * 3 + 7 + 6 * 7 + 6 + 4 * 6 + 4);
  BOOST_TEST(network.inputs() == 3);
  BOOST_TEST(network.outputs() == 4);
}

BOOST_AUTO_TEST_CASE(initial_weights_have_the_stated_distribution) {
  const std::int64_t fan_in = 300;
  const std::int64_t fan_out = 200;
  MlpSettings settings;
  settings.widths = {fan_in, fan_out, 1};
  settings.initial_std = 0.3;
  settings.seed = 5;
  const double bound = 1 / std::sqrt(300.0);
  const double glorot = std::sqrt(6.0 / 500);
  const double root3 = std::sqrt(3.0);
  struct Expected {
    Initialisation initialisation;
    double deviation;
    double bound;  // 0: none
  };
  for (const Expected& expected :
       {Expected{Initialisation::normal, 0.3, 0}, Expected{Initialisation::uniform, bound / root3, bound},
        Expected{Initialisation::xavier, glorot / root3, glorot},
        Expected{Initialisation::kaiming, std::sqrt(2.0 / 300), 0}}) {
    settings.initialisation = expected.initialisation;
    Mlp network(settings);
    const Statistics weights = statistics(network.parameters().tensors()[0]);
    const Statistics biases = statistics(network.parameters().tensors()[1]);
    // 60000 entries: the mean is within 5 standard errors, the deviation within 2 %.
    BOOST_TEST(std::abs(weights.mean) < 5 * expected.deviation / std::sqrt(60000.0));
    BOOST_TEST(std::abs(weights.deviation / expected.deviation - 1) < 0.02);
    if (expected.bound > 0) {
      BOOST_TEST(weights.most <= expected.bound);
      BOOST_TEST(weights.least >= -expected.bound);
      BOOST_TEST(weights.most > 0.99 * expected.bound);
      BOOST_TEST(weights.least < -0.99 * expected.bound);
    } else {
      BOOST_TEST(weights.most > 3 * expected.deviation);
    }
    if (expected.initialisation == Initialisation::uniform) {
      BOOST_TEST(std::max(biases.most, -biases.least) <= bound);
      BOOST_TEST(std::abs(biases.deviation / expected.deviation - 1) < 0.2);
    } else {
      BOOST_TEST(biases.most == 0);
      BOOST_TEST(biases.least == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_seed_decides_the_parameters, *utf::label("np1") * utf::label("np2")) {
  Mlp first(small());
  const auto untouched = torch::rand({3});  // torch's own generator plays no part
  Mlp second(small());
  BOOST_TEST(torch::equal(first.parameters().values(), second.parameters().values()));
  auto settings = small();
  settings.seed = 12;
  BOOST_TEST(!torch::equal(first.parameters().values(), Mlp(settings).parameters().values()));
  Mlp single(small(Activation::tanh, true));
  BOOST_TEST(torch::equal(single.parameters().values(), first.parameters().values().to(torch::kFloat)));

  double sum = first.parameters().values().sum().item<double>();
  double largest = sum;
  MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, PETSC_COMM_WORLD);
  BOOST_TEST(sum == largest);
}

BOOST_AUTO_TEST_CASE(settings_come_from_options) {
  const testing::ScopedOptions options(
      "-network_widths 5,6 -network_activation elu -network_init normal -network_init_std 0.5 -network_precision float "
      "-network_seed 3");
  MlpSettings settings = small();
  settings.read(PETSC_COMM_WORLD);
  BOOST_TEST(settings.widths == (std::vector<std::int64_t>{3, 5, 6, 4}));
  BOOST_TEST((settings.activation == Activation::elu));
  BOOST_TEST((settings.initialisation == Initialisation::normal));
  BOOST_TEST(settings.initial_std == 0.5);
  BOOST_TEST(settings.single_precision);
  BOOST_TEST(settings.seed == 3U);
}

BOOST_AUTO_TEST_CASE(settings_stay_without_options_and_wrong_ones_are_refused) {
  MlpSettings settings = small();
  settings.read(PETSC_COMM_WORLD);
  BOOST_TEST(settings.widths == small().widths);
  BOOST_TEST((settings.activation == Activation::tanh));
  const testing::ScopedOptions options("-network_activation gelu");
  BOOST_CHECK_EXCEPTION(settings.read(PETSC_COMM_WORLD), UserError, mentions("gelu", "leaky_relu"));
  settings.widths = {3};
  BOOST_CHECK_THROW(Mlp{settings}, UserError);
  settings.widths = {3, 0, 2};
  BOOST_CHECK_THROW(Mlp{settings}, UserError);
}

BOOST_AUTO_TEST_SUITE_END()
