// What tests of networks share.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/utils.h>

#include <cstdint>

namespace espalier::testing {

/// Standard normal entries of float64; the same for the same seed.
inline at::Tensor random_tensor(at::IntArrayRef shape, std::uint64_t seed) {
  const torch::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, at::TensorOptions().dtype(at::kDouble)).normal_(0, 1, generator);
}

/// max |a - b| / max(1, max |b|); infinite when the shapes differ.
inline double difference(const at::Tensor& a, const at::Tensor& b) {
  const torch::NoGradGuard no_grad;
  if (!a.sizes().equals(b.sizes())) return std::numeric_limits<double>::infinity();
  if (b.numel() == 0) return 0;
  const auto reference = b.to(at::kDouble);
  const double scale = std::max(1.0, reference.abs().max().item<double>());
  return (a.to(at::kDouble) - reference).abs().max().item<double>() / scale;
}

}  // namespace espalier::testing
