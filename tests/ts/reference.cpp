#include "ts/reference.hpp"

#include <cmath>
#include <map>

#include "ts/tableaux.hpp"

namespace reference {

namespace {

at::Tensor identity(const Problem& problem) { return torch::eye(problem.j.size(0), torch::kDouble); }

// Rows x of X solve (I - c J) x = b.
at::Tensor shifted_solve(const Problem& problem, double c, const at::Tensor& b) {
  return at::linalg_solve(identity(problem) - c * problem.j, b.t()).t();
}

// Y_i = u + h sum_j a_ij G_j + h sum_j at_ij H_j;  u' = u + h sum_i b_i (G_i + H_i).
at::Tensor imex_step(const Tableau& tableau, const Problem& problem, const at::Tensor& u, double h) {
  const std::size_t stages = tableau.b.size();
  std::vector<at::Tensor> g;
  std::vector<at::Tensor> linear;
  for (std::size_t i = 0; i < stages; ++i) {
    at::Tensor y = u;
    for (std::size_t j = 0; j < i; ++j) y = y + h * (tableau.a[i][j] * g[j] + tableau.a_implicit[i][j] * linear[j]);
    y = shifted_solve(problem, h * tableau.a_implicit[i][i], y);
    g.push_back(problem.g(y));
    linear.push_back(y.mm(problem.j.t()));
  }
  at::Tensor next = u;
  for (std::size_t i = 0; i < stages; ++i) next = next + h * tableau.b[i] * (g[i] + linear[i]);
  return next;
}

at::Tensor right_hand_side(const Problem& problem, const at::Tensor& u) { return problem.g(u) + u.mm(problem.j.t()); }

at::Tensor explicit_step(const Tableau& tableau, const Problem& problem, const at::Tensor& u, double h) {
  std::vector<at::Tensor> k;
  at::Tensor next = u;
  for (std::size_t i = 0; i < tableau.b.size(); ++i) {
    at::Tensor y = u;
    for (std::size_t j = 0; j < i; ++j) y = y + h * tableau.a[i][j] * k[j];
    k.push_back(right_hand_side(problem, y));
    next = next + h * tableau.b[i] * k[i];
  }
  return next;
}

// d f(y_row) / d y_row for each row, [n, dof, dof].
at::Tensor row_jacobians(const Problem& problem, const at::Tensor& y) {
  const torch::AutoGradMode with_grad(true);
  const at::Tensor leaf = y.detach().clone().requires_grad_(true);
  const at::Tensor f = right_hand_side(problem, leaf);
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < y.size(1); ++i)
    rows.push_back(torch::autograd::grad({f.select(1, i).sum()}, {leaf}, {}, true)[0]);
  return at::stack(rows, 1).detach();
}

// y - c f(y) = z, by Newton from a first guess; a last Newton step that is differentiated gives y the exact derivative
// of the implicit function.
at::Tensor implicit_solve(const Problem& problem, double c, const at::Tensor& z, const at::Tensor& guess) {
  at::Tensor y = guess.detach();
  const auto newton = [&](const at::Tensor& at_y, const at::Tensor& b) {
    const at::Tensor residual = at_y - c * right_hand_side(problem, at_y) - b;
    const at::Tensor matrix = identity(problem) - c * row_jacobians(problem, at_y);
    return at_y - at::linalg_solve(matrix, residual.unsqueeze(2)).squeeze(2);
  };
  for (int i = 0; i < 12; ++i) y = newton(y, z.detach()).detach();
  return newton(y, z);
}

// y - h theta f(y) = u + h (1 - theta) f(u).
at::Tensor theta_step(double theta, const Problem& problem, const at::Tensor& u, double h) {
  const at::Tensor known = theta < 1 ? u + h * (1 - theta) * right_hand_side(problem, u) : u;
  return implicit_solve(problem, h * theta, known, u);
}

// The last stage is the new state.
at::Tensor sdirk_step(const Tableau& tableau, const Problem& problem, const at::Tensor& u, double h) {
  std::vector<at::Tensor> k;
  at::Tensor y = u;
  for (std::size_t i = 0; i < tableau.b.size(); ++i) {
    at::Tensor z = u;
    for (std::size_t j = 0; j < i; ++j) z = z + h * tableau.a_implicit[i][j] * k[j];
    y = implicit_solve(problem, h * tableau.a_implicit[i][i], z, y);
    k.push_back(right_hand_side(problem, y));
  }
  return y;
}

// The integral over [0, 1] of the polynomial through the values at 1 (implicit ones), 0, -1, ...: its weights w solve
// sum_j w_j node_j^q = 1 / (q + 1).
std::vector<double> adams_weights(bool implicit, std::int64_t order) {
  at::Tensor powers = torch::empty({order, order}, torch::kDouble);
  at::Tensor integrals = torch::empty({order}, torch::kDouble);
  for (std::int64_t q = 0; q < order; ++q) {
    for (std::int64_t j = 0; j < order; ++j) powers[q][j] = std::pow(static_cast<double>((implicit ? 1 : 0) - j), q);
    integrals[q] = 1.0 / static_cast<double>(q + 1);
  }
  const at::Tensor w = at::linalg_solve(powers, integrals.unsqueeze(1)).squeeze(1).contiguous();
  return {w.data_ptr<double>(), w.data_ptr<double>() + order};
}

at::Tensor adams_start(const std::string& method, const Problem& problem, const at::Tensor& u, double h) {
  static const std::map<std::string, const Tableau*> start = {
      {"ab2", &heun}, {"ab3", &kutta3}, {"ab4", &rk4}, {"am3", &sdirk3}, {"am4", &sdirk4}};
  const Tableau& tableau = *start.at(method);
  return method[1] == 'm' ? sdirk_step(tableau, problem, u, h) : explicit_step(tableau, problem, u, h);
}

std::vector<at::Tensor> adams(const std::string& method, const Problem& problem, const at::Tensor& u0,
                              const std::vector<double>& steps) {
  const bool implicit = method[1] == 'm';
  const auto order = static_cast<std::size_t>(method[2] - '0');
  const std::vector<double> w = adams_weights(implicit, static_cast<std::int64_t>(order));
  const std::size_t needed = implicit ? order - 1 : order;
  std::vector<at::Tensor> states;
  std::vector<at::Tensor> f;  // of the equal steps up to here
  at::Tensor u = u0;
  for (std::size_t n = 0; n < steps.size(); ++n) {
    const double h = steps[n];
    if (n > 0 && std::abs(h - steps[n - 1]) > 1e-9 * h) f.clear();
    f.push_back(right_hand_side(problem, u));
    if (f.size() < needed) {
      u = adams_start(method, problem, u, h);
    } else {
      at::Tensor z = u;
      for (std::size_t j = 0; j < needed; ++j) z = z + h * w[implicit ? j + 1 : j] * f[f.size() - 1 - j];
      u = implicit ? implicit_solve(problem, h * w[0], z, u) : z;
    }
    states.push_back(u);
  }
  return states;
}

}  // namespace

at::Tensor step(const std::string& method, const Problem& problem, const at::Tensor& u, double h) {
  static const std::map<std::string, const Tableau*> imex = {
      {"l2", &l2}, {"3", &ark3}, {"4", &ark4}, {"5", &ark5}, {"ars122", &ars122}};
  static const std::map<std::string, const Tableau*> explicits = {{"rk4", &rk4}, {"5dp", &dopri5}};
  if (imex.count(method) > 0) return imex_step(*imex.at(method), problem, u, h);
  if (explicits.count(method) > 0) return explicit_step(*explicits.at(method), problem, u, h);
  TORCH_CHECK(method == "cn" || method == "beuler", "the reference does not know the method ", method);
  return theta_step(method == "cn" ? 0.5 : 1.0, problem, u, h);
}

std::vector<at::Tensor> integrate(const std::string& method, const Problem& problem, const at::Tensor& u0,
                                  const std::vector<double>& steps) {
  if (method.substr(0, 2) == "ab" || method.substr(0, 2) == "am") return adams(method, problem, u0, steps);
  std::vector<at::Tensor> states;
  at::Tensor u = u0;
  for (const double h : steps) {
    u = step(method, problem, u, h);
    states.push_back(u);
  }
  return states;
}

}  // namespace reference
