// Reactions of several fields that meet in a point.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier::model {

/// Rates R_1, ..., R_F of F fields, functions of the fields' values in the same point and of nothing else. All
/// functions take n points at once, as one row of n numbers for each field; rows do not overlap. Not collective; host
/// memory. They may be called with the rows of any cells, in any order.
class Reaction {
 public:
  virtual ~Reaction() = default;
  /// F.
  virtual int fields() const = 0;
  /// f_i += R_i(u_1, ..., u_F) in n points; u and f: F rows.
  virtual void add_rates(std::int64_t n, const double* const* u, double* const* f) const = 0;
  /// r_ij = dR_i/du_j in n points; r: F x F rows, r_ij the row i F + j, a null pointer where couples(i, j) is false.
  virtual void differentiate(std::int64_t n, const double* const* u, double* const* r) const = 0;
  /// Whether R_i depends on u_j at all. What does not couple is neither stored nor multiplied.
  virtual bool couples(int /*i*/, int /*j*/) const { return true; }
  /// Whether all R_i are affine in u: their derivatives are then taken once.
  virtual bool affine() const { return false; }
  /// One name for each field, for options such as -samples_fieldsplit_u_pc_type; empty: "0", "1", ...
  virtual std::vector<std::string> names() const { return {}; }
};

}  // namespace espalier::model
