// A slow, sequential finite-volume right-hand side in natural order, for any scalar type, and coefficient fields that
// are plain arrays.
#pragma once

#include <torch/types.h>

#include <complex>

#include "espalier/model/finite_volume_term.hpp"
#include "grid/grids.hpp"
#include "model/vectors.hpp"

namespace espalier::testing {

inline double real_of(double x) { return x; }
inline double real_of(const std::complex<double>& x) { return x.real(); }

/// u, velocities and D in natural order.
template <class T>
struct Fields {
  std::vector<T> u;
  std::vector<std::vector<T>> v;
  std::vector<T> d;
};

template <class T>
class FiniteVolumeReference {
 public:
  FiniteVolumeReference(Axes axes, model::FiniteVolumeSettings settings)
      : axes_(std::move(axes)), settings_(std::move(settings)) {}

  /// f at all cells.
  std::vector<T> operator()(const Fields<T>& x) const {
    const Index n = cells_of(axes_);
    std::vector<T> f;
    for (Index i{}; i[2] < n[2]; ++i[2])
      for (i[1] = 0; i[1] < n[1]; ++i[1])
        for (i[0] = 0; i[0] < n[0]; ++i[0]) {
          T sum = 0;
          for (std::size_t axis = 0; axis < axes_.size(); ++axis) {
            Index next = i;
            ++next[axis];
            sum += (flux_below(x, i, axis) - flux_below(x, next, axis)) / spacing_of(axes_[axis]);
          }
          f.push_back(sum);
        }
    return f;
  }

  /// The flux through the face between cell i and the one before it along the axis.
  T flux_below(const Fields<T>& x, const Index& i, std::size_t axis) const {
    const auto cell = [&](const std::vector<T>& field, long distance, grid::Beyond beyond) {
      Index at = i;
      at[axis] += distance;
      return value_at(axes_, field, at, beyond);
    };
    const auto u = [&](long distance) { return cell(x.u, distance, grid::Beyond::values); };
    const auto mean = [&](const std::vector<T>& field) {
      return (cell(field, -1, grid::Beyond::nearest) + cell(field, 0, grid::Beyond::nearest)) / 2.0;
    };
    T left = u(-1);
    T right = u(0);
    const T diffusion = mean(x.d) * (right - left) / spacing_of(axes_[axis]);
    if (settings_.scheme == model::FaceScheme::limited && settings_.advection != model::Advection::none) {
      left = u(-1) + limited(u(-1) - u(-2), u(0) - u(-1)) / 2.0;
      right = u(0) - limited(u(0) - u(-1), u(1) - u(0)) / 2.0;
    }
    return advective(left, right, mean(x.v[axis])) - diffusion;
  }

 private:
  T limited(T a, T b) const {
    const double e = settings_.limiter_threshold * settings_.limiter_threshold;
    return (a * (b * b + e) + b * (a * a + e)) / (a * a + b * b + 2 * e);
  }

  T advective(T left, T right, T v) const {
    const auto square = [](T x) { return x * x / 2.0; };
    const bool central = settings_.scheme == model::FaceScheme::central;
    if (settings_.advection == model::Advection::none) return 0;
    if (settings_.advection == model::Advection::linear)
      return v * (central ? (left + right) / 2.0 : real_of(v) > 0 ? left : right);
    if (central) return v * square((left + right) / 2.0);
    // Engquist-Osher: from the left what runs right, from the right what runs left.
    T flux = 0;
    if (real_of(v) * real_of(left) > 0) flux += v * square(left);
    if (real_of(v) * real_of(right) < 0) flux += v * square(right);
    return flux;
  }

  Axes axes_;
  model::FiniteVolumeSettings settings_;
};

/// Given arrays c0 [fields, local cells]; c(t) = (1 + rate t) c0, whose cotangents go to c0 as parameters.
class PlainFields : public model::CoefficientFields {
 public:
  PlainFields(std::vector<std::string> names, const at::Tensor& values, double rate = 0)
      : names_(std::move(names)), rate_(rate) {
    parameters_ = nn::FlatParameters({values.clone().requires_grad_(true)});
  }

  const std::vector<std::string>& names() const override { return names_; }
  bool moves() const override { return rate_ != 0; }
  const at::Tensor& values(double t) override {
    ++evaluations;
    values_ = parameters_.tensors().front().detach() * (1 + rate_ * t);
    return values_;
  }
  at::Tensor& cotangent(double t) override {
    cotangent_time = t;
    if (!cotangent_.defined()) cotangent_ = at::zeros_like(values(t));
    return cotangent_;
  }
  std::vector<nn::FlatParameters*> parameters() override { return {&parameters_}; }
  void finish() override {
    if (!cotangent_.defined()) return;
    parameters_.gradient().add_(cotangent_.flatten(), 1 + rate_ * cotangent_time);
    cotangent_.reset();
  }

  nn::FlatParameters& flat() { return parameters_; }

  int evaluations = 0;
  double cotangent_time = -1;

 private:
  std::vector<std::string> names_;
  double rate_;
  nn::FlatParameters parameters_;
  at::Tensor values_;
  at::Tensor cotangent_;
};

}  // namespace espalier::testing
