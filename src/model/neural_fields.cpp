#include "espalier/model/neural_fields.hpp"

#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "espalier/core/error.hpp"
#include "same_time.hpp"

namespace espalier::model {

namespace {

constexpr std::size_t fewest_moments = 16;

nn::PointSet checked_points(const nn::ConditionalField& field, const at::Tensor& points) {
  ESPALIER_REQUIRE(points.dim() == 2 && points.size(1) == field.settings().dimension,
                   "neural fields: points must be [n, " + std::to_string(field.settings().dimension) +
                       "]; set the field's dimension to that of the grid");
  const auto type = field.settings().single_precision ? at::kFloat : at::kDouble;
  return nn::PointSet(points.detach().to(type, /*non_blocking=*/false, /*copy=*/true).contiguous());
}

}  // namespace

NeuralFields::NeuralFields(std::shared_ptr<nn::ConditionalField> field, const at::Tensor& points, Motion motion,
                           std::size_t keep_bytes)
    : field_(std::move(field)),
      points_(checked_points(*field_, points)),
      condition_(torch::zeros({field_->settings().condition}, torch::kDouble)),
      motion_(motion) {
  const auto entries = static_cast<std::size_t>(std::max<std::int64_t>(1, field_->outputs() * points_.all().size(0)));
  most_ = std::max(fewest_moments, keep_bytes / (entries * sizeof(double)));
}

NeuralFields::~NeuralFields() = default;

void NeuralFields::set_condition(const at::Tensor& condition) {
  const std::int64_t before = moves() ? 1 : 0;
  const std::int64_t entries = condition_.numel() - before;
  ESPALIER_REQUIRE(condition.dim() == 1 && condition.numel() == entries,
                   "neural fields: the condition must have " + std::to_string(entries) + " entries" +
                       (moves() ? ", the time apart" : "") + ", not " + std::to_string(condition.numel()));
  const torch::NoGradGuard no_grad;
  condition_ = torch::cat({condition_.narrow(0, 0, before), condition.detach().to(torch::kDouble)});
  start_anew();
}

void NeuralFields::follow_parameters() {
  const long version = field_->parameters().version();
  if (version == version_) return;
  version_ = version;
  start_anew();
}

void NeuralFields::start_anew() {
  ++generation_;
  largest_ = 0;
  graph_.reset();
  for (auto& [t, moment] : moments_)
    if (std::exchange(moment.pending, false)) moment.cotangent.zero_();
}

NeuralFields::Moments::iterator NeuralFields::find(double t) {
  const auto exact = moments_.find(t);
  if (exact != moments_.end()) return exact;
  const double tolerance = time_tolerance(t, largest_);
  const auto entry = moments_.lower_bound(t - tolerance);
  return entry != moments_.end() && entry->first <= t + tolerance ? entry : moments_.end();
}

// An entry for a time that has none: of those without a pending cotangent the one that was used longest ago, if it is
// of former parameters or there are too many of them; else a new one.
NeuralFields::Moments::iterator NeuralFields::make_room(double t) {
  std::size_t count = 0;
  auto oldest = moments_.end();
  for (auto entry = moments_.begin(); entry != moments_.end(); ++entry) {
    if (entry->second.pending) continue;
    ++count;
    if (oldest == moments_.end() || entry->second.used < oldest->second.used) oldest = entry;
  }
  if (count == 0 || (oldest->second.generation == generation_ && count < most_)) return moments_.try_emplace(t).first;
  auto node = moments_.extract(oldest);
  node.key() = t;
  node.mapped().generation = -1;
  return moments_.insert(std::move(node)).position;
}

NeuralFields::Moments::iterator NeuralFields::moment(double t) {
  follow_parameters();
  if (!moves()) t = 0;
  largest_ = std::max(largest_, std::abs(t));
  auto entry = find(t);
  if (entry == moments_.end()) {
    entry = make_room(t);
  } else if (entry->second.generation != generation_ && entry->first != t) {
    // The field is evaluated at the time that is asked for now: what came before leaves no trace in the bits.
    auto node = moments_.extract(entry);
    node.key() = t;
    entry = moments_.insert(std::move(node)).position;
  }
  entry->second.used = ++clock_;
  return entry;
}

// c(x, t), [fields, n].
at::Tensor NeuralFields::evaluate(double t) {
  if (moves()) condition_.data_ptr<double>()[0] = t;
  ++evaluations_;
  return field_->evaluate(points_, condition_).t();
}

void NeuralFields::refresh(Moments::iterator entry) {
  const torch::AutoGradMode with_graph(!moves());
  const auto values = evaluate(entry->first);
  if (!moves()) graph_ = values;
  entry->second.values = values.detach().to(torch::kDouble);
  entry->second.generation = generation_;
}

const at::Tensor& NeuralFields::values(double t) {
  const auto entry = moment(t);
  if (entry->second.generation != generation_) refresh(entry);
  return entry->second.values;
}

at::Tensor& NeuralFields::cotangent(double t) {
  auto& moment = this->moment(t)->second;
  if (!moment.cotangent.defined())
    moment.cotangent = torch::zeros({field_->outputs(), points_.all().size(0)}, torch::kDouble);
  moment.pending = true;
  return moment.cotangent;
}

// theta_bar += (dc/dtheta)^T c_bar.
void NeuralFields::accumulate(const at::Tensor& graph, const at::Tensor& cotangent) {
  if (!graph.requires_grad()) return;
  auto& parameters = field_->parameters();
  std::vector<at::Tensor> trained;
  std::vector<at::Tensor> gradients;
  for (std::size_t i = 0; i < parameters.tensors().size(); ++i) {
    if (!parameters.tensors()[i].requires_grad()) continue;
    trained.push_back(parameters.tensors()[i]);
    gradients.push_back(parameters.gradients()[i]);
  }
  const bool keep_graph = !moves();
  const auto products =
      torch::autograd::grad({graph}, trained, {cotangent.to(graph.scalar_type())}, keep_graph, false, true);
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < products.size(); ++i)
    if (products[i].defined()) gradients[i].add_(products[i]);
}

void NeuralFields::finish() {
  follow_parameters();
  for (auto entry = moments_.begin(); entry != moments_.end(); ++entry) {
    auto& moment = entry->second;
    if (!std::exchange(moment.pending, false)) continue;
    if (moves()) {
      const torch::AutoGradMode with_graph(true);
      accumulate(evaluate(entry->first), moment.cotangent);
    } else {
      if (moment.generation != generation_) refresh(entry);
      accumulate(graph_, moment.cotangent);
    }
    moment.cotangent.zero_();
  }
}

}  // namespace espalier::model
