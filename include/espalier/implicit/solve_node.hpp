// Any differentiable solve as a node of torch's graph.
#pragma once

#include <torch/types.h>

#include "espalier/implicit/differentiable_solve.hpp"

namespace espalier::implicit {

/// x(y), in the shape of y: float64 with the entries of this rank. As linear_solve(), for a solve of any kind.
at::Tensor solve_as_node(DifferentiableSolve& solver, const at::Tensor& y);

}  // namespace espalier::implicit
