#include "espalier/model/grid_fields.hpp"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "espalier/core/error.hpp"
#include "same_time.hpp"

namespace espalier::model {

namespace {

const at::Tensor& checked(const std::vector<std::string>& names, const at::Tensor& values) {
  ESPALIER_REQUIRE(!names.empty(), "coefficient fields need at least one name");
  ESPALIER_REQUIRE(values.dim() == 2 && values.size(0) == static_cast<std::int64_t>(names.size()) &&
                       values.scalar_type() == at::kDouble,
                   "values of the coefficient fields " + core::join(names) + " must be [" +
                       std::to_string(names.size()) + ", local cells] in float64");
  return values;
}

}  // namespace

GridFields::GridFields(std::vector<std::string> names, const at::Tensor& initial) : names_(std::move(names)) {
  parameters_ = nn::FlatParameters({checked(names_, initial).detach().clone().requires_grad_(true)});
  cotangent_ = torch::zeros(initial.sizes(), torch::kDouble);
}

const at::Tensor& GridFields::values(double /*t*/) {
  // Joining buffers moves the parameters.
  if (!values_.defined() || values_.data_ptr() != parameters_.values().data_ptr())
    values_ = parameters_.values().detach().view(cotangent_.sizes());
  return values_;
}

// theta_bar += c_bar.
void GridFields::finish() {
  const torch::NoGradGuard no_grad;
  parameters_.gradient().add_(cotangent_.view({-1}));
  cotangent_.zero_();
}

KnownFields::KnownFields(std::vector<std::string> names, const at::Tensor& values) : names_(std::move(names)) {
  moments_.push_back({0, checked(names_, values).detach().clone()});
}

KnownFields::KnownFields(std::vector<std::string> names, Function function, std::size_t kept)
    : names_(std::move(names)), function_(std::move(function)), kept_(kept) {
  ESPALIER_REQUIRE(!names_.empty(), "coefficient fields need at least one name");
  ESPALIER_REQUIRE(function_ != nullptr, "the known fields " + core::join(names_) + " need a function of time");
  ESPALIER_REQUIRE(kept_ >= 1, "known fields must remember at least one time");
  moments_.reserve(kept_);
}

const at::Tensor& KnownFields::values(double t) {
  if (!moves()) return moments_.front().values;
  largest_ = std::max(largest_, std::abs(t));
  const double tolerance = time_tolerance(t, largest_);
  for (const auto& moment : moments_)
    if (std::abs(moment.t - t) <= tolerance) return moment.values;
  const torch::NoGradGuard no_grad;
  Moment moment{t, checked(names_, function_(t))};
  if (moments_.size() < kept_) {
    moments_.push_back(std::move(moment));
    return moments_.back().values;
  }
  Moment& oldest = moments_[next_];
  next_ = (next_ + 1) % kept_;
  oldest = std::move(moment);
  return oldest.values;
}

at::Tensor& KnownFields::cotangent(double t) {
  if (!cotangent_.defined()) cotangent_ = torch::zeros_like(values(t));
  return cotangent_;
}

void KnownFields::finish() {
  if (cotangent_.defined()) cotangent_.zero_();
}

}  // namespace espalier::model
