#include "espalier/nn/flat_parameters.hpp"

#include <torch/types.h>
#include <torch/utils.h>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

at::Tensor buffer_for(const std::vector<at::Tensor>& tensors) {
  std::int64_t total = 0;
  for (const auto& tensor : tensors) {
    ESPALIER_ASSERT(tensor.options().type_equal(tensors.front().options()),
                    "all parameters of a flat buffer must have one type and device");
    total += tensor.numel();
  }
  return torch::empty({total}, tensors.front().options().requires_grad(false));
}

}  // namespace

FlatParameters::FlatParameters(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)) {
  ESPALIER_ASSERT(!tensors_.empty(), "a network without parameters has no flat buffer");
  const at::Tensor values = buffer_for(tensors_);
  move_to(values, torch::zeros_like(values));
}

namespace {

// The buffer that these views fill one after another; undefined if they do not.
at::Tensor common_buffer(const std::vector<at::Tensor>& views) {
  std::int64_t total = 0;
  for (const auto& view : views) {
    const bool follows = view.storage().is_alias_of(views.front().storage()) &&
                         view.storage_offset() == views.front().storage_offset() + total;
    if (!follows) return {};
    total += view.numel();
  }
  return views.front().as_strided({total}, {1});
}

}  // namespace

FlatParameters FlatParameters::joined(const std::vector<FlatParameters*>& parts) {
  FlatParameters whole;
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> gradients;
  for (auto* part : parts) {
    whole.tensors_.insert(whole.tensors_.end(), part->tensors_.begin(), part->tensors_.end());
    values.push_back(part->values_);
    gradients.push_back(part->gradient_);
  }
  ESPALIER_ASSERT(!whole.tensors_.empty(), "nothing to join");
  const torch::NoGradGuard no_grad;
  whole.values_ = common_buffer(values);
  whole.gradient_ = common_buffer(gradients);
  if (!whole.values_.defined() || !whole.gradient_.defined()) {
    whole.values_ = buffer_for(whole.tensors_);
    whole.gradient_ = torch::zeros_like(whole.values_);
    std::int64_t offset = 0;
    for (auto* part : parts) {
      const std::int64_t count = part->count();
      part->move_to(whole.values_.narrow(0, offset, count), whole.gradient_.narrow(0, offset, count));
      offset += count;
    }
  }
  for (auto* part : parts)
    whole.gradients_.insert(whole.gradients_.end(), part->gradients_.begin(), part->gradients_.end());
  whole.attach_gradients();
  whole.parts_ = parts;
  return whole;
}

// Tensors and gradients become views of these buffers; values come along, gradients start anew.
void FlatParameters::move_to(const at::Tensor& values, const at::Tensor& gradient) {
  const torch::NoGradGuard no_grad;
  values_ = values;
  gradient_ = gradient;
  gradients_.clear();
  std::int64_t offset = 0;
  for (auto* part : parts_) {
    part->move_to(values.narrow(0, offset, part->count()), gradient.narrow(0, offset, part->count()));
    offset += part->count();
    gradients_.insert(gradients_.end(), part->gradients_.begin(), part->gradients_.end());
  }
  if (!parts_.empty()) return attach_gradients();
  for (auto& tensor : tensors_) {
    const auto shape = tensor.sizes().vec();
    const at::Tensor view = values.narrow(0, offset, tensor.numel()).view(shape);
    view.copy_(tensor);
    gradients_.push_back(gradient.narrow(0, offset, tensor.numel()).view(shape));
    offset += tensor.numel();
    tensor.set_data(view);
  }
  attach_gradients();
}

void FlatParameters::mark_changed() {
  ++version_;
  for (auto* part : parts_) part->mark_changed();
}

void FlatParameters::attach_gradients() {
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].requires_grad()) tensors_[i].mutable_grad() = gradients_[i];
  values_.mutable_grad() = gradient_;
}

void FlatParameters::zero_gradient() {
  if (!gradient_.defined()) return;
  gradient_.zero_();
  attach_gradients();
}

void FlatParameters::restore_gradient() {
  if (!gradient_.defined()) return;
  const torch::NoGradGuard no_grad;
  if (!values_.grad().defined()) gradient_.zero_();
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].requires_grad() && !tensors_[i].grad().defined()) gradients_[i].zero_();
  attach_gradients();
}

}  // namespace espalier::nn
