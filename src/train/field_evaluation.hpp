// The data of an experiment that infers fields as one rank sees them, and what its predictions are worth.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/core/session.hpp"
#include "espalier/model/coefficient_fields.hpp"
#include "espalier/train/field_inference.hpp"
#include "espalier/train/objective.hpp"

namespace espalier::train {

/// The data as this rank sees them.
class LocalData {
 public:
  /// The experiment must outlive the object. Throws UserError when its data do not fit it.
  explicit LocalData(const FieldInference& experiment);

  /// This rank's part of a quantity, [rows, local cells].
  at::Tensor local(const io::GridQuantity& quantity) const;
  /// States of the observed trajectories at the given places, [training, K, local cells].
  at::Tensor observed(const std::vector<std::int64_t>& indices) const;
  /// Of all trajectories, [R, K, local cells].
  at::Tensor all(const std::vector<std::int64_t>& indices) const;

 private:
  const FieldInference& e_;
  at::Tensor states_;  // [R, T, local cells]
};

/// What was predicted, and the truth: [K, R, local cells].
struct Prediction {
  at::Tensor states;  ///< undefined when the model blew up
  at::Tensor truth;
};

/// Predicts from all initial states and compares, as infer_fields() says. References must outlive it.
class Evaluation {
 public:
  Evaluation(core::Session& session, const FieldInference& experiment, const LocalData& data);
  /// Collective.
  void run(RolloutObjective& objective, model::CoefficientFields& fields);

 private:
  at::Tensor predict(RolloutObjective& objective, const at::Tensor& u0);
  void report_states(const Prediction& prediction);
  void report_group(const std::string& name, const std::string& norm, const at::Tensor& errors);
  at::Tensor inferred(model::CoefficientFields& fields) const;
  at::Tensor true_field(const std::string& name) const;
  void report_fields(model::CoefficientFields& fields);
  void add(io::GridSeries& file, const std::string& name, const at::Tensor& truth, const at::Tensor& prediction) const;
  void write(const Prediction& prediction, model::CoefficientFields& fields, const at::Tensor& initial);

  core::Session& session_;
  const FieldInference& e_;
  const LocalData& data_;
  std::vector<std::int64_t> places_;  // of times_ among those of the data
  std::vector<double> times_;
};

}  // namespace espalier::train
