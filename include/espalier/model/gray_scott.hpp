// The Gray-Scott model of two substances: feed, autocatalysis, decay.
#pragma once

#include "espalier/model/reaction.hpp"

namespace espalier::model {

/// R_u = -u v^2 + F (1 - u), R_v = u v^2 - (F + k) v: concentrations and time are dimensionless. U feeds U + 2 V -> 3
/// V, V -> P. J. E. Pearson, Complex patterns in a simple system, Science 261 (1993) 189-192, eq. (1); there D_u = 2e-5
/// and D_v = 1e-5 on the periodic square [0, 2.5]^2.
class GrayScott : public Reaction {
 public:
  static constexpr double diffusivity_u = 2e-5;
  static constexpr double diffusivity_v = 1e-5;
  static constexpr double length = 2.5;  ///< of the square's side

  /// `feed`: F, `decay`: k, in 1 / time. Throws UserError for values that are not finite.
  explicit GrayScott(double feed = 0.04, double decay = 0.06);

  int fields() const override { return 2; }
  void add_rates(std::int64_t n, const double* const* u, double* const* f) const override;
  void differentiate(std::int64_t n, const double* const* u, double* const* r) const override;
  std::vector<std::string> names() const override { return {"u", "v"}; }

  double feed() const { return feed_; }
  double decay() const { return decay_; }

 private:
  double feed_;
  double decay_;
};

}  // namespace espalier::model
