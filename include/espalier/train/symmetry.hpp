// Data augmentation: symmetries of the equation turn one sample into another true one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "espalier/train/windows.hpp"

namespace espalier::train {

/// Random numbers of one epoch, a pure function of (seed, epoch, position of the sample in the epoch, draw): so a
/// sample is transformed alike on any number of ranks and after a resumed run. SplitMix64 (Steele, Lea, Flood 2014)
/// used as a hash of the four numbers.
class SampleRandom {
 public:
  /// `first` is the position in the epoch of local sample 0.
  SampleRandom(std::uint64_t seed, std::uint64_t epoch, std::int64_t first);

  /// 64 random bits for local sample `sample`.
  std::uint64_t bits(std::int64_t sample, std::uint64_t draw) const;
  /// Uniform in {0, ..., bound - 1}; bound < 2^32.
  std::int64_t below(std::int64_t sample, std::uint64_t draw, std::int64_t bound) const;

 private:
  std::uint64_t key_;
  std::int64_t first_;
};

/// A family of transformations that map solutions of the equation to solutions.
class Symmetry {
 public:
  virtual ~Symmetry() = default;
  /// Draws one transformation per sample and applies it to u0 and all targets of that sample, in place.
  virtual void apply(Batch& batch, const SampleRandom& random) const = 0;
};

/// For fields on `points` equidistant periodic points, dof = components * points with the components one after the
/// other: u(x) -> u(x - s h) with s uniform in {0, ..., points - 1}, and with probability 1/2 also u(x) -> -u(-x).
/// Kuramoto-Sivashinsky and Burgers have both symmetries.
class PeriodicShiftReflection : public Symmetry {
 public:
  explicit PeriodicShiftReflection(std::int64_t points) : points_(points) {}
  void apply(Batch& batch, const SampleRandom& random) const override;

 private:
  std::int64_t points_;
};

/// Names for -train_augment.
const std::vector<std::string>& symmetry_names();
/// The symmetry called `name` on a field of one component with `dof` points; null for "none".
std::shared_ptr<const Symmetry> make_symmetry(const std::string& name, std::int64_t dof);

}  // namespace espalier::train
