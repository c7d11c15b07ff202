#include "finite_volume_flux.hpp"

#include "espalier/core/error.hpp"

namespace espalier::model {

namespace {

inline double positive(double x) { return x > 0 ? x : 0; }
inline double negative(double x) { return x < 0 ? x : 0; }

/// A value on the face that depends on two cells or states, a and b.
struct OfTwo {
  double value;
  double by_a;
  double by_b;
};

/// The flux through a face and its derivatives by u_ll, u_l, u_r, u_rr and by the coefficients on the face.
struct FaceFlux {
  double value;
  double by_u[4];
  double by_v;
  double by_d;
};

// phi(a, b) = ((b^2 + e) a + (a^2 + e) b) / (a^2 + b^2 + 2 e): a mean of two slopes that avoids the larger one.
inline OfTwo van_albada(double a, double b, double e) {
  const double inverse = 1 / (a * a + b * b + 2 * e);
  const double value = ((b * b + e) * a + (a * a + e) * b) * inverse;
  return {value, (b * b + e + 2 * a * b - 2 * a * value) * inverse, (a * a + e + 2 * a * b - 2 * b * value) * inverse};
}

/// F between the states l and r, and its derivative by v.
struct Advected {
  OfTwo flux;
  double by_v;
};

template <Advection advection, bool upwind>
inline Advected advected(double l, double r, double v) {
  if constexpr (advection == Advection::none) {
    return {{0, 0, 0}, 0};
  } else if constexpr (advection == Advection::linear && !upwind) {
    // F = v (u_l + u_r) / 2
    const double mean = 0.5 * (l + r);
    return {{v * mean, 0.5 * v, 0.5 * v}, mean};
  } else if constexpr (advection == Advection::linear) {
    // F = v+ u_l + v- u_r
    return {{positive(v) * l + negative(v) * r, positive(v), negative(v)}, v > 0 ? l : r};
  } else if constexpr (!upwind) {
    // F = c m^2 / 2, m = (u_l + u_r) / 2
    const double mean = 0.5 * (l + r);
    return {{0.5 * v * mean * mean, 0.5 * v * mean, 0.5 * v * mean}, 0.5 * mean * mean};
  } else {
    // F = c+ ((u_l+)^2 + (u_r-)^2) / 2 + c- ((u_l-)^2 + (u_r+)^2) / 2
    const double ahead = 0.5 * (positive(l) * positive(l) + negative(r) * negative(r));
    const double back = 0.5 * (negative(l) * negative(l) + positive(r) * positive(r));
    return {{positive(v) * ahead + negative(v) * back, positive(v) * positive(l) + negative(v) * negative(l),
             positive(v) * negative(r) + negative(v) * positive(r)},
            v > 0 ? ahead : back};
  }
}

// Phi = F - D (u_r - u_l) / h
template <Advection advection, FaceScheme scheme>
inline FaceFlux face_flux(double ll, double l, double r, double rr, double v, double d, double inverse_spacing,
                          double threshold) {
  const double slope = (r - l) * inverse_spacing;
  const double diffusion = d * inverse_spacing;
  if constexpr (scheme == FaceScheme::limited) {
    // u_l + phi(u_l - u_ll, u_r - u_l) / 2 and u_r - phi(u_r - u_l, u_rr - u_r) / 2
    const OfTwo left = van_albada(l - ll, r - l, threshold);
    const OfTwo right = van_albada(r - l, rr - r, threshold);
    const auto [flux, by_v] = advected<advection, true>(l + 0.5 * left.value, r - 0.5 * right.value, v);
    return {flux.value - d * slope,
            {-0.5 * flux.by_a * left.by_a,
             flux.by_a * (1 + 0.5 * (left.by_a - left.by_b)) + 0.5 * flux.by_b * right.by_a + diffusion,
             0.5 * flux.by_a * left.by_b + flux.by_b * (1 - 0.5 * (right.by_a - right.by_b)) - diffusion,
             -0.5 * flux.by_b * right.by_b},
            by_v,
            -slope};
  } else {
    const auto [flux, by_v] = advected<advection, scheme == FaceScheme::upwind>(l, r, v);
    return {flux.value - d * slope, {0, flux.by_a + diffusion, flux.by_b - diffusion, 0}, by_v, -slope};
  }
}

template <Advection advection, FaceScheme scheme>
struct Rows {
  static constexpr int states = scheme == FaceScheme::limited && advection != Advection::none ? 4 : 2;
  static constexpr bool linear =
      advection == Advection::none || (advection == Advection::linear && scheme != FaceScheme::limited);

