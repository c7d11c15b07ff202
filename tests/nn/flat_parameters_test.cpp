#include "espalier/nn/flat_parameters.hpp"

#include <torch/optim.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>

#include "espalier/core/error.hpp"

using namespace espalier;
using nn::FlatParameters;

namespace {

std::vector<at::Tensor> leaves(at::ScalarType type = torch::kDouble) {
  const auto options = at::TensorOptions().dtype(type);
  return {torch::arange(6, options).view({2, 3}).requires_grad_(true),
          torch::full({2}, 7.0, options).requires_grad_(true)};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nn_flat_parameters, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(the_buffer_holds_the_tensors_in_order) {
  FlatParameters flat(leaves());
  BOOST_TEST(flat.count() == 8);
  BOOST_TEST(flat.values().is_contiguous());
  BOOST_TEST(!flat.values().requires_grad());
  const auto expected = torch::tensor({0., 1., 2., 3., 4., 5., 7., 7.}, torch::kDouble);
  BOOST_TEST(torch::equal(flat.values(), expected));
  BOOST_TEST(torch::equal(flat.gradient(), torch::zeros(8, torch::kDouble)));
  BOOST_TEST(flat.tensors()[0].sizes().vec() == (std::vector<std::int64_t>{2, 3}));
  BOOST_TEST(flat.gradients()[1].sizes().vec() == (std::vector<std::int64_t>{2}));
}

BOOST_AUTO_TEST_CASE(tensors_and_gradients_are_views) {
  const auto given = leaves();
  FlatParameters flat(given);
  BOOST_TEST(flat.tensors()[0].data_ptr() == flat.values().data_ptr());
  BOOST_TEST(flat.tensors()[1].data_ptr() == flat.values().data_ptr<double>() + 6);
  BOOST_TEST(given[1].data_ptr() == flat.tensors()[1].data_ptr());  // the caller's own leaves moved too
  BOOST_TEST(flat.gradients()[1].data_ptr() == flat.gradient().data_ptr<double>() + 6);
  BOOST_TEST(flat.values().grad().data_ptr() == flat.gradient().data_ptr());
  flat.values().fill_(0.5);
  BOOST_TEST(given[0][1][2].item<double>() == 0.5);
  {
    const torch::NoGradGuard no_grad;
    at::Tensor(flat.tensors()[1]).fill_(2);
  }
  BOOST_TEST(flat.values()[7].item<double>() == 2);
}

BOOST_AUTO_TEST_CASE(backward_accumulates_into_the_flat_gradient) {
  FlatParameters flat(leaves());
  const void* before = flat.gradient().data_ptr();
  const auto& theta = flat.tensors();
  for (int times = 1; times <= 2; ++times) {
    (theta[0].square().sum() + 3 * theta[1].sum()).backward();
    const auto expected = times * torch::tensor({0., 2., 4., 6., 8., 10., 3., 3.}, torch::kDouble);
    BOOST_TEST(torch::equal(flat.gradient(), expected));
    BOOST_TEST(flat.gradient().data_ptr() == before);
    BOOST_TEST(theta[1].grad().data_ptr() == flat.gradients()[1].data_ptr());
  }
  flat.zero_gradient();
  BOOST_TEST(flat.gradient().abs().sum().item<double>() == 0);
  theta[1].sum().backward();
  BOOST_TEST(flat.gradient().sum().item<double>() == 2);
}

BOOST_AUTO_TEST_CASE(torch_optimisers_work_on_the_flat_buffer) {
  FlatParameters flat(leaves());
  torch::optim::SGD sgd({flat.values()}, torch::optim::SGDOptions(0.5));
  flat.tensors()[1].sum().backward();
  sgd.step();
  BOOST_TEST(flat.tensors()[1][0].item<double>() == 6.5);
  BOOST_TEST(flat.tensors()[0][1][2].item<double>() == 5);
}

BOOST_AUTO_TEST_CASE(single_precision_and_frozen_tensors_are_kept) {
  auto given = leaves(torch::kFloat);
  given[1].requires_grad_(false);
  FlatParameters flat(given);
  BOOST_TEST((flat.values().scalar_type() == torch::kFloat));
  BOOST_TEST(flat.tensors()[0].requires_grad());
  BOOST_TEST(!flat.tensors()[1].requires_grad());
  (flat.tensors()[0].sum() * flat.tensors()[1].sum()).backward();
  BOOST_TEST(flat.gradient().sum().item<double>() == 6 * 14);
}

BOOST_AUTO_TEST_CASE(tensors_that_are_not_contiguous_are_copied_right) {
  const auto matrix = torch::arange(6, torch::kDouble).view({2, 3}).t();
  FlatParameters flat({matrix});
  BOOST_TEST(torch::equal(flat.values(), torch::tensor({0., 3., 1., 4., 2., 5.}, torch::kDouble)));
}

BOOST_AUTO_TEST_CASE(types_must_agree) {
  auto mixed = leaves();
  mixed[1] = torch::zeros(2, torch::kFloat);
  BOOST_CHECK_THROW(FlatParameters{mixed}, InternalError);
  BOOST_CHECK_THROW(FlatParameters{std::vector<at::Tensor>{}}, InternalError);
}

BOOST_AUTO_TEST_CASE(an_empty_buffer_and_versions) {
  FlatParameters none;
  BOOST_TEST(none.count() == 0);
  none.zero_gradient();
  FlatParameters flat(leaves());
  const long before = flat.version();
  flat.mark_changed();
  BOOST_TEST(flat.version() == before + 1);
}

BOOST_AUTO_TEST_CASE(joined_parts_are_views_of_the_whole) {
  FlatParameters a(leaves());
  FlatParameters b(leaves());
  const at::Tensor leaf_of_b = b.tensors()[1];
  FlatParameters whole = FlatParameters::joined({&a, &b});
  BOOST_TEST(whole.count() == 16);
  BOOST_TEST(torch::equal(whole.values(), torch::cat({a.values(), b.values()})));
  const long version = b.version();
  {
    const torch::NoGradGuard no_grad;
    whole.values().fill_(3.0);
    whole.gradient().fill_(4.0);
    whole.mark_changed();
  }
  BOOST_TEST(b.version() > version);
  BOOST_TEST(leaf_of_b.data_ptr() == whole.values().data_ptr<double>() + 14);
  BOOST_TEST(torch::equal(leaf_of_b.detach(), torch::full({2}, 3.0, torch::kDouble)));
  BOOST_TEST(torch::equal(leaf_of_b.grad(), torch::full({2}, 4.0, torch::kDouble)));
  BOOST_TEST(torch::equal(a.gradient(), torch::full({8}, 4.0, torch::kDouble)));
  whole.zero_gradient();
  BOOST_TEST(b.gradient().abs().sum().item<double>() == 0);
  // A whole can be a part, and its parts follow it.
  FlatParameters c(leaves());
  FlatParameters outer = FlatParameters::joined({&c, &whole});
  BOOST_TEST(leaf_of_b.data_ptr() == outer.values().data_ptr<double>() + 22);
  BOOST_TEST(b.values().data_ptr() == outer.values().data_ptr<double>() + 16);
  BOOST_TEST(b.gradients()[0].data_ptr() == outer.gradient().data_ptr<double>() + 16);
  outer.mark_changed();
  BOOST_TEST(b.version() > version + 1);
  // Again in this order: the same buffer.
  FlatParameters again = FlatParameters::joined({&a, &b});
  BOOST_TEST(again.values().data_ptr() == whole.values().data_ptr());
}

BOOST_AUTO_TEST_SUITE_END()
