// Coefficients of a PDE that vary in space and perhaps in time, and what a gradient asks of them.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/nn/flat_parameters.hpp"

namespace espalier::model {

/// Fields c(x, t; theta) at the cells of this rank's part of a grid, such as velocities or a diffusivity. A term reads
/// values(t), adds its products (df/dc)^T w to cotangent(t), and calls finish() in Term::finish_adjoint(): the chain
/// from c to theta is taken once per time there, whatever number of stages and samples used the field.
class CoefficientFields {
 public:
  virtual ~CoefficientFields() = default;
  /// Names, in the order of the first dimension of values().
  virtual const std::vector<std::string>& names() const = 0;
  /// Whether c depends on t.
  virtual bool moves() const = 0;
  /// c: [fields, local cells], float64; valid until the parameters change or finish() is called.
  virtual const at::Tensor& values(double t) = 0;
  /// c_bar at t, to be added to: [fields, local cells], float64, zero at first.
  virtual at::Tensor& cotangent(double t) = 0;
  /// theta; empty where the fields are given.
  virtual std::vector<nn::FlatParameters*> parameters() = 0;
  /// theta_bar += (dc/dtheta)^T c_bar, summed over the times asked for; then c_bar is zero again. Of this rank's cells:
  /// sum over ranks yourself.
  virtual void finish() = 0;
};

}  // namespace espalier::model
