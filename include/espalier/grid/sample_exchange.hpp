// Whole fields of some samples on each rank, and the ranks' parts of the fields of all samples: from one to the other.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/grid/cell_grid.hpp"

namespace espalier::grid {

/// What a network sees, whole samples [n, fields * global cells] with each field in natural order, n different on each
/// rank, and what a solver on the grid takes, parts [N, fields * local cells] of all N samples, those of rank 0 first.
/// Both directions are permutations of the entries, nodes in torch's graph whose backward is the other direction. On
/// one rank both are the same tensor. float64 in main memory. Collective throughout; an exchange must outlive the
/// graphs that it is part of.
class SampleExchange {
 public:
  /// `samples`: n of each rank, the same list everywhere.
  SampleExchange(std::shared_ptr<const CellGrid> grid, const std::vector<int>& samples, std::int64_t fields = 1);

  /// N.
  std::int64_t all_samples() const { return all_samples_; }
  /// Place of this rank's first one among them.
  std::int64_t first_sample() const { return first_sample_; }
  /// Throw UserError for another shape or type.
  at::Tensor to_parts(const at::Tensor& whole) const;
  at::Tensor to_whole(const at::Tensor& parts) const;

  /// Without record.
  at::Tensor move(const at::Tensor& from, bool to_parts) const;

 private:
  void connect(const std::vector<int>& samples);

  std::shared_ptr<const CellGrid> grid_;
  std::int64_t fields_;
  std::int64_t own_samples_ = 0;
  std::int64_t all_samples_ = 0;
  std::int64_t first_sample_ = 0;
  bool identity_ = true;
  SfHandle moves_;  // roots: whole samples; leaves: parts
};

}  // namespace espalier::grid
