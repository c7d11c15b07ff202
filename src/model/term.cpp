#include "espalier/model/term.hpp"

#include "espalier/core/error.hpp"

namespace espalier::model {

void Linearization::accumulate(double /*alpha*/) {}

void Linearization::add_to_matrix(std::int64_t /*k*/, double /*scale*/, Mat /*matrix*/) const {
  ESPALIER_ASSERT(false, "this term forms no matrices");
}

void Linearization::write_matrix(std::int64_t k, double shift, double scale, Mat matrix) const {
  ESPALIER_CALL(MatZeroEntries(matrix));
  add_to_matrix(k, scale, matrix);
  ESPALIER_CALL(MatShift(matrix, shift));
}

nn::FlatParameters joined_parameters(const SplitSystem& system) {
  std::vector<nn::FlatParameters*> all;
  for (const auto& term : {system.explicit_part, system.implicit_part})
    if (term)
      for (auto* parameters : term->parameters()) all.push_back(parameters);
  ESPALIER_REQUIRE(!all.empty(), "the system has no trainable parameters");
  for (const auto* parameters : all)
    ESPALIER_REQUIRE(parameters->values().scalar_type() == all.front()->values().scalar_type(),
                     "the trained parts of a system must have one precision, and a trained linear part is double: "
                     "choose -network_precision double");
  return nn::FlatParameters::joined(all);
}

}  // namespace espalier::model
