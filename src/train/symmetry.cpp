#include "espalier/train/symmetry.hpp"

#include <torch/types.h>

#include <algorithm>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"

namespace espalier::train {

SampleRandom::SampleRandom(std::uint64_t seed, std::uint64_t epoch, std::int64_t first)
    : key_(core::mix(core::mix(seed) + epoch)), first_(first) {}

std::uint64_t SampleRandom::bits(std::int64_t sample, std::uint64_t draw) const {
  return core::mix(core::mix(key_ + static_cast<std::uint64_t>(first_ + sample)) + draw);
}

std::int64_t SampleRandom::below(std::int64_t sample, std::uint64_t draw, std::int64_t bound) const {
  // The upper 32 bits as a fraction of 2^32, times the bound: the bias is below bound / 2^32.
  const std::uint64_t upper = bits(sample, draw) >> 32U;
  return static_cast<std::int64_t>((upper * static_cast<std::uint64_t>(bound)) >> 32U);
}

namespace {

// A field moved by `shift` points, and reflected first if so wished:
//   out_j = in_{j - shift}   or   out_j = -in_{shift - j},   indices modulo n.
void move_field(double* field, double* work, std::int64_t n, std::int64_t shift, bool reflect) {
  if (reflect) {
    for (std::int64_t j = 0; j <= shift; ++j) work[j] = -field[shift - j];
    for (std::int64_t j = shift + 1; j < n; ++j) work[j] = -field[shift - j + n];
  } else {
    std::copy(field + n - shift, field + n, work);
    std::copy(field, field + n - shift, work + shift);
  }
  std::copy(work, work + n, field);
}

}  // namespace

void PeriodicShiftReflection::apply(Batch& batch, const SampleRandom& random) const {
  const std::int64_t dof = batch.u0.size(1);
  const std::int64_t intervals = batch.targets.size(1);
  ESPALIER_ASSERT(points_ > 0 && dof % points_ == 0, "dof must be a multiple of the periodic points");
  batch.u0 = batch.u0.contiguous();
  batch.targets = batch.targets.contiguous();
  auto* u0 = batch.u0.data_ptr<double>();
  auto* targets = batch.targets.data_ptr<double>();
  std::vector<double> work(static_cast<std::size_t>(points_));
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    const std::int64_t shift = random.below(i, 0, points_);
    const bool reflect = (random.bits(i, 1) & 1U) != 0;
    const auto move_state = [&](double* state) {
      for (std::int64_t c = 0; c < dof; c += points_) move_field(state + c, work.data(), points_, shift, reflect);
    };
    move_state(u0 + i * dof);
    for (std::int64_t k = 0; k < intervals; ++k) move_state(targets + (i * intervals + k) * dof);
  }
}

const std::vector<std::string>& symmetry_names() {
  static const std::vector<std::string> names = {"none", "shift_reflect"};
  return names;
}

std::shared_ptr<const Symmetry> make_symmetry(const std::string& name, std::int64_t dof) {
  const auto& names = symmetry_names();
  ESPALIER_REQUIRE(std::find(names.begin(), names.end(), name) != names.end(),
                   "augmentation '" + name + "' is unknown; choose one of: " + core::join(names));
  if (name == "none") return nullptr;
  return std::make_shared<PeriodicShiftReflection>(dof);
}

}  // namespace espalier::train
