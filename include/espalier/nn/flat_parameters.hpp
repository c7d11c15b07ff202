// All parameters of a network in one buffer, all gradients in another: what optimiser, reduction and restart use.
#pragma once

#include <torch/types.h>

#include <vector>

namespace espalier::nn {

/// Moves the given leaf tensors into one contiguous buffer and keeps them as views of it; their gradients are views of
/// a second buffer. So `values()` and `gradient()` are the network's parameters and gradients, without copies.
/// All tensors must have the same type and device.
class FlatParameters {
 public:
  FlatParameters() = default;
  explicit FlatParameters(std::vector<at::Tensor> tensors);
  /// The buffers of several networks moved into one, in order. The parts stay what they are, as views of the whole:
  /// what an optimiser does to the whole is done to them. They must outlive the result and have one type and device.
  /// Parts that were joined in this order before are not moved again.
  static FlatParameters joined(const std::vector<FlatParameters*>& parts);

  std::int64_t count() const { return values_.defined() ? values_.numel() : 0; }
  /// theta: [count], without autograd history; its .grad is gradient().
  at::Tensor& values() { return values_; }
  const at::Tensor& values() const { return values_; }
  /// theta_bar: [count].
  at::Tensor& gradient() { return gradient_; }
  const at::Tensor& gradient() const { return gradient_; }
  void zero_gradient();
  /// Ties .grad to gradient() again, set to zero, wherever it was dropped, as torch's Optimizer::zero_grad() does by
  /// default from LibTorch 2 on.
  void restore_gradient();

  /// The parameters as they were given, in order; views of values().
  const std::vector<at::Tensor>& tensors() const { return tensors_; }
  /// Views of gradient() with the shapes of tensors().
  const std::vector<at::Tensor>& gradients() const { return gradients_; }

  /// Grows by one whenever somebody says that the values changed; caches of derived matrices compare it.
  long version() const { return version_; }
  /// Also says so to the parts of a joined buffer; what is said to one of them does not reach the whole.
  void mark_changed();

 private:
  void move_to(const at::Tensor& values, const at::Tensor& gradient);
  void attach_gradients();

  std::vector<at::Tensor> tensors_;
  std::vector<at::Tensor> gradients_;
  at::Tensor values_;
  at::Tensor gradient_;
  std::vector<FlatParameters*> parts_;  // of a joined buffer
  long version_ = 0;
};

}  // namespace espalier::nn
