// The integration of a split system as a layer of a torch model.
#pragma once

#include <torch/types.h>

#include <vector>

#include "espalier/ts/integrator.hpp"

namespace espalier::ts {

/// The states at times[1..k], [k, samples, dof], as a differentiable function of u0 [samples, dof] and of the
/// parameters of the integrator's terms: loss.backward() runs the discrete adjoint, hands the cotangent of u0 to the
/// layers before, and adds the parameters' cotangents to the terms' flat gradients (FlatParameters::gradient(), which
/// are the .grad of the networks' tensors). Without grad mode the run keeps nothing.
///
/// Between a call and its backward pass the integrator must not be used for anything else. Collective: all ranks of
/// the integrator's communicator call it, and all run the backward pass.
at::Tensor integrate(Integrator& integrator, const at::Tensor& u0, const std::vector<double>& times);

}  // namespace espalier::ts
