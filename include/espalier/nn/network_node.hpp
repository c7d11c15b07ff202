// Any network as a node in torch's graph.
#pragma once

#include <torch/types.h>

#include "espalier/nn/network.hpp"

namespace espalier::nn {

/// y = f(t, u; theta) [samples, outputs] in torch's graph, u and y float64 whatever the network's precision; backward
/// gives u's cotangent and adds the parameters' to parameters().gradient(). Without grad mode nothing is recorded. The
/// network must outlive the graph. Not collective.
at::Tensor evaluate_as_node(Network& network, double t, const at::Tensor& u);

}  // namespace espalier::nn
