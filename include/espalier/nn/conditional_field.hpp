// Conditional neural fields: functions of the position whose weights a hypernetwork makes from a condition.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/core/options.hpp"
#include "espalier/nn/flat_parameters.hpp"

namespace espalier::nn {

struct ConditionalFieldSettings {
  std::vector<std::string> names = {"field"};             ///< one field for each
  std::int64_t dimension = 2;                             ///< of the points
  std::int64_t condition = 1;                             ///< entries of the condition
  std::vector<std::int64_t> hypernetwork = {16, 16, 16};  ///< its hidden layers
  std::int64_t latent = 10;                               ///< entries of the latent code
  std::vector<std::int64_t> hidden = {128};               ///< hidden layers of the base network
  double omega = 30;                                      ///< w0, the factor inside the sines
  double spread = 0.1;                                    ///< size of the projector's matrix at the start
  std::vector<double> scale;                              ///< of each field; one number for all; empty: 1
  std::vector<double> offset;                             ///< likewise; empty: 0
  bool single_precision = false;
  std::uint64_t seed = 0;

  /// Reads -field_hypernetwork, -field_latent, -field_hidden, -field_omega, -field_spread, -field_scale, -field_offset,
  /// -field_precision and -field_seed. Throws UserError.
  void read(core::OptionReader& o);
};

/// Points at which fields are evaluated, [n, dimension]. Those of a structured grid stand in lines along its first
/// axis, which runs fastest: all pairs of the coordinates `x` [p] with the `rest` [m, dimension - 1], n = m p. That is
/// noticed here, once; the sines of a base network's first layer are then products of those along the axes.
class PointSet {
 public:
  /// Throws UserError unless `points` are [n, dimension] with a dimension of at least 1.
  explicit PointSet(at::Tensor points);
  const at::Tensor& all() const { return points_; }
  bool in_lines() const { return x_.defined(); }
  const at::Tensor& x() const { return x_; }        ///< [p, 1]
  const at::Tensor& rest() const { return rest_; }  ///< [m, dimension - 1]
  PointSet to(at::ScalarType type) const;

 private:
  PointSet() = default;
  at::Tensor points_;
  at::Tensor x_;
  at::Tensor rest_;
};

/// Fields y_k(x; c) = offset_k + scale_k B(x; P_k H_k(c) + p_k), each with networks of its own: a hypernetwork H (leaky
/// ReLU, linear last layer) makes a latent code z from the condition c, a linear projection (P, p) makes all weights of
/// the base network B from z, and B is a SIREN (Sitzmann, Martel, Bergman, Lindell & Wetzstein 2020):
/// a_l = sin(w0 (W_l a_(l-1) + b_l)), a_0 = x, with a linear last layer.
///
/// At the start p is a draw of SIREN's distribution: weights U(-1/d, 1/d) in the first layer and U(-s, s),
/// s = sqrt(6 / n) / w0, behind n sines; biases U(-1/sqrt(n), 1/sqrt(n)), n the inputs of their layer. A row of P is
/// U(-r, r), r = spread / sqrt(latent) times the bound of the weight that it makes: conditions change the weights by a
/// part of about `spread` |z|. H starts as Mlp does (Initialisation::uniform). Points should be of order 1: w0 sets the
/// waves that the field begins with. The same seed gives the same parameters on every rank, up to rounding in both
/// precisions. Not collective.
class ConditionalField {
 public:
  /// Throws UserError when a number makes no sense.
  explicit ConditionalField(ConditionalFieldSettings settings);

  /// Values at `points` [n, dimension] under `condition` [condition]: [n, outputs]; under several conditions
  /// [m, condition]: [m, n, outputs]. In torch operations and the parameters' precision; the transpose of a result for
  /// one condition is contiguous. Without a graph where gradients are switched off (torch::NoGradGuard).
  at::Tensor evaluate(const at::Tensor& points, const at::Tensor& condition) const;
  /// The same for points that are used again and again, best in the parameters' precision. In lines, m + p lines of
  /// sines take the place of n, and a base network of one hidden layer is one product of matrices:
  ///   sin(a(x) + b(r)) = sin a cos b + cos a sin b.
  at::Tensor evaluate(const PointSet& points, const at::Tensor& condition) const;

  const std::vector<std::string>& names() const { return settings_.names; }
  std::int64_t outputs() const { return static_cast<std::int64_t>(settings_.names.size()); }
  const ConditionalFieldSettings& settings() const { return settings_; }
  /// Of all fields at once, fields first: W_1 [fields, width, inputs] and b_1 [fields, 1, width] of the hypernetwork,
  /// W_2, ..., then P [fields, weights, latent] and p [fields, 1, weights].
  FlatParameters& parameters() { return parameters_; }
  /// All base networks' weights under `condition`, as for evaluate(): [fields, m, weights]; W_1 row by row, b_1, W_2...
  at::Tensor base_weights(const at::Tensor& condition) const;
  /// Architecture and precision in one line; two fields with the same text can exchange parameters.
  std::string fingerprint() const;

 private:
  at::Tensor evaluate_base(const PointSet& points, const at::Tensor& weights) const;

  ConditionalFieldSettings settings_;
  std::vector<std::int64_t> base_;  // widths of the base network, with inputs and output
  FlatParameters parameters_;
  at::Tensor scale_;  // [fields, 1]
  at::Tensor offset_;
};

}  // namespace espalier::nn
