#include "espalier/data/gaussian_process.hpp"

#include <torch/types.h>

#include <Eigen/Dense>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using data::GaussianProcess;
using data::GaussianProcessSettings;
using testing::mentions;

namespace utf = boost::unit_test;

namespace {

/// Centres of 128 x 64 cells on [-1, 1] x [0, 1].
at::Tensor centres() {
  const auto x = (torch::arange(128, torch::kDouble) + 0.5) / 64 - 1;
  const auto y = (torch::arange(64, torch::kDouble) + 0.5) / 64;
  const auto grid = torch::meshgrid({x, y}, "ij");
  return torch::stack({grid[0].flatten(), grid[1].flatten()}, 1);
}

double largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(data_gaussian_process, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(short_length_scales_pass_through_the_values) {
  GaussianProcessSettings settings;
  settings.length_scale = 0.05;
  const GaussianProcess process(settings);
  const auto points = process.coarse_points();
  const auto values = process.coarse_values();
  BOOST_TEST_REQUIRE((points.sizes() == at::IntArrayRef{300, 2}));
  BOOST_TEST(largest(points[299] - torch::ones({2}, torch::kDouble)) == 0);
  BOOST_TEST(largest(points[1] - torch::tensor({-1., 1. / 9}, torch::kDouble)) <= 1e-15);
  BOOST_TEST(largest(process.evaluate(points) - values) <= 1e-7);
  BOOST_TEST(values.min().item<double>() >= 0);
  BOOST_TEST(values.max().item<double>() < 1);
  BOOST_TEST(std::abs(values.mean().item<double>() - 0.5) <= 0.08);
}

// The posterior's mean once more by eigenvalues: k(x, X) V (Lambda + 1e-10)^-1 V^T y.
BOOST_AUTO_TEST_CASE(long_length_scales_are_filtered_by_the_jitter) {
  GaussianProcessSettings settings;
  settings.coarse = {12, 5};
  settings.length_scale = 0.7;
  const GaussianProcess process(settings);
  const auto points = process.coarse_points();
  const auto kernel = [&](const at::Tensor& x) {
    const auto squares = (x.unsqueeze(1) - points.unsqueeze(0)).square().sum(2);
    const auto k = (-squares / (2 * 0.49)).exp().t().contiguous();  // Eigen stores by columns
    return Eigen::MatrixXd(Eigen::Map<const Eigen::MatrixXd>(k.data_ptr<double>(), x.size(0), 60));
  };
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> k(kernel(points));
  const auto values = process.coarse_values();
  const Eigen::VectorXd y = Eigen::Map<const Eigen::VectorXd>(values.data_ptr<double>(), 60);
  const Eigen::VectorXd filtered = (k.eigenvectors().transpose() * y).array() / (k.eigenvalues().array() + 1e-10);
  const auto x = centres().narrow(0, 1000, 500);
  const Eigen::VectorXd expected = kernel(x) * (k.eigenvectors() * filtered);
  const auto f = process.evaluate(x);
  const double difference =
      (Eigen::Map<const Eigen::VectorXd>(f.data_ptr<double>(), 500) - expected).cwiseAbs().maxCoeff();
  BOOST_TEST(difference <= 1e-4);
  BOOST_TEST(largest(process.evaluate(points) - values) > 0.01);  // filtered
}

BOOST_AUTO_TEST_CASE(longer_length_scales_are_smoother) {
  double before = INFINITY;
  for (const double length_scale : {0.05, 0.1, 0.3, 0.6, 1.1}) {
    GaussianProcessSettings settings;
    settings.length_scale = length_scale;
    const auto f = GaussianProcess(settings).evaluate_scaled(centres()).view({128, 64});
    const double roughness = (f.diff(1, 0).square().mean() + f.diff(1, 1).square().mean()).item<double>();
    BOOST_TEST(roughness < before);
    BOOST_TEST(f.min().item<double>() == 0);
    BOOST_TEST(f.max().item<double>() == 1);
    before = roughness;
  }
}

BOOST_AUTO_TEST_CASE(states_depend_on_the_seed_and_nothing_else) {
  GaussianProcessSettings settings;
  const auto f = GaussianProcess(settings).evaluate_scaled(centres());
  // A part of the points, as a rank has them, gets the same bits.
  const GaussianProcess again(settings);
  BOOST_TEST(torch::equal(again.evaluate_scaled(centres().narrow(0, 3000, 7)), f.narrow(0, 3000, 7)));
  settings.seed = 1;
  const GaussianProcess other(settings);
  BOOST_TEST(largest(other.evaluate_scaled(centres()) - f) > 0.1);
  // Two draws of std::mt19937_64, whose output the C++ standard fixes.
  BOOST_TEST(again.coarse_values()[0].item<double>() == 0.8923741647765621);
  BOOST_TEST(again.coarse_values()[299].item<double>() == 0.0951173168767534);
}

BOOST_AUTO_TEST_CASE(bad_settings_are_refused) {
  const auto refused = [](const auto& spoil, const auto&... words) {
    GaussianProcessSettings settings;
    spoil(settings);
    BOOST_CHECK_EXCEPTION(GaussianProcess{settings}, UserError, mentions("Gaussian process", words...));
  };
  refused([](auto& s) { s.lower = {0}; }, "two corners");
  refused([](auto& s) { s.upper = {-1, 1}; }, "must lie above");
  refused([](auto& s) { s.coarse = {30}; }, "for each dimension");
  refused([](auto& s) { s.coarse = {30, 1}; }, "at least 2 points");
  refused([](auto& s) { s.coarse = {300, 100}; }, "at most 4096");
  refused([](auto& s) { s.length_scale = 0; }, "length scale must be positive");
  BOOST_CHECK_EXCEPTION(GaussianProcess({}).evaluate(torch::zeros({4, 3})), UserError, mentions("[n, 2]"));
}

BOOST_AUTO_TEST_SUITE_END()
