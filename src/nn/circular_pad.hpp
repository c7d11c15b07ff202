// Ghost cells of a periodic grid in torch's graph.
#pragma once

#include <torch/types.h>

namespace espalier::nn {

/// x [samples, channels, ...] with one cell of the other end before and behind each of its one to three axes; can be
/// differentiated any number of times. x must be contiguous, of float32 or float64.
at::Tensor pad_circular(const at::Tensor& x);

}  // namespace espalier::nn
