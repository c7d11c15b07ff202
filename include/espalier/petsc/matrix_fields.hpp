// Which rows of a matrix belong to which field, for preconditioners that treat fields one by one.
#pragma once

#include <petscmat.h>

#include <string>
#include <vector>

#include "espalier/petsc/handle.hpp"

namespace espalier::petsc {

using IsHandle = Handle<IS, ISDestroy>;

/// A field of a system and its rows on this rank.
struct MatrixField {
  std::string name;
  IsHandle rows;
};

/// Says that this rank's rows of `matrix` are those of one field after another, as many of each. The names are those of
/// PCFIELDSPLIT's options, `-samples_fieldsplit_NAME_pc_type`. Matrices made from `matrix` do not inherit it.
/// Collective.
void set_fields(Mat matrix, const std::vector<std::string>& names);

/// The fields of such a matrix; none of any other.
std::vector<MatrixField> fields_of(Mat matrix);

}  // namespace espalier::petsc
