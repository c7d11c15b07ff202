// A slow, obvious integrator in torch operations: what the discrete adjoint is compared with.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace reference {

/// u_t = g(u) + u J^T for rows u; all in float64 torch operations.
struct Problem {
  std::function<at::Tensor(const at::Tensor&)> g;
  at::Tensor j;  ///< [dof, dof]
};

/// One step of size h of the named method (l2, 3, 4, 5, ars122, rk4, 5dp, cn, beuler) from u [n, dof], differentiable.
at::Tensor step(const std::string& method, const Problem& problem, const at::Tensor& u, double h);

/// The state after each of the given steps; by ab2 to ab4 and am2 to am4 as well, which start again when the step
/// changes.
std::vector<at::Tensor> integrate(const std::string& method, const Problem& problem, const at::Tensor& u0,
                                  const std::vector<double>& steps);

}  // namespace reference