  static inline FaceFlux at(const FluxRow& row, std::int64_t i) {
    // Coefficients on the face: averages of both cells.
    const double v = 0.5 * (row.v[0][i] + row.v[1][i]);
    const double d = 0.5 * (row.d[0][i] + row.d[1][i]);
    constexpr FaceScheme used = advection == Advection::none ? FaceScheme::central : scheme;
    return face_flux<advection, used>(states == 4 ? row.u[0][i] : 0, row.u[1][i], row.u[2][i],
                                      states == 4 ? row.u[3][i] : 0, v, d, row.inverse_spacing, row.threshold);
  }

  static void flux(const FluxRow& row, double* __restrict__ result) {
    const FluxRow here = row;
    for (std::int64_t i = 0; i < here.count; ++i) result[i] = here.inverse_spacing * at(here, i).value;
  }

  static void by_state(const FluxRow& row, double* __restrict__ by_u, std::int64_t length) {
    const FluxRow here = row;
    for (std::int64_t i = 0; i < here.count; ++i) {
      const FaceFlux face = at(here, i);
      for (int m = 0; m < states; ++m) by_u[m * length + i] = here.inverse_spacing * face.by_u[states == 4 ? m : m + 1];
    }
  }

  // F(u) = F'(u) u / p where F(s u) = s^p F(u) (limited: but for the threshold), with p = 2 for Burgers' flux, else 1.
  static void by_frozen_state(const FluxRow& row, double* __restrict__ by_u, std::int64_t length) {
    constexpr double share = advection == Advection::burgers ? 0.5 : 1;
    const FluxRow here = row;
    for (std::int64_t i = 0; i < here.count; ++i) {
      const FaceFlux face = at(here, i);
      const double diffusion = 0.5 * (here.d[0][i] + here.d[1][i]) * here.inverse_spacing;
      const double of_diffusion[] = {0, diffusion, -diffusion, 0};
      for (int m = 0; m < states; ++m) {
        const int n = states == 4 ? m : m + 1;
        by_u[m * length + i] = here.inverse_spacing * (share * face.by_u[n] + (1 - share) * of_diffusion[n]);
      }
    }
  }

  static void by_coefficient(const FluxRow& row, double* __restrict__ by_v, double* __restrict__ by_d) {
    const FluxRow here = row;
    for (std::int64_t i = 0; i < here.count; ++i) {
      const FaceFlux face = at(here, i);
      by_v[i] = here.inverse_spacing * face.by_v;
      by_d[i] = here.inverse_spacing * face.by_d;
    }
  }

  static const FluxScheme& scheme_of_rows() {
    static const FluxScheme instance{states, linear, &flux, &by_state, &by_frozen_state, &by_coefficient};
    return instance;
  }
};

template <Advection advection>
const FluxScheme& with_advection(FaceScheme scheme) {
  switch (scheme) {
    case FaceScheme::central:
      return Rows<advection, FaceScheme::central>::scheme_of_rows();
    case FaceScheme::upwind:
      return Rows<advection, FaceScheme::upwind>::scheme_of_rows();
    case FaceScheme::limited:
      return Rows<advection, FaceScheme::limited>::scheme_of_rows();
  }
  throw InternalError("internal error: unknown face scheme", __FILE__, __LINE__);
}

}  // namespace

const FluxScheme& flux_scheme(Advection advection, FaceScheme scheme) {
  switch (advection) {
    case Advection::none:
      return Rows<Advection::none, FaceScheme::central>::scheme_of_rows();
    case Advection::linear:
      return with_advection<Advection::linear>(scheme);
    case Advection::burgers:
      return with_advection<Advection::burgers>(scheme);
  }
  throw InternalError("internal error: unknown advection", __FILE__, __LINE__);
}

}  // namespace espalier::model
