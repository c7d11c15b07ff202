#include "espalier/data/gaussian_process.hpp"

#include <torch/types.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <cmath>
#include <random>

#include "box.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/random_draws.hpp"

namespace espalier::data {

namespace {

using Real = long double;
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
using Vector = Eigen::Matrix<Real, Eigen::Dynamic, 1>;

constexpr const char* generator_name = "Gaussian process";
constexpr Real jitter = 1e-10L;            // scikit-learn's default
constexpr std::size_t most_points = 4096;  // of the dense system

void validate(const GaussianProcessSettings& settings) {
  require_box(generator_name, settings.lower, settings.upper, {settings.coarse, settings.reference});
  ESPALIER_REQUIRE(std::isfinite(settings.length_scale) && settings.length_scale > 0,
                   std::string(generator_name) + ": the length scale must be positive");
  std::size_t total = 1;
  for (const std::size_t count : settings.coarse) {
    ESPALIER_REQUIRE(count <= most_points / total, std::string(generator_name) + ": at most " +
                                                       std::to_string(most_points) + " coarse points are possible");
    total *= count;
  }
}

// The kernel is a product over the dimensions: its factors in dimension d between x and the coarse coordinates.
std::vector<Real> factors(const GaussianProcessSettings& settings, std::size_t d, double x) {
  std::vector<Real> result;
  for (std::size_t i = 0; i < settings.coarse[d]; ++i) {
    const Real y = coordinate(Spacing::with_ends, settings.lower[d], settings.upper[d], i, settings.coarse[d]);
    const Real distance = (static_cast<Real>(x) - y) / static_cast<Real>(settings.length_scale);
    result.push_back(std::exp(-distance * distance / 2));
  }
  return result;
}

// k(x, X) = exp(-|x - X|^2 / (2 l^2)) at all coarse points.
std::vector<Real> kernel_row(const GaussianProcessSettings& settings, const double* x) {
  std::vector<Real> row = {1};
  for (std::size_t d = 0; d < settings.coarse.size(); ++d) {
    const auto along = factors(settings, d, x[d]);
    std::vector<Real> product;
    product.reserve(row.size() * along.size());
    for (const Real before : row)
      for (const Real factor : along) product.push_back(before * factor);
    row = std::move(product);
  }
  return row;
}

}  // namespace

GaussianProcess::GaussianProcess(const GaussianProcessSettings& settings) : settings_(settings) {
  validate(settings_);
  const at::Tensor points = coarse_points();
  const auto count = static_cast<Eigen::Index>(points.size(0));
  std::mt19937_64 generator(core::mix(settings_.seed));
  Matrix k(count, count);
  Vector y(count);
  for (Eigen::Index i = 0; i < count; ++i) {
    values_.push_back(core::uniform_unit(generator));
    y(i) = values_.back();
    const auto row = kernel_row(settings_, points.data_ptr<double>() + i * points.size(1));
    k.row(i) = Eigen::Map<const Vector>(row.data(), count).transpose();
  }
  // weights = (k(X, X) + jitter I)^-1 y
  k.diagonal().array() += jitter;
  const Eigen::LLT<Eigen::Ref<Matrix>> factorised(k);
  if (factorised.info() != Eigen::Success)
    throw NumericalError(std::string(generator_name) +
                             ": the kernel matrix is not positive definite; use a shorter "
                             "length scale or fewer coarse points",
                         __FILE__, __LINE__);
  const Vector weights = factorised.solve(y);
  weights_.assign(weights.data(), weights.data() + count);

  const at::Tensor f = evaluate(grid_points(Spacing::centres, settings_.lower, settings_.upper, settings_.reference));
  least_ = f.min().item<double>();
  largest_ = f.max().item<double>();
}

at::Tensor GaussianProcess::coarse_points() const {
  return grid_points(Spacing::with_ends, settings_.lower, settings_.upper, settings_.coarse);
}

at::Tensor GaussianProcess::coarse_values() const { return torch::tensor(values_, torch::kDouble); }

at::Tensor GaussianProcess::evaluate(const at::Tensor& points) const {
  require_points(generator_name, points, settings_.lower.size());
  const at::Tensor x = points.detach().to(torch::kDouble).contiguous();
  const at::Tensor f = torch::empty({x.size(0)}, torch::kDouble);
  for (std::int64_t p = 0; p < x.size(0); ++p) {
    const auto row = kernel_row(settings_, x.data_ptr<double>() + p * x.size(1));
    Real sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) sum += row[i] * weights_[i];
    f.data_ptr<double>()[p] = static_cast<double>(sum);
  }
  return f;
}

at::Tensor GaussianProcess::evaluate_scaled(const at::Tensor& points) const {
  return (evaluate(points) - least_) / (largest_ - least_);
}

}  // namespace espalier::data
