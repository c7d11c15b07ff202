// Coefficient fields without a network: cell values that are trained, and fields that are known.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "espalier/model/coefficient_fields.hpp"

namespace espalier::model {

/// Steady fields whose values at this rank's cells are the parameters themselves: theta = c, field by field. Every rank
/// has parameters of its own cells: their gradients are not to be summed over the ranks. Not collective.
class GridFields : public CoefficientFields {
 public:
  /// Begins with `initial`, [fields, local cells], float64. Throws UserError unless it has a row for each name.
  GridFields(std::vector<std::string> names, const at::Tensor& initial);

  const std::vector<std::string>& names() const override { return names_; }
  bool moves() const override { return false; }
  /// The parameters' own memory.
  const at::Tensor& values(double t) override;
  at::Tensor& cotangent(double /*t*/) override { return cotangent_; }
  std::vector<nn::FlatParameters*> parameters() override { return {&parameters_}; }
  void finish() override;

 private:
  std::vector<std::string> names_;
  nn::FlatParameters parameters_;
  at::Tensor values_;  // a view of the parameters
  at::Tensor cotangent_;
};

/// Fields that are given: constants, or a function of time. Nothing is trained; cotangents are thrown away. Not
/// collective.
class KnownFields : public CoefficientFields {
 public:
  /// c(t), [fields, local cells], float64; a tensor that the function does not change later.
  using Function = std::function<at::Tensor(double t)>;
  /// Steady: `values` [fields, local cells]. Throws UserError unless it is float64 with a row for each name.
  KnownFields(std::vector<std::string> names, const at::Tensor& values);
  /// Moving: of the last `kept` different times the values are remembered, enough for the stages of a step. References
  /// that values() returned are good for so many further times; copies of the tensor for ever.
  KnownFields(std::vector<std::string> names, Function function, std::size_t kept = 16);

  const std::vector<std::string>& names() const override { return names_; }
  bool moves() const override { return function_ != nullptr; }
  /// Throws UserError when the function returns another shape or type.
  const at::Tensor& values(double t) override;
  /// One buffer for all times, [fields, local cells]: nobody reads it.
  at::Tensor& cotangent(double t) override;
  std::vector<nn::FlatParameters*> parameters() override { return {}; }
  void finish() override;

 private:
  struct Moment {
    double t;
    at::Tensor values;
  };

  std::vector<std::string> names_;
  Function function_;
  std::vector<Moment> moments_;  // a ring; of steady fields the only one
  std::size_t kept_ = 1;
  std::size_t next_ = 0;  // the place in the ring that is written next
  double largest_ = 0;    // |t| so far
  at::Tensor cotangent_;
};

}  // namespace espalier::model
