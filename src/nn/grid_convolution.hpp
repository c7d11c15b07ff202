// Convolutions of three cells along each axis of a grid in torch's graph.
#pragma once

#include <torch/types.h>

namespace espalier::nn {

/// y = C x + b with stride 1, as many cells as x has: x [samples, from, ...] with one to three axes, weight
/// [to, from, 3, ...], bias [to]. Around the grid there are the cells of the other end (circular) or
/// zeros. Can be differentiated any number of times; float32 or float64.
at::Tensor grid_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool circular);

}  // namespace espalier::nn
