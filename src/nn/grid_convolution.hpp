// Convolutions of three cells along each axis of a grid in torch's graph.
#pragma once

#include <torch/types.h>

#include "flat_convolution.hpp"

namespace espalier::nn {

/// y = C x + b with stride 1: x [samples, from, ...] with one to three axes, weight [to, from, 3, ...], bias [to]. y
/// has as many cells as x; if the ghosts are given, which are then x's outermost cells, two less along each axis. Can
/// be differentiated any number of times; float32 or float64.
at::Tensor grid_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Ghosts ghosts);

}  // namespace espalier::nn
