// Coefficient fields that a conditional neural field gives, at the centres of this rank's cells.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/model/coefficient_fields.hpp"
#include "espalier/nn/conditional_field.hpp"

namespace espalier::model {

/// Whether a field depends on time.
enum class Motion { steady, moving };

/// The fields of an nn::ConditionalField at given points. Condition: entries given by the caller, zeros at first, with
/// the time before them where the fields move. The field's own precision; values and cotangents in float64.
///
/// values() are kept for each time until the parameters' version grows, cotangents until finish(). Times that differ by
/// 1e-12 of the largest |t| since then are one. Moving fields keep no graph: finish() evaluates each time that has a
/// cotangent once more, one after another. Steady fields are evaluated once per version, with a graph that finish()
/// uses. Cotangents that were not finished when the parameters change are dropped: their run has failed. Buffers are
/// used again. Not collective; a rank may have no points.
class NeuralFields : public CoefficientFields {
 public:
  /// `points`: [n, dimension], copied. `keep_bytes`: values of moving fields beyond it push out those that were asked
  /// for longest ago, and references to them end then; those of the last 16 times always stay. Throws UserError.
  NeuralFields(std::shared_ptr<nn::ConditionalField> field, const at::Tensor& points, Motion motion,
               std::size_t keep_bytes = default_keep_bytes);
  ~NeuralFields() override;

  const std::vector<std::string>& names() const override { return field_->names(); }
  bool moves() const override { return motion_ == Motion::moving; }
  const at::Tensor& values(double t) override;
  at::Tensor& cotangent(double t) override;
  std::vector<nn::FlatParameters*> parameters() override { return {&field_->parameters()}; }
  void finish() override;

  /// The condition (after the time): [condition], of moving fields [condition - 1]. Not between values() and finish().
  void set_condition(const at::Tensor& condition);
  nn::ConditionalField& field() { return *field_; }
  /// How often the field was evaluated, with graph or without.
  long evaluations() const { return evaluations_; }

  static constexpr std::size_t default_keep_bytes = std::size_t{1} << 30;

 private:
  struct Moment {
    at::Tensor values;     // [fields, n], float64
    at::Tensor cotangent;  // likewise, once it was asked for
    long generation = -1;  // that the values are of
    long used = 0;         // reading of the clock
    bool pending = false;  // a cotangent that finish() has not had
  };
  using Moments = std::map<double, Moment>;

  void follow_parameters();
  void start_anew();
  Moments::iterator moment(double t);
  Moments::iterator find(double t);
  Moments::iterator make_room(double t);
  at::Tensor evaluate(double t);
  void refresh(Moments::iterator entry);
  void accumulate(const at::Tensor& graph, const at::Tensor& cotangent);

  std::shared_ptr<nn::ConditionalField> field_;
  nn::PointSet points_;   // in the field's precision
  at::Tensor condition_;  // the time first, where the fields move
  Motion motion_;
  std::size_t most_;     // moments to keep
  Moments moments_;      // by time; of steady fields only one
  at::Tensor graph_;     // of steady fields: their values with what they came from
  long version_ = -1;    // of the parameters
  long generation_ = 0;  // grows with the version, and with another condition
  double largest_ = 0;   // |t| in this generation
  long clock_ = 0;       // counts calls
  long evaluations_ = 0;
};

}  // namespace espalier::model
