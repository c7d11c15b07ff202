// The flux through one face and its derivatives, and loops over rows of faces for each scheme.
#pragma once

#include <cstdint>

#include "espalier/model/finite_volume_term.hpp"

namespace espalier::model {

/// What the faces of a row see: u in the cells left-left, left, right, right-right of the first face (the outer two
/// only with four states), coefficients left and right; the following faces continue along x.
struct FluxRow {
  std::int64_t count;
  const double* u[4];
  const double* v[2];
  const double* d[2];
  double inverse_spacing;
  double threshold;  // of the limiter, squared
};

/// One scheme. Numbers of a row are written from the first face on.
struct FluxScheme {
  int states;   ///< cells on which a face's flux depends: 2 (left, right) or 4
  bool linear;  ///< the derivatives by u do not depend on u
  /// Phi / h.
  void (*flux)(const FluxRow& row, double* flux);
  /// (dPhi/du_m) / h to by_u + m length, for each of the states.
  void (*by_state)(const FluxRow& row, double* by_u, std::int64_t length);
  /// The same of the flux whose coefficients are frozen at u.
  void (*by_frozen_state)(const FluxRow& row, double* by_u, std::int64_t length);
  /// (dPhi/dv) / h and (dPhi/dD) / h for the coefficients on the face.
  void (*by_coefficient)(const FluxRow& row, double* by_v, double* by_d);
};

const FluxScheme& flux_scheme(Advection advection, FaceScheme scheme);

}  // namespace espalier::model
