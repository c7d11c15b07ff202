// How far a solve goes.
#pragma once

namespace espalier::implicit {

/// `iterations` steps of a solver, K, after which it has succeeded whatever the residual is.
struct Effort {
  /// Of the KSP or SNES; cycles of GMRES, of which convergence is looked at only between cycles. 0: its options decide
  /// and a solve that takes all it may take has failed.
  long iterations = 0;
  /// The solve ends before K once the residual norm, in the KSP's norm, is below this part of |b| (of a SNES: of the
  /// first residual). 0: never, and no norms are computed where the KSP can do without.
  double tolerance = 0;
};

}  // namespace espalier::implicit
