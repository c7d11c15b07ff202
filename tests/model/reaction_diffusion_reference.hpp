// Diffusion and reaction in natural order on one rank, cell by cell, for any number type: what the term is compared to.
#pragma once

#include <complex>
#include <memory>
#include <vector>

#include "espalier/model/gray_scott.hpp"
#include "espalier/model/reaction.hpp"
#include "grid/grids.hpp"

namespace espalier::testing {

/// R_1 = u_1 u_2 - u_3^2, R_2 = 2 u_2^2, R_3 = u_1 u_3: not all fields couple.
class ChainReaction : public model::Reaction {
 public:
  int fields() const override { return 3; }
  bool couples(int i, int j) const override { return i == 0 || j == 1 ? i != 2 || j != 1 : i == 2; }
  void add_rates(std::int64_t n, const double* const* u, double* const* f) const override {
    for (std::int64_t c = 0; c < n; ++c) {
      f[0][c] += u[0][c] * u[1][c] - u[2][c] * u[2][c];
      f[1][c] += 2 * u[1][c] * u[1][c];
      f[2][c] += u[0][c] * u[2][c];
    }
  }
  void differentiate(std::int64_t n, const double* const* u, double* const* r) const override {
    for (std::int64_t c = 0; c < n; ++c) {
      r[0][c] = u[1][c];
      r[1][c] = u[0][c];
      r[2][c] = -2 * u[2][c];
      r[4][c] = 4 * u[1][c];
      r[6][c] = u[2][c];
      r[8][c] = u[0][c];
    }
  }
};

/// R_1 = 1 - u_2, R_2 = 3 u_1 / 2 - u_2.
class AffineReaction : public model::Reaction {
 public:
  int fields() const override { return 2; }
  bool affine() const override { return true; }
  bool couples(int i, int j) const override { return i == 1 || j == 1; }
  void add_rates(std::int64_t n, const double* const* u, double* const* f) const override {
    for (std::int64_t c = 0; c < n; ++c) {
      f[0][c] += 1 - u[1][c];
      f[1][c] += 1.5 * u[0][c] - u[1][c];
    }
  }
  void differentiate(std::int64_t n, const double* const* /*u*/, double* const* r) const override {
    for (std::int64_t c = 0; c < n; ++c) {
      r[1][c] = -1;
      r[2][c] = 1.5;
      r[3][c] = -1;
    }
  }
};

enum class Rates { none, gray_scott, chain, affine };

inline std::shared_ptr<const model::Reaction> reaction_of(Rates rates) {
  switch (rates) {
    case Rates::gray_scott:
      return std::make_shared<model::GrayScott>(0.04, 0.06);
    case Rates::chain:
      return std::make_shared<ChainReaction>();
    case Rates::affine:
      return std::make_shared<AffineReaction>();
    default:
      return nullptr;
  }
}

/// R_i of one cell, written down once more.
template <class T>
std::vector<T> rates_of(Rates rates, const std::vector<T>& u) {
  switch (rates) {
    case Rates::gray_scott:
      return {-u[0] * u[1] * u[1] + 0.04 * (1.0 - u[0]), u[0] * u[1] * u[1] - (0.04 + 0.06) * u[1]};
    case Rates::chain:
      return {u[0] * u[1] - u[2] * u[2], 2.0 * u[1] * u[1], u[0] * u[2]};
    case Rates::affine:
      return {1.0 - u[1], 1.5 * u[0] - u[1]};
    default:
      return std::vector<T>(u.size(), T(0));
  }
}

/// f of one sample [fields, cells].
template <class T>
std::vector<T> react_and_diffuse(const Axes& axes, const std::vector<double>& diffusivities, Rates rates,
                                 const std::vector<T>& u) {
  const std::size_t fields = diffusivities.size();
  const std::size_t cells = count_of(axes);
  const Index n = cells_of(axes);
  std::vector<T> f(u.size());
  for (std::size_t field = 0; field < fields; ++field) {
    const auto start = u.begin() + static_cast<long>(field * cells);
    const std::vector<T> x(start, start + static_cast<long>(cells));
    Index i{};
    std::size_t cell = 0;
    for (i[2] = 0; i[2] < n[2]; ++i[2])
      for (i[1] = 0; i[1] < n[1]; ++i[1])
        for (i[0] = 0; i[0] < n[0]; ++i[0], ++cell) {
          T sum = 0;
          for (std::size_t d = 0; d < axes.size(); ++d) {
            Index low = i;
            Index high = i;
            --low[d];
            ++high[d];
            const double h = spacing_of(axes[d]);
            sum += (value_at(axes, x, low, grid::Beyond::values) - 2.0 * x[cell] +
                    value_at(axes, x, high, grid::Beyond::values)) /
                   (h * h);
          }
          std::vector<T> here(fields);
          for (std::size_t k = 0; k < fields; ++k) here[k] = u[k * cells + cell];
          f[field * cells + cell] = diffusivities[field] * sum + rates_of(rates, here)[field];
        }
  }
  return f;
}

}  // namespace espalier::testing
